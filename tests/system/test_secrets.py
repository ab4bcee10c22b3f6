"""Nothing secret, and nothing the model was asked, is left in what Airflow writes down."""

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

QUESTION = "What is the colour of the third door, and who has the key to it?"
LONG_SECONDS = 250


@pytest.fixture(scope="module")
def refused(airflow: LocalAirflow, sandbox: Sandbox) -> DagRun:
    response = sandbox.create_response(script="in_progress")
    return DagRun.start(airflow, "wrong_key", {"run_id": response["id"]})


@pytest.fixture(scope="module")
def waiting(airflow: LocalAirflow, sandbox: Sandbox) -> DagRun:
    script = {"base": "completed", "seconds": LONG_SECONDS}
    response = sandbox.create_response(input=QUESTION, script=script)
    return DagRun.start(airflow, "openai_run_gate", {"run_id": response["id"]})


def test_what_a_deferred_task_stores_holds_ids_and_options_only(
    airflow: LocalAirflow, sandbox: Sandbox, waiting: DagRun
) -> None:
    waiting.wait_until("gate", "deferred")

    rows = stored(airflow, "select kwargs from trigger where classpath like '%OpenAIRunTrigger'")

    assert rows
    assert all("run_id" in row for row in rows)
    for text in (*rows, *stored(airflow, "select next_kwargs from task_instance")):
        assert sandbox.api_key not in text
        assert sandbox.base_url not in text
        assert QUESTION not in text
    sandbox.clock.advance(LONG_SECONDS)


@pytest.mark.parametrize("task_id", ["get", "wait"])
def test_a_wrong_key_is_called_a_wrong_key_in_the_log(refused: DagRun, wrong_key: str, task_id: str) -> None:
    refused.wait()

    log = refused.log(task_id)

    assert refused.states()[task_id] == "failed"
    assert re.search(r"401|API key", log)
    assert wrong_key not in log


def test_no_key_and_no_question_is_in_any_log_or_the_database(
    airflow: LocalAirflow, sandbox: Sandbox, waiting: DagRun, refused: DagRun, wrong_key: str
) -> None:
    waiting.wait()
    refused.wait()

    assert places_of(waiting.run_id, airflow), "the search finds nothing, be it there or not"
    for secret in (sandbox.api_key, wrong_key, QUESTION):
        assert places_of(secret, airflow) == []


def stored(airflow: LocalAirflow, query: str) -> list[str]:
    """Nothing is encrypted in this Airflow, so the rows read as they were written."""
    uri = f"file:{airflow.home / 'airflow.db'}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as database:
        return [str(row) for (row,) in database.execute(query)]


def places_of(text: str, airflow: LocalAirflow) -> list[str]:
    return [path.name for path in written(airflow) if text.encode() in path.read_bytes()]


def written(airflow: LocalAirflow) -> Iterator[Path]:
    yield from airflow.home.glob("airflow.db*")
    yield from airflow.home.glob("*.log")
    yield from (path for path in (airflow.home / "logs").rglob("*") if path.is_file())
