"""A real Airflow at servers that others wrote."""

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
    """At Microsoft's Responses server."""
    with running("agentserver") as url:
        connect(airflow, "openai_agentserver", url)
        yield DagRun.start(airflow, "responses_of_others", {})


@pytest.fixture(scope="module")
def mock() -> Iterator[str]:
    """A mock of the Assistants API that keeps state."""
    with running("openai-responses") as url:
        yield url


@pytest.fixture(scope="module")
def replayed(airflow: LocalAirflow) -> Iterator[DagRun]:
    """At a server that plays again what OpenAI once answered."""
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
    raise AssertionError(f"nobody listens on port {port}")


@pytest.fixture(scope="module", autouse=True)
def _side_by_side(responses: DagRun, replayed: DagRun) -> None:
    """Start both before either is waited for."""


def test_a_response_is_made_waited_for_and_retrieved(responses: DagRun) -> None:
    assert responses.wait_for_task("asked")["state"] == "success"
    made, read = responses.xcoms("ask"), responses.xcoms("asked")
    assert "Deferring until" in responses.log("ask")
    assert made["answer"] == "Echo: queued slow"
    assert made["token_usage"]["total_tokens"] == 18
    assert (read["id"], read["status"]) == (made["run_id"], "completed")
    assert {name: value for name, value in made["return_value"].items() if name != "answer"} == (
        read["return_value"]
    )


def test_a_sensor_waits_for_a_response_that_another_task_has_made(responses: DagRun) -> None:
    assert responses.wait_for_task("waited_for")["state"] == "success"
    run_id = responses.xcoms("begin")["run_id"]
    expected = {"run_id": run_id, "thread_id": None, "status": "completed"}
    assert responses.xcoms("wait")["return_value"] == expected
    assert [step["type"] for step in responses.xcoms("waited_for")["steps"]] == ["message"]


def test_a_function_answers_a_call(responses: DagRun) -> None:
    assert responses.wait_for_task("answer")["state"] == "success"
    xcoms = responses.xcoms("answer")
    assert xcoms["token_usage"]["rounds"] == 1
    assert xcoms["token_usage"]["total_tokens_of_all_rounds"] == 36
    first, last = xcoms["token_usage"]["run_ids"]
    assert (xcoms["id"], xcoms["previous_response_id"]) == (last, first)


def test_a_response_that_fails_fails_its_task_with_the_servers_words(responses: DagRun) -> None:
    assert responses.wait_for_task("fail")["state"] == "failed"
    assert "simulated failure" in responses.log("fail")
    assert responses.xcoms("fail")["token_usage"]["status"] == "failed"


@pytest.mark.skipif(
    tuple(map(int, airflow_version.split(".")[:2])) < (3, 3),
    reason="before Airflow 3.3 thread and run are made by one request, which nobody has recorded",
)
def test_a_run_that_openai_once_did_is_made_waited_for_and_retrieved(replayed: DagRun) -> None:
    replayed.wait_for_success()
    recorded = json.loads((RECORDED / "sequence" / f"{SEQUENCE}.json").read_text(encoding="utf-8"))
    run = [one["body"] for one in recorded if one["body"].get("object") == "thread.run"][-1]
    steps = recorded[-1]["body"]["data"]
    facts = replayed.xcoms("facts")
    assert replayed.xcoms("see_end")["return_value"]["status"] == run["status"] == "completed"
    for name in ("id", "thread_id", "assistant_id", "model", "instructions", "created_at", "completed_at"):
        assert facts[name] == run[name]
    assert facts["usage"]["total_tokens"] == run["usage"]["total_tokens"]
    details = {step["id"]: json.loads(step["details"]) for step in facts["steps"]}
    assert details == {step["id"]: step["step_details"] for step in steps}


def test_a_run_is_followed_to_its_end_and_another_is_ended_with_its_task(
    airflow: LocalAirflow, mock: str
) -> None:
    api = f"{mock}/v1"

    def call(method: str, url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        answer = requests.request(method, url, json=body, timeout=10)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    connect(airflow, "openai_mock", api)
    assistant_id = call("POST", f"{api}/assistants", {"model": "gpt-4o"})["id"]
    run = DagRun.start(airflow, "runs_of_others", {"assistant_id": assistant_id})
    made = {}
    for task_id in ("complete", "cancel"):
        run.wait_until(task_id, "deferred")
        xcoms = run.xcoms(task_id)
        made[task_id] = f"{api}/threads/{xcoms['thread_id']}/runs/{xcoms['run_id']}"
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    ended = {**call("GET", made["complete"]), "status": "completed", "usage": usage}
    call("POST", f"{mock}/_seed", ended)

    assert run.wait_for_task("complete")["state"] == "success"
    xcoms = run.xcoms("complete")
    assert (xcoms["id"], xcoms["status"]) == (ended["id"], "completed")
    assert xcoms["assistant_id"] == assistant_id
    assert xcoms["token_usage"]["total_tokens"] == 7

    # By now the triggerer has taken up the other task too: before that, nobody would hear of its end.
    airflow.rest.set_state(run.dag_id, run.run_id, "cancel", "failed")
    airflow.wait_until(
        "the other run is cancelled",
        lambda: call("GET", made["cancel"])["status"] in {"cancelling", "cancelled"},
        60,
    )
