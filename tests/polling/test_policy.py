from __future__ import annotations

import json
import logging
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_openai_run.api.http import ApiResponse
from airflow_provider_openai_run.api.retries import NOT_FOUND_GRACE
from airflow_provider_openai_run.exceptions import (
    AssistantsApiEndedError,
    RunAuthenticationError,
    RunNotFoundError,
    RunRequestError,
    RunWaitTimeoutError,
)
from airflow_provider_openai_run.polling.backoff import DEFAULT_GROWTH
from airflow_provider_openai_run.polling.options import PollOptions
from airflow_provider_openai_run.polling.policy import (
    PollAgain,
    RunPoller,
)
from airflow_provider_openai_run.polling.wording import in_words
from airflow_provider_openai_run.types.outcome import Outcome
from airflow_provider_openai_run.types.run import RunError
from airflow_provider_openai_run.types.run_ref import RunRef
from airflow_provider_openai_run.types.status import TERMINAL_STATUSES
from tests.json_strategies import objects_with, quick
from tests.polling.decisions import (
    REF,
    START,
    MakePoller,
    assert_names,
    error_of,
    logged,
    outcome_of,
    poll_again,
    retryable_error,
    run,
)


@pytest.mark.parametrize("status", sorted(TERMINAL_STATUSES))
@pytest.mark.parametrize("on_requires_action", ["wait", "fail", "return", "answer"])
def test_the_first_terminal_status_ends_the_wait(
    make_poller: MakePoller, status: str, on_requires_action: str
) -> None:
    outcome = outcome_of(
        make_poller(on_requires_action=on_requires_action).on_run(run(status), START, request_id="req_1")
    )
    assert (outcome.ref, outcome.status, outcome.request_id, outcome.error) == (REF, status, "req_1", None)


def test_an_outcome_has_the_reason_of_a_failed_run(make_poller: MakePoller) -> None:
    failed = run("failed", last_error=RunError(code="server_error", message="Sorry."))
    outcome = outcome_of(make_poller().on_run(failed, START))
    assert outcome.code == "server_error"
    assert "Sorry." in str(outcome.reason)


def test_a_very_long_status_is_cut_in_the_event(make_poller: MakePoller) -> None:
    outcome = outcome_of(make_poller(deadline=0).on_run(run("x" * 100_000), START))
    assert len(json.dumps(outcome.to_event())) < 8_000


def test_an_unknown_status_is_logged_once_and_named_at_the_deadline(make_poller: MakePoller) -> None:
    poller = make_poller(deadline=60)
    first = poll_again(poller.on_run(run("brand_new"), START))
    assert [message.level for message in first.log_messages if "unknown" in message.text] == [logging.WARNING]
    assert logged(poller.on_run(run("brand_new"), START + 5)) == []
    error = error_of(poller.on_run(run("brand_new"), START + 60))
    assert isinstance(error, RunWaitTimeoutError)
    assert_names(error, "brand_new", "1 minute")


@pytest.mark.parametrize("last", ["completed", "failed", "requires_action"])
def test_the_final_status_change_is_logged(make_poller: MakePoller, last: str) -> None:
    poller = make_poller(on_requires_action="return")
    poller.on_run(run("queued"), START)
    (message,) = outcome_of(poller.on_run(run(last), START + 10)).log_messages
    assert message.level == logging.INFO
    for word in ("run_1", "queued", last, "10 seconds"):
        assert word in message.text


def test_only_a_changed_status_is_logged(make_poller: MakePoller) -> None:
    poller = make_poller()
    assert len(logged(poller.on_run(run("queued"), START))) == 1
    assert logged(poller.on_run(run("queued"), START + 5)) == []
    (text,) = logged(poller.on_run(run("in_progress"), START + 10))
    for word in ("run_1", "queued", "in_progress", "10 seconds"):
        assert word in text


def test_a_timeout_names_the_last_status_and_the_last_error(make_poller: MakePoller) -> None:
    poller = make_poller(deadline=90)
    poll_again(poller.on_run(run("in_progress"), START))
    poller.on_error(retryable_error(code="overloaded", request_id="req_7", http_status=503), START + 30)
    error = error_of(
        poller.on_error(retryable_error(code="overloaded", request_id="req_8", http_status=503), START + 90)
    )
    assert isinstance(error, RunWaitTimeoutError)
    assert_names(error, "in_progress", "1 minute 30 seconds", "HTTP 503", "left as it is")
    assert (error.status, error.code, error.request_id, error.http_status) == (
        "in_progress",
        "overloaded",
        "req_8",
        503,
    )
    assert error.run_left_running


def test_a_timeout_has_the_request_id_of_the_last_response(make_poller: MakePoller) -> None:
    poller = make_poller(deadline=90)
    assert error_of(poller.on_run(run("in_progress"), START + 90, request_id="req_9")).request_id == "req_9"


def test_a_timeout_without_any_status_says_so(make_poller: MakePoller) -> None:
    error = error_of(make_poller(deadline=10).on_error(retryable_error(), START + 10))
    assert_names(error, "its status is not known", "10 seconds")
    assert error.status is None


def test_a_run_found_completed_after_the_deadline_is_completed(make_poller: MakePoller) -> None:
    assert outcome_of(make_poller(deadline=10).on_run(run("completed"), START + 500)).error is None


def test_a_successful_poll_clears_the_last_error(make_poller: MakePoller) -> None:
    poller = make_poller(deadline=60)
    poller.on_error(retryable_error(), START)
    assert any("again" in text for text in logged(poller.on_run(run("queued"), START + 5)))
    assert "503" not in str(error_of(poller.on_run(run("queued"), START + 60)))


def test_only_consecutive_failures_end_the_wait(make_poller: MakePoller) -> None:
    poller = make_poller(max_consecutive_failures=3)
    for _ in range(5):
        poll_again(poller.on_error(retryable_error(), START))
        poll_again(poller.on_error(retryable_error(), START))
        poll_again(poller.on_run(run("queued"), START))
    poll_again(poller.on_error(retryable_error(), START))
    poll_again(poller.on_error(retryable_error(), START))
    error = error_of(
        poller.on_error(retryable_error(code="overloaded", request_id="req_1", http_status=503), START + 120)
    )
    assert type(error) is RunRequestError
    assert_names(error, "3 failed", "2 minutes", "HTTP 503", "queued", "left as it is")
    assert (error.status, error.code, error.request_id, error.http_status) == (
        "queued",
        "overloaded",
        "req_1",
        503,
    )
    assert error.run_left_running


def test_is_failing_is_whether_the_last_request_failed(make_poller: MakePoller) -> None:
    poller = make_poller()
    states = [poller.is_failing]
    poller.on_error(retryable_error(), START)
    states.append(poller.is_failing)
    poller.on_run(run("queued"), START)
    assert [*states, poller.is_failing] == [False, True, False]


def test_a_retried_failure_is_logged_with_the_next_poll(make_poller: MakePoller) -> None:
    poller = make_poller()
    for count in (1, 2):
        (message,) = poll_again(poller.on_error(retryable_error(), START)).log_messages
        assert message.level == logging.WARNING
        for word in ("503", str(count), in_words(5 * count)):
            assert word in message.text


@pytest.mark.parametrize(
    "error",
    [
        RunRequestError("HTTP 400", http_status=400, code="bad", request_id="req_1"),
        RunAuthenticationError("HTTP 401", http_status=401, code="bad", request_id="req_1"),
        RunAuthenticationError("HTTP 403", http_status=403, code="bad", request_id="req_1"),
        AssistantsApiEndedError("HTTP 404", http_status=404, code="bad", request_id="req_1"),
    ],
)
def test_a_final_error_ends_the_wait_at_once(make_poller: MakePoller, error: RunRequestError) -> None:
    raised = error_of(make_poller().on_error(error, START))
    assert type(raised) is type(error)
    assert_names(raised, f"HTTP {error.http_status}")
    assert (raised.code, raised.request_id, raised.http_status) == ("bad", "req_1", error.http_status)


@pytest.mark.parametrize(
    ("waited", "is_retried"), [(-5, True), (0, True), (NOT_FOUND_GRACE, True), (30.1, False)]
)
def test_a_404_is_retried_only_just_after_the_start(
    make_poller: MakePoller, waited: float, is_retried: bool
) -> None:
    decision = make_poller().on_error(RunNotFoundError("HTTP 404"), START + waited)
    assert isinstance(decision, PollAgain) is is_retried
    assert is_retried or type(error_of(decision)) is RunNotFoundError
    assert is_retried or error_of(decision).run_left_running is None


def test_a_404_just_after_the_start_counts_as_a_failure(make_poller: MakePoller) -> None:
    assert (
        type(error_of(make_poller(max_consecutive_failures=1).on_error(RunNotFoundError("x"), START)))
        is RunNotFoundError
    )


@pytest.mark.parametrize(
    ("retry_after", "delay"), [(None, 5.0), (0.0, 5.0), (1.0, 5.0), (120.0, 120.0), (3600, 3600)]
)
def test_retry_after_delays_the_next_poll(
    make_poller: MakePoller, retry_after: float | None, delay: float
) -> None:
    assert (
        poll_again(make_poller().on_error(retryable_error(retry_after=retry_after), START)).at
        == START + delay
    )
    assert poll_again(make_poller().on_run(run("queued"), START, retry_after=retry_after)).at == START + delay


def test_the_last_poll_is_at_the_deadline_whatever_retry_after_says(make_poller: MakePoller) -> None:
    assert (
        poll_again(make_poller(deadline=30).on_error(retryable_error(retry_after=1e14), START)).at
        == START + 30
    )
    assert (
        poll_again(make_poller(deadline=30).on_run(run("queued"), START, retry_after=1e14)).at == START + 30
    )


def test_a_huge_retry_after_gives_a_finite_time(make_poller: MakePoller) -> None:
    assert math.isfinite(poll_again(make_poller().on_error(retryable_error(retry_after=1e14), START)).at)
    assert math.isfinite(poll_again(make_poller().on_run(run("queued"), START, retry_after=1e14)).at)


def test_the_interval_doubles_with_each_failure(make_poller: MakePoller) -> None:
    poller = make_poller(poll_interval=2, max_poll_interval=15)
    assert [poll_again(poller.on_error(retryable_error(), START)).at - START for _ in range(5)] == [
        2,
        4,
        8,
        15,
        15,
    ]


def test_the_interval_grows_with_the_time_waited_up_to_the_longest(make_poller: MakePoller) -> None:
    poller = make_poller(poll_interval=5, max_poll_interval=60)
    intervals = [
        poll_again(poller.on_run(run("queued"), START + waited)).at - START - waited
        for waited in (0, 900, 10**6)
    ]
    assert intervals == [5, 30 * DEFAULT_GROWTH, 60]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "0.0 seconds"),
        (0.44, "0.4 seconds"),
        (0.949, "0.9 seconds"),
        (0.95, "1 second"),
        (0.999, "1 second"),
        (1, "1 second"),
        (90, "1 minute 30 seconds"),
        (7200, "2 hours"),
    ],
)
def test_a_duration_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_a_response_is_parsed_and_decided_on(make_poller: MakePoller) -> None:
    body = json.dumps({"id": "run_1", "status": "in_progress"}).encode()
    response = ApiResponse(200, {"openai-poll-after-ms": "45000", "x-request-id": "req_1"}, body)
    assert poll_again(make_poller().on_response(response, START)).at == START + 45
    done = ApiResponse(200, {"x-request-id": "req_2"}, body.replace(b"in_progress", b"completed"))
    outcome = outcome_of(make_poller().on_response(done, START))
    assert (outcome.status, outcome.request_id) == ("completed", "req_2")


def test_an_unchanged_body_is_handled_like_any_other_poll(make_poller: MakePoller) -> None:
    poller = make_poller(deadline=100)
    body = json.dumps({"id": "run_1", "status": "in_progress"}).encode()
    assert logged(poller.on_response(ApiResponse(200, {}, body), START)) != []
    assert logged(poller.on_response(ApiResponse(200, {}, body), START + 5)) == []
    poller.on_error(retryable_error(), START + 10)
    again = poll_again(poller.on_response(ApiResponse(200, {"retry-after": "50"}, body), START + 15))
    assert again.at == START + 65
    assert "polled again" in " ".join(logged(again))
    error = error_of(poller.on_response(ApiResponse(200, {"x-request-id": "req_1"}, body), START + 100))
    assert isinstance(error, RunWaitTimeoutError)
    assert error.request_id == "req_1"


@pytest.mark.parametrize(
    ("response", "is_retried"),
    [
        (ApiResponse(200, {}, b"<html>"), True),
        (ApiResponse(200, {}, b'{"object": "error"}'), True),
        (ApiResponse(429, {"retry-after": "7"}, b""), True),
        (ApiResponse(502, {}, b"<html>"), True),
        (ApiResponse(404, {}, b""), True),
        (ApiResponse(400, {}, b""), False),
        (ApiResponse(401, {}, b""), False),
    ],
)
def test_a_response_without_a_run_is_a_failure(
    make_poller: MakePoller, response: ApiResponse, is_retried: bool
) -> None:
    decision = make_poller().on_response(response, START)
    assert isinstance(decision, PollAgain) is is_retried
    if response.http_status == 429:
        assert poll_again(decision).at == START + 7


def test_a_thread_at_openai_ends_the_wait_with_the_advice(make_poller: MakePoller) -> None:
    decision = make_poller().on_response(
        ApiResponse(404, {}, b""), START, base_url="https://api.openai.com/v1"
    )
    error = error_of(decision)
    assert isinstance(error, AssistantsApiEndedError)
    assert_names(error, "2026-08-26", "Responses")


@quick
@given(objects_with("status", "required_action", "last_error", "tool_resources", "output", "tools", "error"))
def test_a_response_of_any_shape_leads_to_a_decision(fields: dict[str, Any]) -> None:
    response = ApiResponse(200, {}, json.dumps({"id": "run_1", **fields}).encode())
    for ref in (REF, RunRef("responses", "resp_1")):
        decision = RunPoller(ref, PollOptions(started_at=START), random_fraction=lambda: 0.0).on_response(
            response, START
        )
        assert isinstance(decision, PollAgain | Outcome)


@quick
@given(st.floats(allow_nan=False))
def test_any_duration_has_words(seconds: float) -> None:
    assert in_words(seconds)
