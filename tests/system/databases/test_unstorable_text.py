"""Text that no codec or database takes ends neither the triggerer nor a task whose run was paid for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_openai_run.sandbox import Sandbox
from tests.system.dag_run import DagRun
from tests.system.local_airflow import LocalAirflow

pytestmark = pytest.mark.system

TEXT = "boom \ud83d\x00"
STORED = "boom \ufffd\ufffd"
#: Neither ASCII nor UTF-8.
HEADERS = {"x-request-id": "req_\xe9"}
LONG_SECONDS = 250


@pytest.fixture(autouse=True)
def _no_faults_remain(sandbox: Sandbox) -> Iterator[None]:
    yield
    sandbox.faults.clear()


def response(**fields: Any) -> dict[str, Any]:
    message = {
        "id": f"msg_{TEXT}",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": f"Answer: {TEXT}", "annotations": []}],
    }
    return {
        "id": "resp_1",
        "object": "response",
        "model": "gpt-5.2",
        "status": "completed",
        "metadata": {"note": TEXT},
        "instructions": TEXT,
        "output": [message],
        "usage": {"input_tokens": 1, "output_tokens": 2**70, "total_tokens": 3},
        "created_at": 1_790_000_000,
        **fields,
    }


def test_a_failure_with_unstorable_text_disturbs_no_other_task(
    any_airflow: LocalAirflow, sandbox: Sandbox
) -> None:
    failing = sandbox.create_response(script="in_progress")["id"]
    thread_run = sandbox.create_run(script="in_progress")
    beside = sandbox.create_response(script={"base": "completed", "seconds": LONG_SECONDS})["id"]
    triggerer = any_airflow.components["triggerer"]
    processes = set(triggerer.left_over())
    ids = {"failing": failing, "beside": beside, "failing_run": thread_run["id"]}
    run = DagRun.start(
        any_airflow, "waits_for_an_unstorable_message", {**ids, "thread_id": thread_run["thread_id"]}
    )
    for task_id in ids:
        run.wait_until(task_id, "deferred")

    error = {"code": f"server_error {TEXT}", "message": TEXT}
    body = response(id=failing, status="failed", error=error)
    sandbox.faults.add("reply", path=f"/responses/{failing}", status=200, body=body, headers=HEADERS)
    body = {**thread_run, "status": "failed", "last_error": error, "instructions": TEXT}
    sandbox.faults.add("reply", path=f"/runs/{thread_run['id']}", status=200, body=body, headers=HEADERS)
    for task_id in ("failing", "failing_run"):
        run.wait_until(task_id, "failed")
        assert STORED in run.log(task_id)
    sandbox.clock.advance(LONG_SECONDS)
    run.wait_until("beside", "success")

    assert triggerer.is_running
    assert processes <= set(triggerer.left_over())
    assert run.xcoms("beside")["return_value"]["status"] == "completed"


def test_a_response_with_unstorable_text_is_a_success(any_airflow: LocalAirflow, sandbox: Sandbox) -> None:
    sandbox.faults.add(
        "reply", method="POST", path="/responses", times=1, status=200, body=response(), headers=HEADERS
    )
    run = DagRun.start(any_airflow, "creates_an_unstorable_answer", {})
    run.wait_for_success()

    xcoms = run.xcoms("create")
    log = run.log("create")

    assert xcoms["answer"] == f"Answer: {STORED}"
    assert xcoms["metadata"] == {"note": STORED}
    assert xcoms["return_value"]["instructions"] == STORED
    assert xcoms["token_usage"]["total_tokens"] == 3
    assert log.count("cannot be stored: metadata.note") == 1


def test_a_status_that_cannot_be_stored_is_pushed_as_a_storable_one(
    any_airflow: LocalAirflow, sandbox: Sandbox
) -> None:
    body = response(id="resp_odd", status=TEXT)
    sandbox.faults.add("reply", path="/responses/resp_odd", status=200, body=body, headers=HEADERS)
    run = DagRun.start(any_airflow, "retrieves_an_unstorable_status", {})
    run.wait_for_success()

    xcoms = run.xcoms("get")

    assert xcoms["status"] == STORED
    assert xcoms["return_value"]["instructions"] == STORED
