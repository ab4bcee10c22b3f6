"""The hook creates batches, lists them, waits for them and cancels them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_provider_openai_run.exceptions import (
    RunCancelledError,
    RunExpiredError,
    RunFailedError,
    RunNotFoundError,
    RunRequestError,
)
from airflow_provider_openai_run.sandbox import Sandbox
from tests.fake_clock import FakeClock
from tests.hooks.conftest import Call
from tests.sandbox_fixtures import Connect


def test_a_batch_goes_from_its_file_to_its_results(
    sandbox: Sandbox, call: Call, fake_clock: FakeClock, tmp_path: Path
) -> None:
    line = {"method": "POST", "url": "/v1/responses", "body": {"model": "gpt-5.2", "input": "Hi"}}
    path = tmp_path / "requests.jsonl"
    path.write_text("".join(json.dumps({"custom_id": f"q{n}", **line}) + "\n" for n in range(3)))
    batch = call("create_batch", call("upload_file", path).id, metadata={"team": "reports"})
    assert (batch.status, batch.endpoint, batch.completion_window, batch.metadata) == (
        "validating",
        "/v1/responses",
        "24h",
        {"team": "reports"},
    )
    ended = call("wait_for_run", batch.id, api="batches")
    assert (ended.status, ended.request_counts) == ("completed", {"total": 3, "completed": 3, "failed": 0})
    assert call("download_file", ended.output_file_id, tmp_path / "results.jsonl") > 0
    results = [json.loads(each) for each in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert [result["custom_id"] for result in results] == ["q0", "q1", "q2"]
    assert fake_clock.slept
    assert len(sandbox.created_responses) == 3


def test_a_batch_is_retrieved_and_cancelled(sandbox: Sandbox, call: Call) -> None:
    batch_id = sandbox.create_batch()["id"]
    assert call("get_run", batch_id, api="batches").status == "validating"
    assert call("cancel_run", batch_id, api="batches").status == "cancelling"
    assert call("list_steps", batch_id, api="batches") == ()


@pytest.mark.parametrize(
    ("script", "error", "message"),
    [
        ("failed", RunFailedError, "ended as failed: token_limit_exceeded: Enqueued token limit"),
        ("expired", RunExpiredError, "ended as expired"),
    ],
)
def test_a_batch_that_does_not_complete_raises_its_error(
    sandbox: Sandbox, call: Call, fake_clock: FakeClock, script: str, error: type[Exception], message: str
) -> None:
    del fake_clock
    batch_id = sandbox.create_batch(script=script)["id"]
    with pytest.raises(error, match=message):
        call("wait_for_run", batch_id, api="batches")


def test_an_expired_batch_can_be_accepted(sandbox: Sandbox, call: Call, fake_clock: FakeClock) -> None:
    del fake_clock
    batch_id = sandbox.create_batch(script="expired")["id"]
    run = call("wait_for_run", batch_id, api="batches", accepted_statuses=("completed", "expired"))
    assert (run.status, run.output_file_id is None) == ("expired", False)


def test_a_batch_that_is_cancelled_elsewhere_raises(
    sandbox: Sandbox, call: Call, fake_clock: FakeClock
) -> None:
    del fake_clock
    batch_id = sandbox.create_batch()["id"]
    call("cancel_run", batch_id, api="batches")
    with pytest.raises(RunCancelledError):
        call("wait_for_run", batch_id, api="batches")


def test_a_batch_is_created_only_once(sandbox: Sandbox, call: Call, connect: Connect) -> None:
    file_id = sandbox.upload_batch_file([{}])["id"]
    connect(max_retries=3)
    sandbox.faults.add("cut", method="POST", path="/batches")
    with pytest.raises(RunRequestError, match="The request for a batch got no response"):
        call("create_batch", file_id)
    assert sandbox.count("POST", "/batches") == 1
    assert len(sandbox.state()["batches"]) == 1


def test_a_refused_batch_names_the_reason(sandbox: Sandbox, call: Call) -> None:
    del sandbox
    with pytest.raises(RunRequestError, match="HTTP 400 for a batch: No such File object: file-none"):
        call("create_batch", "file-none")


def test_all_pages_of_batches_are_listed_newest_first(sandbox: Sandbox, call: Call) -> None:
    file_id = sandbox.upload_batch_file([{}])["id"]
    created = [sandbox.create_batch(file_id)["id"] for _ in range(230)]
    assert {run.id for run in call("list_batches")} == set(created)
    assert sandbox.count("GET", "/batches") == 3


def test_pages_of_batches_before_a_time_are_not_read(sandbox: Sandbox, call: Call) -> None:
    file_id = sandbox.upload_batch_file([{}])["id"]
    for _ in range(150):
        sandbox.create_batch(file_id)
    sandbox.clock.advance(60)
    now = sandbox.clock.now()
    latest = [sandbox.create_batch(file_id, metadata={"part": str(part)})["id"] for part in range(2)]
    runs = call("list_batches", created_after=now)
    assert [run.id for run in runs] in (latest, latest[::-1])
    assert {run.metadata["part"] for run in runs} == {"0", "1"}
    assert sandbox.count("GET", "/batches") == 1


def test_an_unknown_batch_is_not_found(sandbox: Sandbox, call: Call) -> None:
    del sandbox
    with pytest.raises(RunNotFoundError):
        call("get_run", "batch_none", api="batches")


def test_requests_are_uploaded_in_a_file_for_each_model(sandbox: Sandbox, call: Call) -> None:
    requests = [{"custom_id": str(n), "body": {"model": f"model-{n % 2}", "input": "Hi"}} for n in range(5)]
    files = call("upload_requests", requests)
    assert [file.filename for file in files] == ["requests-001.jsonl", "requests-002.jsonl"]
    for number, file in enumerate(files):
        lines = [json.loads(line) for line in sandbox.file_content(file.id).splitlines()]
        assert {line["body"]["model"] for line in lines} == {f"model-{number}"}
    assert call("upload_requests", []) == []


def test_a_bad_request_is_refused_before_the_first_upload(sandbox: Sandbox, call: Call) -> None:
    request = {"custom_id": "a", "body": {"model": "gpt-5.2", "input": "Hi"}}
    with pytest.raises(ValueError, match="request 2 has the custom_id 'a'"):
        call("upload_requests", [request, request])
    assert sandbox.requests == []
