"""The lint of names and prose finds every word and phrase of its list, wherever it stands."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parent.parent / ".ci"
RULES = tomllib.loads((SCRIPTS / "words.toml").read_text(encoding="utf-8"))
WORDS = list(RULES["names"])
PHRASES = [rule["example"] for rule in RULES["prose"]]
#: A phrase that no test of this module may contain itself.
PHRASE = PHRASES[0]


def check(folder: Path) -> list[str]:
    """Return the lines that the lint prints about a folder; it fails if there are any."""
    command = [sys.executable, str(SCRIPTS / "words.py"), str(folder)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert not done.stderr
    assert done.returncode == (1 if done.stdout else 0)
    return done.stdout.splitlines()


def write(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_plain_words_pass(tmp_path: Path) -> None:
    write(tmp_path, "module.py", '"""Return the runs."""\n\n# Retried with backoff.\nstatus = "completed"\n')
    write(tmp_path, "README.md", "The API returns the run.\n")

    assert check(tmp_path) == []


def test_each_word_is_found_in_a_name(tmp_path: Path) -> None:
    write(tmp_path, "module.py", "".join(f"{word} = None\n" for word in WORDS))

    found = check(tmp_path)

    for number, word in enumerate(WORDS, 1):
        assert any(line.startswith(f'module.py:{number}: "{word}" in the name {word}: ') for line in found)


def test_each_phrase_is_found_in_a_page(tmp_path: Path) -> None:
    write(tmp_path, "docs/page.md", "".join(f"{phrase}\n" for phrase in PHRASES))

    lines = {line.split(": ")[0] for line in check(tmp_path)}

    assert lines == {f"docs/page.md:{number}" for number, _ in enumerate(PHRASES, 1)}


@pytest.mark.parametrize("rule", RULES["docstring"], ids=lambda rule: rule["example"])
def test_the_first_word_of_a_docstring_is_checked(tmp_path: Path, rule: dict[str, str]) -> None:
    write(tmp_path, "module.py", f'def run():\n    """\n    {rule["example"]}\n    """\n')

    (line,) = check(tmp_path)

    assert line.startswith("module.py:2: a docstring that starts with ")


@pytest.mark.parametrize(
    "code",
    [
        "def {}_runs(): ...",
        "async def all_{}(): ...",
        "class {}Run: ...",
        "def run(*, {}=None): ...",
        "for {} in range(3): ...",
        "self.{} = None",
        "import json as {}",
        "try: ...\nexcept OSError as {}: ...",
        "match run:\n    case [*{}]: ...",
    ],
)
def test_every_kind_of_name_is_checked(tmp_path: Path, code: str) -> None:
    word = WORDS[0].capitalize() if "class" in code else WORDS[0]
    write(tmp_path, "module.py", f"{code.format(word)}\n")

    (line,) = check(tmp_path)

    assert f'"{WORDS[0]}" in the name ' in line


def test_the_name_of_a_module_is_checked(tmp_path: Path) -> None:
    write(tmp_path, f"{WORDS[0]}_runs.py", "")

    assert check(tmp_path)[0].startswith(f'{WORDS[0]}_runs.py:1: "{WORDS[0]}" in the name ')


@pytest.mark.parametrize("code", ["# {}", '"""{}"""', 'raise ValueError("{}")', 'log.info(f"{}: {{run}}")'])
def test_every_kind_of_text_is_checked(tmp_path: Path, code: str) -> None:
    write(tmp_path, "module.py", f"{code.format(PHRASE)}\n")

    (line,) = check(tmp_path)

    assert line.startswith("module.py:1: ")


def test_a_phrase_is_found_across_the_end_of_a_line(tmp_path: Path) -> None:
    phrase = next(phrase for phrase in PHRASES if " to " in phrase)
    before, after = phrase.split(" to ", 1)
    write(tmp_path, "module.py", f"run = 1\n# {before}\n# to {after}\n")

    (line,) = check(tmp_path)

    assert line.startswith("module.py:2: ")


@pytest.mark.parametrize(("length", "count"), [(70, 0), (71, 1)])
def test_a_test_name_has_at_most_70_characters(tmp_path: Path, length: int, count: int) -> None:
    write(tmp_path, "tests/test_module.py", f"def {'test_'.ljust(length, 'x')}(): ...\n")

    assert len(check(tmp_path)) == count


def test_other_peoples_files_are_not_checked(tmp_path: Path) -> None:
    for folder in (".venv/lib", "build/html", ".git"):
        write(tmp_path, f"{folder}/page.md", PHRASE)

    assert check(tmp_path) == []
