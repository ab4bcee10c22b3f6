"""The Python code of the pages as DAG files."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import indent

from tests.docs.code_blocks import CodeBlock, code_blocks

#: Its blocks are tests, which test_pages.py runs, but for the first.
_TESTING = "docs/howto/testing.md"
_DAG = re.compile(r"^@dag.*\ndef (\w+)\(\):", re.MULTILINE)
_WRAPPER = """
from airflow.sdk import DAG, task

from airflow_provider_openai_run.operators.openai_run import *
from airflow_provider_openai_run.sensors.openai_run import OpenAIRunSensor

with DAG("{dag_id}", schedule=None, params={{"run_id": "resp_1", "letter": "Dear Sir"}}):
{code}
"""


def page_blocks() -> dict[str, CodeBlock]:
    """Return the blocks that define a DAG or its tasks, by the id of the DAG."""
    blocks = [block for block in code_blocks("python") if block.page != _TESTING or block.number == 1]
    return {dag_id(block): block for block in blocks}


def dag_id(block: CodeBlock) -> str:
    """Return the id of a block's DAG; a block without one gets a DAG named after its page."""
    found = _DAG.search(block.code)
    return found[1] if found else block.name


def dag_file(block: CodeBlock) -> str:
    """Return the text of a block's DAG file."""
    if _DAG.search(block.code):
        return block.code
    return _WRAPPER.format(dag_id=dag_id(block), code=indent(block.code, "    "))


def write_page_dags(folder: Path) -> None:
    """
    Write a DAG file for each block.

    :param folder: where.
    """
    for name, block in page_blocks().items():
        (folder / f"{name}.py").write_text(dag_file(block), encoding="utf-8")
