"""No key and no prompt is in Airflow's logs and database."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from airflow_provider_openai_run.sandbox import Sandbox
from tests.system.dag_run import DagRun
from tests.system.local_airflow import LocalAirflow

pytestmark = pytest.mark.system

PROMPT = "What is the colour of the third door, and who has the key to it?"
LONG_SECONDS = 250


@pytest.fixture(scope="module")
def refused(airflow: LocalAirflow, sandbox: Sandbox) -> DagRun:
    response = sandbox.create_response(script="in_progress")
    return DagRun.start(airflow, "wrong_key", {"run_id": response["id"]})


@pytest.fixture(scope="module")
def waiting(airflow: LocalAirflow, sandbox: Sandbox) -> DagRun:
    script = {"base": "completed", "seconds": LONG_SECONDS}
    response = sandbox.create_response(input=PROMPT, script=script)
    return DagRun.start(airflow, "openai_run_gate", {"run_id": response["id"]})


def test_a_deferred_task_stores_only_ids_and_options(
    airflow: LocalAirflow, sandbox: Sandbox, waiting: DagRun
) -> None:
    waiting.wait_until("gate", "deferred")

    rows = stored(airflow, "select kwargs from trigger where classpath like '%OpenAIRunTrigger'")

    assert rows
    assert all("run_id" in row for row in rows)
    for text in (*rows, *stored(airflow, "select next_kwargs from task_instance")):
        assert sandbox.api_key not in text
        assert sandbox.base_url not in text
        assert PROMPT not in text
    sandbox.clock.advance(LONG_SECONDS)


@pytest.mark.parametrize("task_id", ["get", "wait"])
def test_the_log_says_that_the_key_is_wrong(refused: DagRun, wrong_key: str, task_id: str) -> None:
    refused.wait()

    log = refused.log(task_id)

    assert refused.states()[task_id] == "failed"
    assert re.search(r"401|API key", log)
    assert wrong_key not in log


def test_no_key_and_no_prompt_is_in_a_log_or_the_database(
    airflow: LocalAirflow, sandbox: Sandbox, waiting: DagRun, refused: DagRun, wrong_key: str
) -> None:
    waiting.wait()
    refused.wait()

    assert files_with(waiting.run_id, airflow), "the search finds not even what is there"
    for secret in (sandbox.api_key, wrong_key, PROMPT):
        assert files_with(secret, airflow) == []


def stored(airflow: LocalAirflow, query: str) -> list[str]:
    """Return the rows of a query; this Airflow encrypts nothing."""
    uri = f"file:{airflow.home / 'airflow.db'}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as database:
        return [str(row) for (row,) in database.execute(query)]


def files_with(text: str, airflow: LocalAirflow) -> list[str]:
    return [path.name for path in written_files(airflow) if text.encode() in path.read_bytes()]


def written_files(airflow: LocalAirflow) -> Iterator[Path]:
    yield from airflow.home.glob("airflow.db*")
    yield from airflow.home.glob("*.log")
    yield from (path for path in (airflow.home / "logs").rglob("*") if path.is_file())
