"""Each block of code on a page is of a kind that a test runs, and each command is one that works."""

from __future__ import annotations

import json
import re
import tomllib
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from airflow.configuration import conf
from packaging.requirements import Requirement

from airflow_provider_openai_run.bulk.request_lines import RequestReader
from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook
from airflow_provider_openai_run.owned_runs.identity import RunIdentity
from airflow_provider_openai_run.sandbox import Sandbox
from tests.docs.code_blocks import ROOT, CodeBlock, blocks_of, code_blocks

#: Run by test_pages.py and, in a real Airflow, by system/test_page_code.py; this module; example messages.
LANGUAGES = {"python", "sh", "json", "text"}
#: Run by system/test_tutorial.py with the other lines of the tutorial.
PREPARATIONS = {
    "python3 -m venv venv",
    ". venv/bin/activate",
    'mkdir -p "$AIRFLOW_HOME/dags"',
    'export AIRFLOW_HOME="$PWD/airflow"',
}
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
STAGES = set(re.findall(r"^(\w+)\(\) \{$", (ROOT / ".ci" / "test").read_text(encoding="utf-8"), re.MULTILINE))
COMMANDS = [
    pytest.param(line.strip(), id=f"{block.name}: {line[:60]}")
    for block in code_blocks("sh")
    for line in block.code.splitlines()
    if line.strip() not in PREPARATIONS
]


def test_every_block_is_of_a_kind_that_is_run() -> None:
    others = [block for block in code_blocks() if block.language not in LANGUAGES]

    directives = [block for block in others if block.language.startswith("{")]
    (diagram,) = [block for block in others if block not in directives]
    assert diagram.page == "docs/architecture.md"


def test_blocks_are_found() -> None:
    assert len(code_blocks("python")) > 12
    assert len(COMMANDS) > 20
    nested = "# Page\n\n```python\na = 1\n```\n\ntext\n\n```sh\nls\n```\n\n```python\nb = 2\n```\n"
    assert [(block.language, block.number, block.code) for block in blocks_of(nested)] == [
        ("python", 1, "a = 1\n"),
        ("sh", 1, "ls\n"),
        ("python", 2, "b = 2\n"),
    ]


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_on_a_page_works(
    line: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (words,) = CodeBlock("page.md", 1, "sh", line).commands()
    match words:
        case ["export", setting]:
            check_setting(setting, monkeypatch)
        case ["pip", "install", requirement]:
            check_requirement(requirement)
        case ["python", "-m", "airflow_provider_openai_run.connection.check", conn_id]:
            monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")  # main() sets it for the whole process
            assert import_module(words[2]).main([conn_id]) == 0, capsys.readouterr()
        case ["python", "-m", "airflow_provider_openai_run.sandbox", *options]:
            import_module(f"{words[2]}.__main__")._parser().parse_args(options)
        case ["airflow", *arguments]:
            from airflow.cli.cli_parser import get_parser

            assert get_parser().parse_args(arguments).func
        case ["sh", script, *arguments]:
            assert (ROOT / script).is_file()
            if script == ".ci/test":
                assert set(arguments) <= {*STAGES, "fast"}
        case ["python", "-m", module, *_] if module.startswith("tests."):
            assert find_spec(module)
        case [".venv/bin/python", "-m", "pytest", "-q", folder]:
            assert (ROOT / folder).is_dir()
        case _:
            pytest.fail(f"no test knows this command: {line}")


def check_setting(setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check an environment variable of Airflow: a connection, or an option of its configuration."""
    name, _, value = setting.partition("=")
    if name.startswith("AIRFLOW_CONN_"):
        connection = json.loads(value)
        if connection["conn_type"] == "openai":
            connection["password"] = connection["password"].replace("…", "not-a-key")
            monkeypatch.setenv("AIRFLOW_CONN_SHOWN", json.dumps(connection))
            OpenAIRunHook("shown").get_conn().close()
    else:
        section, option = re.fullmatch(r"AIRFLOW__([A-Z_]+?)__([A-Z_]+)", name).groups()  # type: ignore[union-attr]
        assert conf.has_option(section.lower(), option.lower())


def check_requirement(requirement: str) -> None:
    """Check that a requirement is this project, from an index or a checkout, with extras that it has."""
    parsed = Requirement(re.sub(r"^\.", PROJECT["name"], requirement))
    assert parsed.name == PROJECT["name"]
    assert parsed.extras <= set(PROJECT["optional-dependencies"])


@pytest.mark.parametrize("block", code_blocks("json"), ids=lambda block: block.name)
def test_every_json_on_a_page_is_a_connection_a_request_or_a_form(
    block: CodeBlock, monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox
) -> None:
    value = json.loads(block.code)
    if "conn_type" in value:
        monkeypatch.setenv("AIRFLOW_CONN_SHOWN", block.code)
        OpenAIRunHook("shown").get_conn().close()
    elif "custom_id" in value:
        lines = RequestReader({"model": "gpt-5.2"}, RunIdentity("", 0)).read_file(
            [block.code.encode()], "page"
        )
        assert [request.custom_id for request in lines] == [value["custom_id"]]
    else:
        # The body of Airflow's request that answers a form.
        assert set(value) == {"chosen_options", "params_input"}


def test_files_that_a_page_shows_exist() -> None:
    shown = [
        (Path(block.page).parent / block.language.partition("} ")[2])
        for block in code_blocks()
        if block.language.startswith(("{literalinclude}", "{include}"))
    ]
    assert len(shown) > 15
    assert [path for path in shown if not (ROOT / path).is_file()] == []


def test_every_link_of_the_readme_leads_to_a_file() -> None:
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / "README.md").read_text(encoding="utf-8"))

    assert len(targets) > 20
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_the_readme_stays_short_and_leaves_tables_to_the_docs() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()

    assert len(lines) < 200
    assert [line for line in lines if line.startswith("|")] == []
