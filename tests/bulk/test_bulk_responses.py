"""Many responses by one task, with the real SDK against the sandbox."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import ObjectStoragePath
from airflow.sdk.io import attach
from fsspec.implementations.memory import MemoryFileSystem  # type: ignore[import-untyped]
from pydantic import BaseModel

from airflow_provider_openai_run.bulk.bulk_pass import BulkPass
from airflow_provider_openai_run.exceptions import (
    BulkFailedError,
    BulkJournalError,
    BulkRequestsError,
    InvalidConnectionError,
    RunAuthenticationError,
    RunWaitTimeoutError,
    TokenBudgetSpentError,
)
from airflow_provider_openai_run.sandbox import Sandbox
from tests.bulk.bulk_tasks import answered, lines, operator, questions, write_lines
from tests.owned_runs.task_attempts import StateStore, TaskAttempts, bodies
from tests.sandbox_fixtures import Connect
from tests.task_log import TaskLog

FAILING = {"metadata": {"sandbox_script": "failed_at_once"}}


class Colour(BaseModel):
    name: str


@pytest.fixture(autouse=True)
def _responses_end_at_once(sandbox: Sandbox) -> None:
    sandbox.set_default_script("instant")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "results"


def created(sandbox: Sandbox) -> int:
    return len(sandbox.list_responses())


def test_each_request_of_a_file_has_its_answer_in_the_results(sandbox: Sandbox, folder: Path) -> None:
    file = write_lines(folder.parent / "in.jsonl", questions(40))

    manifest = TaskAttempts(operator(folder, file)).begin()

    assert (manifest["status"], manifest["total"], manifest["completed"]) == ("completed", 40, 40)
    answers = lines(manifest["answers"]["path"])
    assert [line["custom_id"] for line in answers] == [f"q-{number}" for number in range(40)]
    assert {line["response"]["body"]["status"] for line in answers} == {"completed"}
    assert answers[0].keys() == {"id", "custom_id", "response", "error"}
    assert manifest["tokens"]["total"] == 40 * 150
    content = (folder / "answers.jsonl").read_bytes()
    assert manifest["answers"]["sha256"] == hashlib.sha256(content).hexdigest()
    assert json.loads((folder / "manifest.json").read_text()) == manifest
    assert sorted(path.name for path in folder.iterdir()) == [
        "answers.jsonl",
        "errors.jsonl",
        "manifest.json",
    ]


def test_a_list_and_defaults_become_bodies_in_the_background(sandbox: Sandbox, folder: Path) -> None:
    task = operator(
        folder,
        [{"input": "Red?"}, {"input": "Blue?", "model": "gpt-5-mini", "metadata": {"own": "1"}}],
        instructions="Be brief.",
        text_format=Colour,
        window="2h",
        extra_params={"newer": 1},
    )
    TaskAttempts(task).begin()
    first, second = sorted(bodies(sandbox, "/responses"), key=lambda body: body["model"], reverse=True)
    assert (first["model"], second["model"]) == ("gpt-5.2", "gpt-5-mini")
    assert (first["background"], first["store"], first["newer"]) == (True, True, 1)
    assert first["background_options"] == {"completion_window": "2h"}
    assert first["text"]["format"]["name"] == "Colour"
    assert second["metadata"] == {"own": "1", "airflow_task": "dag/manual__1/task/-1", "airflow_clear": "0"}


def test_results_and_requests_may_be_in_an_object_storage(sandbox: Sandbox, tmp_path: Path) -> None:
    attach("memory", fs=MemoryFileSystem())
    source = ObjectStoragePath(f"memory://bucket/{tmp_path.name}/in.jsonl")
    source.write_text("".join(f"{json.dumps(each)}\n" for each in questions(20)))
    results = ObjectStoragePath(f"memory://bucket/{tmp_path.name}/out")

    manifest = TaskAttempts(operator(str(results), source)).begin()

    answers = ObjectStoragePath(manifest["answers"]["path"]).read_text().splitlines()
    assert [json.loads(line)["custom_id"] for line in answers] == [f"q-{number}" for number in range(20)]
    assert not any(path.is_file() for path in results.rglob("journal/**/*"))


def test_without_a_folder_the_results_are_in_one_of_the_task_instance(sandbox: Sandbox) -> None:
    manifest = TaskAttempts(operator("", questions(1))).begin()
    assert manifest["results"].endswith("/openai_bulk/dag/manual__1/task")


@pytest.mark.parametrize("content", ["", "{\n"])
def test_a_wrong_file_is_refused_before_anything_is_sent(
    sandbox: Sandbox, folder: Path, content: str
) -> None:
    file = folder.parent / "in.jsonl"
    file.write_text(content)
    with pytest.raises(BulkRequestsError, match=r"in\.jsonl"):
        TaskAttempts(operator(folder, str(file))).begin()
    assert sandbox.count() == 0


def test_a_file_that_does_not_exist_is_named(sandbox: Sandbox, folder: Path) -> None:
    with pytest.raises(BulkRequestsError, match=r"missing\.jsonl cannot be read"):
        TaskAttempts(operator(folder, str(folder / "missing.jsonl"))).begin()


@pytest.mark.parametrize(("text", "problem"), [("None", "rendered to 'None'"), ("[{}]", "native_obj")])
def test_a_template_that_rendered_no_requests_is_refused(
    sandbox: Sandbox, folder: Path, text: str, problem: str
) -> None:
    with pytest.raises(BulkRequestsError, match=problem):
        TaskAttempts(operator(folder, text)).begin()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"window": "3h"}, "window must be one of"),
        ({"max_failed": 1.5}, "max_failed"),
        ({"max_failed": -1}, "max_failed"),
        ({"max_active_runs": 0}, "max_active_runs"),
        ({"requests_per_minute": -1}, "requests_per_minute"),
        ({"token_budget": 0}, "token_budget"),
        ({"requests": []}, "empty list"),
        ({"requests": {"input": "Hi"}}, "must be a list"),
        ({"text_format": dict}, "pydantic model"),
    ],
)
def test_a_wrong_argument_is_refused_when_the_dag_is_parsed(
    folder: Path, arguments: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        operator(folder, **{"requests": questions(1), **arguments})


def test_failed_requests_fail_the_task_and_can_be_read_in_again(sandbox: Sandbox, folder: Path) -> None:
    requests = [*questions(9), {"custom_id": "bad", "body": {"input": "Hi", **FAILING}}]
    with pytest.raises(BulkFailedError, match=r"1 requests failed, and max_failed=0 allows 0.*'bad'"):
        TaskAttempts(operator(folder, requests)).begin()
    [error] = lines(folder / "errors.jsonl")
    assert error["error"]["code"] == "rate_limit_exceeded"
    assert error["response"]["body"]["status"] == "failed"

    again = folder.parent / "again"
    with pytest.raises(BulkFailedError, match="'bad'"):
        TaskAttempts(operator(again, str(folder / "errors.jsonl"), results=str(again))).begin()


@pytest.mark.parametrize("max_failed", [1, 0.1, 1.0])
def test_a_task_may_have_some_failed_requests(sandbox: Sandbox, folder: Path, max_failed: float) -> None:
    requests = [*questions(9), {"custom_id": "bad", "body": {"input": "Hi", **FAILING}}]
    manifest = TaskAttempts(operator(folder, requests, max_failed=max_failed)).begin()
    assert (manifest["completed"], manifest["failed"], manifest["status"]) == (9, 1, "completed")
    assert manifest["errors"]["lines"] == 1


def test_a_retry_creates_the_failed_requests_again_and_no_others(sandbox: Sandbox, folder: Path) -> None:
    sandbox.add_script("first", {"base": "failed_at_once"})
    bad = {"custom_id": "bad", "body": {"input": "Hi", "metadata": {"sandbox_script": "first"}}}
    attempts = TaskAttempts(operator(folder, [*questions(9), bad]))
    with pytest.raises(BulkFailedError):
        attempts.begin()
    sandbox.add_script("first", {"base": "instant"})

    manifest = attempts.begin()

    assert (manifest["completed"], manifest["responses_created"]) == (10, 11)
    assert set(answered(folder).values()) == {1}
    keys = [request.headers["idempotency-key"] for request in sandbox.requests if request.method == "POST"]
    assert len(set(keys)) == 11


def test_a_request_that_the_api_refuses_is_not_created_again(sandbox: Sandbox, folder: Path) -> None:
    bad = {"custom_id": "bad", "body": {"input": "Hi", "metadata": {"sandbox_script": "no such"}}}
    attempts = TaskAttempts(operator(folder, [bad, *questions(3)], max_failed=1))
    manifest = attempts.begin()
    [error] = lines(manifest["errors"]["path"])
    assert (error["error"]["http_status"], error["response"]) == (400, None)
    assert manifest["statuses"] == {"completed": 3, "refused": 1}


def test_no_more_are_created_once_too_many_have_failed(sandbox: Sandbox, folder: Path) -> None:
    requests = questions(500, **FAILING)
    with pytest.raises(BulkFailedError):
        TaskAttempts(operator(folder, requests, max_failed=3)).begin()
    assert created(sandbox) < 150


@pytest.mark.parametrize("fault", ["rate_limited", "unavailable"])
def test_a_request_that_was_not_carried_out_is_sent_again(sandbox: Sandbox, folder: Path, fault: str) -> None:
    sandbox.faults.add(fault, method="POST", times=3, retry_after=0.01)
    manifest = TaskAttempts(operator(folder, questions(10))).begin()
    assert (manifest["completed"], created(sandbox)) == (10, 10)


@pytest.mark.parametrize("honoured", [True, False])
def test_a_request_whose_response_was_lost_is_sent_again_under_its_key(
    sandbox: Sandbox, folder: Path, monkeypatch: pytest.MonkeyPatch, honoured: bool
) -> None:
    monkeypatch.setattr("airflow_provider_openai_run.bulk.creator._RESEND_PAUSE", 0.01)
    sandbox.honour_idempotency_keys(honoured)
    sandbox.faults.add("cut", method="POST", every=5)

    manifest = TaskAttempts(operator(folder, questions(20))).begin()

    lost = manifest["responses_lost"]
    assert (manifest["completed"], set(answered(folder).values())) == (20, {1})
    assert lost >= 4
    assert created(sandbox) == 20 + (0 if honoured else lost)
    keys = [request.headers["idempotency-key"] for request in sandbox.requests if request.method == "POST"]
    assert (len(keys), len(set(keys))) == (20 + lost, 20)


def test_a_request_whose_responses_are_always_lost_fails(
    sandbox: Sandbox, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_openai_run.bulk.creator._RESEND_PAUSE", 0.01)
    sandbox.faults.add("cut", method="POST")
    with pytest.raises(BulkFailedError):
        TaskAttempts(operator(folder, questions(1))).begin()
    assert sandbox.count("POST") == 3
    assert json.loads((folder / "manifest.json").read_text())["statuses"] == {"lost": 1}


def test_a_refused_key_fails_the_task_and_a_retry_continues(
    sandbox: Sandbox, folder: Path, connect: Connect
) -> None:
    attempts = TaskAttempts(operator(folder, questions(10)))
    connect(password="wrong-key-of-the-test")
    with pytest.raises(RunAuthenticationError):
        attempts.begin()
    connect()
    assert attempts.begin()["completed"] == 10
    assert created(sandbox) == 10


def test_an_account_without_credit_fails_the_task_at_once(sandbox: Sandbox, folder: Path) -> None:
    body = {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}
    sandbox.faults.add("reply", method="POST", status=429, body=body)
    with pytest.raises(Exception, match="exceeded your current quota"):
        TaskAttempts(operator(folder, questions(3))).begin()
    assert created(sandbox) == 0


def test_a_missing_connection_is_reported_as_one(
    sandbox: Sandbox, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InvalidConnectionError, match="does not exist"):
        TaskAttempts(operator(folder, questions(1), conn_id="none_such")).begin()


def test_the_token_budget_ends_the_task_and_cancels_what_is_active(sandbox: Sandbox, folder: Path) -> None:
    requests = [*questions(4), *[{**each, "custom_id": f"slow-{each['custom_id']}"} for each in questions(4)]]
    for request in requests[4:]:
        request["body"] = {**request["body"], "metadata": {"sandbox_script": "completed"}}
    with pytest.raises(TokenBudgetSpentError, match="600 tokens were used, and 500 are allowed"):
        TaskAttempts(operator(folder, requests, token_budget=500)).begin()
    assert {each["status"] for each in sandbox.list_responses()} <= {"completed", "cancelled"}
    assert json.loads((folder / "manifest.json").read_text())["status"] == "token_budget"


def test_the_timeout_cancels_what_is_active_and_a_retry_continues(sandbox: Sandbox, folder: Path) -> None:
    sandbox.set_default_script("completed")
    attempts = TaskAttempts(operator(folder, questions(3), timeout=1.5))
    with pytest.raises(RunWaitTimeoutError, match="0 of 3 requests are answered"):
        attempts.begin()
    assert {each["status"] for each in sandbox.list_responses()} == {"cancelled"}
    sandbox.set_default_script("instant")
    assert attempts.begin()["completed"] == 3


def test_a_killed_task_cancels_what_is_active(
    sandbox: Sandbox, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.set_default_script("completed")
    task = operator(folder, questions(5))
    wait = BulkPass._wait_for_change

    async def kill_once_all_are_active(self: BulkPass) -> None:
        if len(sandbox.list_responses()) == 5:
            task.on_kill()
        await wait(self)

    monkeypatch.setattr(BulkPass, "_wait_for_change", kill_once_all_are_active)
    with pytest.raises(Exception, match="was killed"):
        TaskAttempts(task).begin()
    assert {each["status"] for each in sandbox.list_responses()} == {"cancelled"}


def test_a_retry_without_its_journal_pays_for_nothing(sandbox: Sandbox, folder: Path) -> None:
    sandbox.set_default_script("completed")
    attempts = TaskAttempts(operator(folder, questions(2), timeout=1, cancel_on_timeout=False))
    with pytest.raises(RunWaitTimeoutError):
        attempts.begin()
    folder.rename(folder.parent / "elsewhere")
    with pytest.raises(BulkJournalError, match="shared storage"):
        attempts.begin()
    assert created(sandbox) == 2


def test_clearing_the_task_cancels_the_old_responses_and_creates_new_ones(
    sandbox: Sandbox, folder: Path
) -> None:
    sandbox.set_default_script("completed")
    attempts = TaskAttempts(operator(folder, questions(2), timeout=1, cancel_on_timeout=False))
    with pytest.raises(RunWaitTimeoutError):
        attempts.begin()
    sandbox.set_default_script("instant")
    attempts.clears = 1
    manifest = attempts.begin()
    assert (manifest["completed"], created(sandbox)) == (2, 4)
    assert [each["status"] for each in sandbox.list_responses()].count("cancelled") == 2


def test_a_task_that_has_completed_is_not_run_again(sandbox: Sandbox, folder: Path) -> None:
    attempts = TaskAttempts(operator(folder, questions(2)))
    assert attempts.begin() == attempts.begin()
    assert created(sandbox) == 2


def test_the_results_of_another_task_are_refused(sandbox: Sandbox, folder: Path) -> None:
    TaskAttempts(operator(folder, questions(2))).begin()
    other = operator(folder, questions(2))
    attempts = TaskAttempts(other, store=StateStore())
    context: Any = attempts.context()
    context["ti"].run_id = "manual__2"
    with pytest.raises(BulkJournalError, match="manual__1"):
        other.execute(context)


def test_active_responses_are_followed_on_the_worker(
    sandbox: Sandbox, folder: Path, monkeypatch: pytest.MonkeyPatch, task_log: TaskLog
) -> None:
    sandbox.set_default_script("completed")
    active: list[int] = []
    wait = BulkPass._wait_for_change

    async def let_time_pass(self: BulkPass) -> None:
        active.append(sum(each["status"] == "queued" for each in sandbox.list_responses()))
        sandbox.clock.advance(5)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.2):
                await wait(self)

    monkeypatch.setattr(BulkPass, "_wait_for_change", let_time_pass)
    manifest = TaskAttempts(operator(folder, questions(12), max_active_runs=5)).begin()
    assert manifest["completed"] == 12
    assert max(active) <= 5
    assert "12 of 12 requests have ended" in task_log.everything()
