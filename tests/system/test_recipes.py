"""The DAGs of the recipes do what their pages say, in a real Airflow against the sandbox."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_openai_run.sandbox import Sandbox
from tests.fake_http_server import FakeHttpServer, fake_http_server
from tests.system.dag_run import DagRun
from tests.system.local_airflow import LocalAirflow
from tests.system.run_owner import owner_of

pytestmark = pytest.mark.system

#: Long enough for the scheduler to learn that a task was deferred before the task resumes.
SECONDS = 4
SLOTS = 2
TOKENS = 100
USAGE = {"prompt_tokens": 60, "completion_tokens": 40, "total_tokens": TOKENS}
BUDGET_OF_RESPONSES = 3
REVIEWS = [{"id": 7, "text": "Broken."}, {"id": 8, "text": "Good."}, {"id": 9, "text": "Fine."}]
CASES = [{"question": f"Case {number}?", "expected": ["42"]} for number in range(7)]
CASES[0]["expected"] = ["43"]


@pytest.fixture(scope="module")
def alerts() -> Iterator[FakeHttpServer]:
    with fake_http_server() as server:
        server.reply = lambda request: (200, {"path": request.path})
        yield server


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reviews") / "reviews.db"


@pytest.fixture(scope="module")
def started(
    airflow: LocalAirflow, sandbox: Sandbox, alerts: FakeHttpServer, database: Path
) -> Mapping[str, DagRun]:
    """Start all of them at once, each after what its page says to set up."""
    rest = airflow.rest
    rest.call("POST", "/pools", body={"name": "deep_research", "slots": SLOTS, "include_deferred": True})
    rest.call("POST", "/variables", body={"key": "alert_url", "value": alerts.url})
    reviews_db = {"connection_id": "reviews_db", "conn_type": "sqlite", "host": str(database)}
    rest.call("POST", "/connections", body=reviews_db)
    for base in ("completed", "failed"):
        sandbox.add_script(f"recipe_{base}", {"base": base, "seconds": SECONDS, "usage": USAGE})
    completed, failed = ({"metadata": {"sandbox_script": f"recipe_{end}"}} for end in ("completed", "failed"))
    runs: dict[str, dict[str, Any]] = {
        "openai_nightly_evaluation": {
            "cases": CASES,
            "token_budget": BUDGET_OF_RESPONSES * TOKENS,
            **completed,
        },
        "openai_approve_before_sending": completed,
        "openai_answers_to_table": {"reviews": REVIEWS},
        "openai_prompt_files": {},
        "openai_alert_on_failure": failed,
    }
    return {dag_id: DagRun.start(airflow, dag_id, conf) for dag_id, conf in runs.items()}


def test_a_pool_limits_how_many_responses_are_in_progress(
    started: Mapping[str, DagRun], sandbox: Sandbox
) -> None:
    run = started["openai_nightly_evaluation"]
    run.wait_for_success()
    times = [
        (response["created_at"], response["completed_at"])
        for response in sandbox.list_responses()
        if owner_of(response).startswith(run.dag_id)
    ]
    assert len(times) >= BUDGET_OF_RESPONSES
    in_progress = [sum(begin <= created < end for begin, end in times) for created, _ in times]
    assert max(in_progress) == SLOTS


def test_the_budget_of_a_night_skips_the_remaining_cases(started: Mapping[str, DagRun]) -> None:
    run = started["openai_nightly_evaluation"]
    run.wait_for_success()
    states = [run.states()[f"evaluate.research[{number}]"] for number in range(len(CASES))]
    summary = run.xcoms("sum_up")["return_value"]
    paid = states.count("success")
    assert BUDGET_OF_RESPONSES <= paid < BUDGET_OF_RESPONSES + SLOTS
    assert states.count("skipped") == len(CASES) - paid
    assert summary == {"cases": len(CASES), "graded": paid, "passed": paid - 1, "tokens": paid * TOKENS}


def test_a_draft_is_sent_once_it_is_approved(started: Mapping[str, DagRun], airflow: LocalAirflow) -> None:
    run = started["openai_approve_before_sending"]
    airflow.wait_for_task(run.dag_id, run.run_id, "approve", {"deferred", "awaiting_input"})
    path = f"/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances/approve/-1/hitlDetails"
    assert airflow.rest.call("GET", path)["body"] == "The answer is 42."
    assert run.states()["send"] is None
    airflow.rest.call("PATCH", path, body={"chosen_options": ["Approve"], "params_input": {}})
    run.wait_for_success()
    assert run.xcoms("send")["return_value"] == "The answer is 42."


def test_answers_become_rows_and_a_second_run_replaces_them(
    started: Mapping[str, DagRun], airflow: LocalAirflow, database: Path
) -> None:
    started["openai_answers_to_table"].wait_for_success()
    DagRun.start(airflow, "openai_answers_to_table", {"reviews": REVIEWS[:2]}).wait_for_success()
    with sqlite3.connect(database) as connection:
        rows = connection.execute("SELECT * FROM reviews ORDER BY id").fetchall()
    connection.close()
    assert rows == [(review["id"], "delivery", 1, "sample") for review in REVIEWS]


def test_a_prompt_file_is_rendered_and_sent(started: Mapping[str, DagRun], sandbox: Sandbox) -> None:
    run = started["openai_prompt_files"]
    run.wait_for_success()
    bodies = [
        request.body for request in sandbox.requests if request.path.endswith("/responses") and request.body
    ]
    body = next(body for body in bodies if "Release notes of version 2.4" in str(body.get("input")))
    assert "- Dates are shown in the reader's time zone." in body["input"].splitlines()
    assert body["instructions"].startswith("You write release notes for people who use the program")


def test_an_alert_has_the_ids_that_support_needs(
    started: Mapping[str, DagRun], alerts: FakeHttpServer
) -> None:
    run = started["openai_alert_on_failure"]
    assert run.wait() == "failed"
    response_id = run.xcoms("response")["id"]
    (text,) = [json.loads(request.body)["text"] for request in alerts.requests]
    lines = text.splitlines()
    assert lines[0].startswith("openai_alert_on_failure.response failed: ")
    assert {f"run_id: {response_id}", "status: failed", "code: server_error"} <= set(lines)
    assert any(line.startswith("request_id: req_") for line in lines)
