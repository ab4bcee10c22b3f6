"""Cancelling a run, and the reasons for it."""

from __future__ import annotations

import logging

import pytest

from airflow_provider_openai_run.cancellation import CancelReason, KillGuard, cancel
from airflow_provider_openai_run.exceptions import OpenAIRunError
from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook
from airflow_provider_openai_run.sandbox import Sandbox
from airflow_provider_openai_run.types.run_ref import RunRef


def get_hook() -> OpenAIRunHook:
    return OpenAIRunHook("openai_default")


def active_run(sandbox: Sandbox) -> RunRef:
    return RunRef("responses", sandbox.create_response(script="in_progress")["id"])


@pytest.mark.parametrize("reason", CancelReason)
def test_every_reason_has_a_description(reason: CancelReason) -> None:
    assert len(reason.description.split()) > 3


def test_no_two_reasons_have_the_same_description() -> None:
    assert len({reason.description for reason in CancelReason}) == len(CancelReason)


@pytest.mark.parametrize("reason", [CancelReason.TIMEOUT, CancelReason.WORKER_KILLED])
def test_a_worker_cancels_and_logs_the_reason(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture, reason: CancelReason
) -> None:
    ref = active_run(sandbox)
    with caplog.at_level(logging.INFO):
        assert cancel(get_hook, ref, reason) is True
    assert sandbox.state()["responses"] == {ref.run_id: "cancelled"}
    assert f"Cancelled {ref}: {reason.description}" in caplog.messages


@pytest.mark.parametrize("reason", [CancelReason.TIMEOUT, CancelReason.WORKER_KILLED])
@pytest.mark.parametrize("http_status", [400, 404, 409, 422, 500, 501])
@pytest.mark.parametrize("has_ended", [False, True])
def test_a_refused_cancel_says_whether_the_run_may_be_running(
    sandbox: Sandbox, http_status: int, has_ended: bool, reason: CancelReason
) -> None:
    script = "completed" if has_ended else "in_progress"
    ref = RunRef("responses", sandbox.create_response(script=script)["id"])
    sandbox.clock.advance(100)
    sandbox.faults.add("reply", path="/cancel", status=http_status)
    assert cancel(get_hook, ref, reason) is has_ended


def test_an_unexpected_error_is_logged_and_not_raised(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> OpenAIRunHook:
        raise ImportError("no hook")

    ref = RunRef("responses", "resp_1")
    assert cancel(broken, ref, CancelReason.WORKER_KILLED) is False
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "resp_1" in caplog.messages[0]


def test_a_killed_task_is_kept_from_spending_more() -> None:
    guard = KillGuard()
    guard.raise_if_killed()
    guard.kill(get_hook)
    with pytest.raises(OpenAIRunError, match="was killed"):
        guard.raise_if_killed()
