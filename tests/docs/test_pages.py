"""The code on the pages runs, and the reference has every module that Airflow lists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from airflow import __version__ as airflow_version

from airflow_provider_openai_run.get_provider_info import get_provider_info
from airflow_provider_openai_run.operators import openai_run as operators
from airflow_provider_openai_run.sandbox import Sandbox
from airflow_provider_openai_run.sensors.openai_run import OpenAIRunSensor
from tests.docs.code_blocks import PAGES, ROOT, CodeBlock, code_blocks

TESTING = "docs/howto/testing.md"
KINDS = ("hooks", "operators", "sensors", "triggers")


IS_3_3 = tuple(map(int, airflow_version.split(".")[:2])) >= (3, 3)


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def listed_modules() -> list[str]:
    info: dict[str, Any] = get_provider_info()
    return [module for kind in KINDS for entry in info[kind] for module in entry["python-modules"]]


# Airflow 3.1 warns of one of its own imports when it creates the decorator.
@pytest.mark.filterwarnings("ignore:The `airflow.operators")
@pytest.mark.parametrize("block", code_blocks("python"), ids=lambda block: block.name)
def test_python_code_on_a_page_is_parsed_as_a_dag(block: CodeBlock) -> None:
    from airflow.sdk import DAG, dag, task

    if "start_from_trigger" in block.code and not IS_3_3:
        pytest.skip("start_from_trigger came with Airflow 3.3")
    known = {name: getattr(operators, name) for name in operators.__all__}
    names = {"OpenAIRunSensor": OpenAIRunSensor, "dag": dag, "task": task, **known}

    with DAG("shown", schedule=None):
        exec(compile(block.code, block.name, "exec"), names)  # noqa: S102 - our own pages


@pytest.mark.parametrize("name", re.findall(r"^def (test_\w+)", text_of(TESTING), re.MULTILINE))
def test_the_tests_on_a_page_pass(name: str, sandbox: Sandbox) -> None:
    names: dict[str, Any] = {}
    for block in code_blocks("python"):
        if block.page == TESTING and f"def {name}(" in block.code:
            exec(block.code, names)  # noqa: S102 - our own pages

    names[name](sandbox)


@pytest.mark.parametrize("module", listed_modules())
def test_every_listed_module_is_in_the_reference(module: str) -> None:
    reference = "\n".join(text_of(page) for page in PAGES)

    assert re.search(rf"auto(module|class):: {re.escape(module)}\b", reference)


@pytest.mark.parametrize("path", sorted((ROOT / "example_dags").glob("*.py")), ids=lambda path: path.stem)
def test_every_example_is_shown_on_a_page(path: Path) -> None:
    assert any(f"example_dags/{path.name}" in text_of(page) for page in PAGES)
