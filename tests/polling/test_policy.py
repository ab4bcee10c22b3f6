from __future__ import annotations

import json
import logging
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_openai_run.api.http import ApiResponse
from airflow_provider_openai_run.exceptions import (
    AssistantsApiEndedError,
    RunAuthenticationError,
    RunNotFoundError,
    RunRequestError,
    RunWaitTimeoutError,
)
from airflow_provider_openai_run.polling.backoff import DEFAULT_GROWTH
from airflow_provider_openai_run.polling.options import PollOptions
from airflow_provider_openai_run.polling.policy import NOT_FOUND_GRACE, PollAgain, RunPoller, in_words
from airflow_provider_openai_run.types.outcome import Outcome
from airflow_provider_openai_run.types.run import RunError
from airflow_provider_openai_run.types.run_ref import RunRef
from airflow_provider_openai_run.types.status import TERMINAL_STATUSES
from tests.json_strategies import objects_with, quick
from tests.polling.single_poller import (
    REF,
    START,
    assert_names,
    ends,
    fails,
    goes_on,
    passing,
    run,
    texts,
    wait,
)


@pytest.mark.parametrize("status", sorted(TERMINAL_STATUSES))
@pytest.mark.parametrize("on_requires_action", ["wait", "fail", "return"])
def test_the_first_terminal_status_ends_the_wait(status: str, on_requires_action: str) -> None:
    outcome = ends(wait(on_requires_action=on_requires_action).on_run(run(status), START, request_id="req_1"))
    assert (outcome.ref, outcome.status, outcome.request_id, outcome.error) == (REF, status, "req_1", None)


def test_why_a_run_failed_is_in_the_outcome() -> None:
    failed = run("failed", last_error=RunError(code="server_error", message="Sorry."))
    outcome = ends(wait().on_run(failed, START))
    assert outcome.code == "server_error"
    assert "Sorry." in str(outcome.reason)


def test_a_status_as_long_as_a_book_makes_no_event_as_long() -> None:
    outcome = ends(wait(deadline=0).on_run(run("x" * 100_000), START))
    assert len(json.dumps(outcome.to_event())) < 8_000


def test_a_status_nobody_knows_is_borne_said_once_and_named_at_the_deadline() -> None:
    waiting = wait(deadline=60)
    first = goes_on(waiting.on_run(run("brand_new"), START))
    assert [note.level for note in first.notes if "unknown" in note.text] == [logging.WARNING]
    assert texts(waiting.on_run(run("brand_new"), START + 5)) == []
    error = fails(waiting.on_run(run("brand_new"), START + 60))
    assert isinstance(error, RunWaitTimeoutError)
    assert_names(error, "brand_new", "1 minute")


@pytest.mark.parametrize("last", ["completed", "failed", "requires_action"])
def test_the_last_change_of_status_is_said_too(last: str) -> None:
    waiting = wait(on_requires_action="return")
    waiting.on_run(run("queued"), START)
    (note,) = ends(waiting.on_run(run(last), START + 10)).notes
    assert note.level == logging.INFO
    for word in ("run_1", "queued", last, "10 seconds"):
        assert word in note.text


def test_a_change_of_status_is_said_once_and_a_mere_look_is_not() -> None:
    waiting = wait()
    assert len(texts(waiting.on_run(run("queued"), START))) == 1
    assert texts(waiting.on_run(run("queued"), START + 5)) == []
    (said,) = texts(waiting.on_run(run("in_progress"), START + 10))
    for word in ("run_1", "queued", "in_progress", "10 seconds"):
        assert word in said


def test_the_deadline_ends_the_wait_with_all_that_is_known() -> None:
    waiting = wait(deadline=90)
    goes_on(waiting.on_run(run("in_progress"), START))
    waiting.on_error(passing(code="overloaded", request_id="req_7", http_status=503), START + 30)
    error = fails(
        waiting.on_error(passing(code="overloaded", request_id="req_8", http_status=503), START + 90)
    )
    assert isinstance(error, RunWaitTimeoutError)
    assert_names(error, "in_progress", "1 minute 30 seconds", "HTTP 503", "left as it is")
    assert (error.status, error.code, error.request_id, error.http_status) == (
        "in_progress",
        "overloaded",
        "req_8",
        503,
    )


def test_the_deadline_names_the_request_of_the_last_answer() -> None:
    waiting = wait(deadline=90)
    assert fails(waiting.on_run(run("in_progress"), START + 90, request_id="req_9")).request_id == "req_9"


def test_a_deadline_reached_before_anything_was_seen_says_so() -> None:
    error = fails(wait(deadline=10).on_error(passing(), START + 10))
    assert_names(error, "no status was seen", "10 seconds")
    assert error.status is None


def test_an_end_seen_after_the_deadline_is_still_an_end() -> None:
    assert ends(wait(deadline=10).on_run(run("completed"), START + 500)).error is None


def test_a_failure_that_was_borne_is_forgotten_once_the_run_answers() -> None:
    waiting = wait(deadline=60)
    waiting.on_error(passing(), START)
    assert any("again" in text for text in texts(waiting.on_run(run("queued"), START + 5)))
    assert "503" not in str(fails(waiting.on_run(run("queued"), START + 60)))


def test_failures_in_a_row_end_the_wait_and_are_counted_anew_after_an_answer() -> None:
    waiting = wait(max_consecutive_failures=3)
    for _ in range(5):
        goes_on(waiting.on_error(passing(), START))
        goes_on(waiting.on_error(passing(), START))
        goes_on(waiting.on_run(run("queued"), START))
    goes_on(waiting.on_error(passing(), START))
    goes_on(waiting.on_error(passing(), START))
    error = fails(
        waiting.on_error(passing(code="overloaded", request_id="req_1", http_status=503), START + 120)
    )
    assert type(error) is RunRequestError
    assert_names(error, "3 failed", "2 minutes", "HTTP 503", "queued", "left as it is")
    assert (error.status, error.code, error.request_id, error.http_status) == (
        "queued",
        "overloaded",
        "req_1",
        503,
    )


def test_a_wait_knows_whether_the_last_request_failed() -> None:
    waiting = wait()
    seen = [waiting.is_failing]
    waiting.on_error(passing(), START)
    seen.append(waiting.is_failing)
    waiting.on_run(run("queued"), START)
    assert [*seen, waiting.is_failing] == [False, True, False]


def test_each_failure_that_is_borne_is_logged_with_when_it_asks_again() -> None:
    waiting = wait()
    for count in (1, 2):
        (note,) = goes_on(waiting.on_error(passing(), START)).notes
        assert note.level == logging.WARNING
        for word in ("503", str(count), in_words(5 * count)):
            assert word in note.text


@pytest.mark.parametrize(
    "error",
    [
        RunRequestError("HTTP 400", http_status=400, code="bad", request_id="req_1"),
        RunAuthenticationError("HTTP 401", http_status=401, code="bad", request_id="req_1"),
        RunAuthenticationError("HTTP 403", http_status=403, code="bad", request_id="req_1"),
        AssistantsApiEndedError("HTTP 404", http_status=404, code="bad", request_id="req_1"),
    ],
)
def test_what_will_not_pass_ends_the_wait_at_once(error: RunRequestError) -> None:
    came = fails(wait().on_error(error, START))
    assert type(came) is type(error)
    assert_names(came, f"HTTP {error.http_status}")
    assert (came.code, came.request_id, came.http_status) == ("bad", "req_1", error.http_status)


@pytest.mark.parametrize(
    ("waited", "is_borne"), [(-5, True), (0, True), (NOT_FOUND_GRACE, True), (30.1, False)]
)
def test_a_404_is_borne_only_just_after_the_start(waited: float, is_borne: bool) -> None:
    decision = wait().on_error(RunNotFoundError("HTTP 404"), START + waited)
    assert isinstance(decision, PollAgain) is is_borne
    assert is_borne or type(fails(decision)) is RunNotFoundError


def test_even_within_the_grace_a_404_counts_as_a_failure() -> None:
    assert (
        type(fails(wait(max_consecutive_failures=1).on_error(RunNotFoundError("x"), START)))
        is RunNotFoundError
    )


@pytest.mark.parametrize(
    ("asked_for", "delay"), [(None, 5.0), (0.0, 5.0), (1.0, 5.0), (120.0, 120.0), (3600, 3600)]
)
def test_how_long_the_api_asks_to_be_left_alone_is_obeyed(asked_for: float | None, delay: float) -> None:
    assert goes_on(wait().on_error(passing(retry_after=asked_for), START)).at == START + delay
    assert goes_on(wait().on_run(run("queued"), START, retry_after_seconds=asked_for)).at == START + delay


def test_the_last_question_is_asked_at_the_deadline_however_long_the_api_asks_to_be_left_alone() -> None:
    assert goes_on(wait(deadline=30).on_error(passing(retry_after=1e14), START)).at == START + 30
    assert goes_on(wait(deadline=30).on_run(run("queued"), START, retry_after_seconds=1e14)).at == START + 30


def test_a_server_that_asks_to_be_left_alone_for_ever_breaks_nothing() -> None:
    assert math.isfinite(goes_on(wait().on_error(passing(retry_after=1e14), START)).at)
    assert math.isfinite(goes_on(wait().on_run(run("queued"), START, retry_after_seconds=1e14)).at)


def test_failures_in_a_row_are_asked_about_ever_less() -> None:
    waiting = wait(poll_interval=2, max_poll_interval=15)
    assert [goes_on(waiting.on_error(passing(), START)).at - START for _ in range(5)] == [2, 4, 8, 15, 15]


def test_the_interval_grows_with_the_time_waited_up_to_the_longest() -> None:
    waiting = wait(poll_interval=5, max_poll_interval=60)
    asked = [
        goes_on(waiting.on_run(run("queued"), START + waited)).at - START - waited
        for waited in (0, 900, 10**6)
    ]
    assert asked == [5, 30 * DEFAULT_GROWTH, 60]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "0.0 seconds"),
        (0.44, "0.4 seconds"),
        (1, "1 second"),
        (90, "1 minute 30 seconds"),
        (7200, "2 hours"),
    ],
)
def test_durations_are_said_as_people_say_them(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


@pytest.mark.parametrize("seconds", [0.96, 0.999])
def test_almost_a_second_is_not_said_in_the_plural(seconds: float) -> None:
    assert in_words(seconds) in ("1 second", "0.9 seconds")


def test_an_answer_is_read_and_decided_on() -> None:
    body = json.dumps({"id": "run_1", "status": "in_progress"}).encode()
    answer = ApiResponse(200, {"openai-poll-after-ms": "45000", "x-request-id": "req_1"}, body)
    assert goes_on(wait().on_response(answer, START)).at == START + 45
    done = ApiResponse(200, {"x-request-id": "req_2"}, body.replace(b"in_progress", b"completed"))
    outcome = ends(wait().on_response(done, START))
    assert (outcome.status, outcome.request_id) == ("completed", "req_2")


def test_the_same_bytes_again_are_a_look_like_any_other() -> None:
    waiting = wait(deadline=100)
    body = json.dumps({"id": "run_1", "status": "in_progress"}).encode()
    assert texts(waiting.on_response(ApiResponse(200, {}, body), START)) != []
    assert texts(waiting.on_response(ApiResponse(200, {}, body), START + 5)) == []
    waiting.on_error(passing(), START + 10)
    again = goes_on(waiting.on_response(ApiResponse(200, {"retry-after": "50"}, body), START + 15))
    assert again.at == START + 65
    assert "answers again" in " ".join(texts(again))
    error = fails(waiting.on_response(ApiResponse(200, {"x-request-id": "req_1"}, body), START + 100))
    assert isinstance(error, RunWaitTimeoutError)
    assert error.request_id == "req_1"


@pytest.mark.parametrize(
    ("answer", "is_borne"),
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
def test_an_answer_that_is_no_run_is_a_failure(answer: ApiResponse, is_borne: bool) -> None:
    decision = wait().on_response(answer, START)
    assert isinstance(decision, PollAgain) is is_borne
    if answer.http_status == 429:
        assert goes_on(decision).at == START + 7


def test_a_thread_at_openai_ends_the_wait_with_the_news() -> None:
    decision = wait().on_response(ApiResponse(404, {}, b""), START, base_url="https://api.openai.com/v1")
    error = fails(decision)
    assert isinstance(error, AssistantsApiEndedError)
    assert_names(error, "2026-08-26", "Responses")


@quick
@given(objects_with("status", "required_action", "last_error", "tool_resources", "output", "tools", "error"))
def test_no_answer_keeps_the_wait_from_deciding(fields: dict[str, Any]) -> None:
    answer = ApiResponse(200, {}, json.dumps({"id": "run_1", **fields}).encode())
    for ref in (REF, RunRef("responses", "resp_1")):
        decision = RunPoller(ref, PollOptions(started_at=START), draw=lambda: 0.0).on_response(answer, START)
        assert isinstance(decision, PollAgain | Outcome)


@quick
@given(st.floats(allow_nan=False))
def test_no_duration_is_too_long_for_words(seconds: float) -> None:
    assert in_words(seconds)
