"""
Find names and phrases that words.toml replaces with plainer ones, and test names that are too long.

``python .ci/words.py [ROOT]`` prints one line for each and exits with 1 if there are any.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

RULES = Path(__file__).with_name("words.toml")
ROOT = Path(__file__).resolve().parent.parent
SKIPPED_FOLDERS = {"build", "dist", "__pycache__"}
#: Files that are searched as they are, line by line.
PROSE_SUFFIXES = {".css", ".html", ".js", ".md", ".toml", ".yaml", ".yml"}
LONGEST_TEST_NAME = 70

_WORDS_OF_A_NAME = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef

#: A line number and what is wrong there.
Finding = tuple[int, str]


@dataclass(frozen=True)
class Phrase:
    """
    A phrase to avoid.

    :param pattern: finds it.
    :param instead: what to write.
    """

    pattern: re.Pattern[str]
    instead: str


class Rules:
    """
    The rules of a file such as ``words.toml``.

    :param path: the file.
    """

    def __init__(self, path: Path = RULES) -> None:
        rules = tomllib.loads(path.read_text(encoding="utf-8"))
        self._names: dict[tuple[str, ...], str] = {
            tuple(name.split("_")): instead for name, instead in rules["names"].items()
        }
        self._prose = _phrases(rules["prose"])
        self._docstring = _phrases(rules["docstring"])

    def check_name(self, name: str, line: int) -> Iterator[Finding]:
        """Yield the words of an identifier that have a plainer one."""
        words = [word.lower() for word in _WORDS_OF_A_NAME.findall(name)]
        for avoided, instead in self._names.items():
            starts = range(len(words) - len(avoided) + 1)
            if any(tuple(words[start : start + len(avoided)]) == avoided for start in starts):
                yield line, f'"{"_".join(avoided)}" in the name {name}: {instead}'

    def check_prose(self, text: str, line: int) -> Iterator[Finding]:
        """Yield the phrases of a text that have a plainer one; they may go over the end of a line."""
        # The margin of a comment or of an indented text is not part of the sentence.
        flat = re.sub(
            r"\n[ \t]*(?:#:? ?|//|\*)?[ \t]*", lambda margin: "\n" + " " * (len(margin[0]) - 1), text
        )
        for phrase in self._prose:
            for match in phrase.pattern.finditer(flat):
                found = " ".join(match[0].split())
                yield line + flat.count("\n", 0, match.start()), f'"{found}": {phrase.instead}'

    def check_docstring(self, text: str, line: int) -> Iterator[Finding]:
        """Yield what is wrong with a docstring's first words."""
        for phrase in self._docstring:
            if match := phrase.pattern.match(text.strip()):
                yield line, f'a docstring that starts with "{match[0]}": {phrase.instead}'


def _phrases(rules: list[dict[str, str]]) -> list[Phrase]:
    return [
        Phrase(re.compile(rule["pattern"].replace(" ", r"\s+"), re.IGNORECASE), rule["instead"])
        for rule in rules
    ]


def check_python(source: str, rules: Rules) -> Iterator[Finding]:
    """Yield the findings in the source of a module."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        for name, line in _names_defined_by(node):
            yield from rules.check_name(name, line)
            if name.startswith("test_") and len(name) > LONGEST_TEST_NAME:
                yield line, f"{name} is {len(name)} characters long: at most {LONGEST_TEST_NAME}"
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from rules.check_prose(node.value, node.lineno)
        if isinstance(node, _DOCUMENTED) and (docstring := ast.get_docstring(node, clean=False)):
            yield from rules.check_docstring(docstring, node.body[0].lineno)
    for line, comment in _comments(source):
        yield from rules.check_prose(comment, line)


def _names_defined_by(node: ast.AST) -> Iterator[tuple[str, int]]:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            yield node.name, node.lineno
        case ast.arg():
            yield node.arg, node.lineno
        case ast.Name(ctx=ast.Store()):
            yield node.id, node.lineno
        case ast.Attribute(ctx=ast.Store()):
            yield node.attr, node.lineno
        case ast.alias(asname=str(name)):
            yield name, node.lineno
        case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
            yield name, node.lineno
        case _:
            return


def _comments(source: str) -> Iterator[tuple[int, str]]:
    """Yield the comments of a module; those on consecutive lines are one text."""
    first, lines = 0, list[str]()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        if lines and token.start[0] == first + len(lines):
            lines.append(token.string)
            continue
        if lines:
            yield first, "\n".join(lines)
        first, lines = token.start[0], [token.string]
    if lines:
        yield first, "\n".join(lines)


def files(root: Path) -> Iterator[Path]:
    """Yield the files that are checked, but for hidden folders other than those of the project."""
    for path in sorted(root.rglob("*")):
        folders = path.relative_to(root).parts[:-1]
        hidden = any(folder.startswith(".") and folder not in {".ci", ".github"} for folder in folders)
        if path.is_file() and path != RULES and not hidden and not SKIPPED_FOLDERS & set(folders):
            yield path


def check_file(path: Path, root: Path, rules: Rules) -> list[Finding]:
    """Return the findings in a file: in its name, and in what it contains."""
    if path.suffix == ".py":
        source = path.read_text(encoding="utf-8")
        return [*rules.check_name(path.stem, 1), *check_python(source, rules)]
    if path.suffix in PROSE_SUFFIXES or (path.parent == root / ".ci" and not path.suffix):
        return list(rules.check_prose(path.read_text(encoding="utf-8"), 1))
    return []


def main(arguments: list[str]) -> int:
    """Check a folder and return the exit code."""
    root = Path(arguments[0]).resolve() if arguments else ROOT
    rules = Rules()
    count = 0
    for path in files(root):
        for line, complaint in sorted(check_file(path, root, rules)):
            print(f"{path.relative_to(root).as_posix()}:{line}: {complaint}")
            count += 1
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
