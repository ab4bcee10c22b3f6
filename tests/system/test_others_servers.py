"""A real Airflow with servers that others wrote."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from airflow import __version__ as airflow_version

from tests.peers.peer import PEERS, running
from tests.system.dag_run import DagRun
from tests.system.local_airflow import LocalAirflow

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(not PEERS.is_dir(), reason="the servers are in ../shared/peers, which is not there"),
]

RECORDED = PEERS.parent / "recorded"
SEQUENCE = "openai-dotnet-assistants-code-interpreter-steps"
#: How far above its own port the server that replays puts the first sequence.
FIRST_SEQUENCE = 100


def connect(airflow: LocalAirflow, conn_id: str, base_url: str) -> None:
    connection = {"conn_type": "openai", "host": base_url, "password": "no-key-is-checked"}
    airflow.rest.call("POST", "/connections", body={"connection_id": conn_id, **connection})


@pytest.fixture(scope="module")
def responses(airflow: LocalAirflow) -> Iterator[DagRun]:
    """Start the DAG that uses Microsoft's Responses server."""
    with running("agentserver") as url:
        connect(airflow, "openai_agentserver", url)
        yield DagRun.start(airflow, "responses_of_others", {})


@pytest.fixture(scope="module")
def mock() -> Iterator[str]:
    """Start a stateful mock of the Assistants API and return its URL."""
    with running("openai-responses") as url:
        yield url


@pytest.fixture(scope="module")
def replayed(airflow: LocalAirflow) -> Iterator[DagRun]:
    """Start the DAG that uses a server with recorded responses of OpenAI."""
    variables = {"REC": str(RECORDED), "MAX_REPEAT": "12"}
    with running("mountebank-replay", SEQUENCE, **variables) as url:
        port = (urlsplit(url).port or 0) + FIRST_SEQUENCE
        wait_for_port(port)
        connect(airflow, "openai_replay", f"http://127.0.0.1:{port}/v1")
        yield DagRun.start(airflow, "replayed_run", {})


def wait_for_port(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise AssertionError(f"nothing listens on port {port}")


@pytest.fixture(scope="module", autouse=True)
def _side_by_side(responses: DagRun, replayed: DagRun) -> None:
    """Start both before either is waited for."""


def test_a_response_is_created_awaited_and_read_again(responses: DagRun) -> None:
    assert responses.wait_for_task("details")["state"] == "success"
    created, read = responses.xcoms("create"), responses.xcoms("details")
    assert "Deferring until" in responses.log("create")
    assert created["answer"] == "Echo: queued slow"
    assert created["token_usage"]["total_tokens"] == 18
    assert (read["id"], read["status"]) == (created["run_id"], "completed")
    assert created["return_value"] == {**read["return_value"], "answer": created["answer"], "refusal": None}


def test_a_sensor_waits_for_a_response_of_another_task(responses: DagRun) -> None:
    assert responses.wait_for_task("details_after_wait")["state"] == "success"
    run_id = responses.xcoms("begin")["run_id"]
    expected = {"run_id": run_id, "thread_id": None, "api": "responses", "status": "completed"}
    assert responses.xcoms("wait")["return_value"] == expected
    assert [step["type"] for step in responses.xcoms("details_after_wait")["steps"]] == ["message"]


def test_a_function_call_gets_its_output(responses: DagRun) -> None:
    assert responses.wait_for_task("call_function")["state"] == "success"
    xcoms = responses.xcoms("call_function")
    assert xcoms["token_usage"]["rounds"] == 1
    assert xcoms["token_usage"]["total_tokens_of_all_rounds"] == 36
    first, last = xcoms["token_usage"]["run_ids"]
    assert (xcoms["id"], xcoms["previous_response_id"]) == (last, first)


def test_a_failed_response_fails_its_task_with_the_servers_message(responses: DagRun) -> None:
    assert responses.wait_for_task("fail")["state"] == "failed"
    assert "simulated failure" in responses.log("fail")
    assert responses.xcoms("fail")["token_usage"]["status"] == "failed"


@pytest.mark.skipif(
    tuple(map(int, airflow_version.split(".")[:2])) < (3, 3),
    reason="before Airflow 3.3 one request creates thread and run, and no recording has it",
)
def test_a_recorded_run_is_created_awaited_and_read_again(replayed: DagRun) -> None:
    replayed.wait_for_success()
    recorded = json.loads((RECORDED / "sequence" / f"{SEQUENCE}.json").read_text(encoding="utf-8"))
    run = [one["body"] for one in recorded if one["body"].get("object") == "thread.run"][-1]
    steps = recorded[-1]["body"]["data"]
    attributes = replayed.xcoms("attributes")
    assert replayed.xcoms("wait_for_end")["return_value"]["status"] == run["status"] == "completed"
    for name in ("id", "thread_id", "assistant_id", "model", "instructions", "created_at", "completed_at"):
        assert attributes[name] == run[name]
    assert attributes["usage"]["total_tokens"] == run["usage"]["total_tokens"]
    details = {step["id"]: json.loads(step["details"]) for step in attributes["steps"]}
    assert details == {step["id"]: step["step_details"] for step in steps}


def test_one_run_is_awaited_and_another_cancelled_with_its_task(airflow: LocalAirflow, mock: str) -> None:
    api = f"{mock}/v1"

    def call(method: str, url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        response = requests.request(method, url, json=body, timeout=10)
        response.raise_for_status()
        body_of_response: dict[str, Any] = response.json()
        return body_of_response

    connect(airflow, "openai_mock", api)
    assistant_id = call("POST", f"{api}/assistants", {"model": "gpt-4o"})["id"]
    run = DagRun.start(airflow, "runs_of_others", {"assistant_id": assistant_id})
    urls = {}
    for task_id in ("complete", "cancel"):
        run.wait_until(task_id, "deferred")
        xcoms = run.xcoms(task_id)
        urls[task_id] = f"{api}/threads/{xcoms['thread_id']}/runs/{xcoms['run_id']}"
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    ended = {**call("GET", urls["complete"]), "status": "completed", "usage": usage}
    call("POST", f"{mock}/_seed", ended)

    assert run.wait_for_task("complete")["state"] == "success"
    xcoms = run.xcoms("complete")
    assert (xcoms["id"], xcoms["status"]) == (ended["id"], "completed")
    assert xcoms["assistant_id"] == assistant_id
    assert xcoms["token_usage"]["total_tokens"] == 7

    # By now the triggerer runs the other task's trigger too: before that, no process could cancel its run.
    airflow.rest.set_state(run.dag_id, run.run_id, "cancel", "failed")
    airflow.wait_until(
        "the other run is cancelled",
        lambda: call("GET", urls["cancel"])["status"] in {"cancelling", "cancelled"},
        60,
    )
