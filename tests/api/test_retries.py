from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from typing import Any, get_args

import openai
import pytest

from airflow_provider_openai_run.api import retries
from airflow_provider_openai_run.api.base import Request
from airflow_provider_openai_run.api.http import ApiResponse, parse_or_raise
from airflow_provider_openai_run.api.retries import Operation, classify, is_retried
from airflow_provider_openai_run.exceptions import RunAuthenticationError, RunRequestError

PAGE = Path(__file__).parents[2] / "docs" / "waiting.md"
OPERATIONS: tuple[Operation, ...] = get_args(Operation)
BUSY = "Thread thread_1 already has an active run run_2."
ADVISED = {"x-should-retry": "true"}
DISCOURAGED = {"x-should-retry": "false"}


def error_for(
    http_status: int, *, code: str | None = None, message: str = "No.", headers: dict[str, str] | None = None
) -> RunRequestError:
    """Return the error that a response of the API becomes."""
    body = json.dumps({"error": {"message": message, "code": code}}).encode()
    response = ApiResponse(http_status, headers or {}, body)
    with pytest.raises(RunRequestError) as caught:
        parse_or_raise(response, Request("POST", "/responses"), None, now=0.0)
    return caught.value


def retried(error: RunRequestError) -> set[str]:
    return {operation for operation in OPERATIONS if is_retried(error, operation)}


def markdown_table() -> str:
    """Return the table of the rules as the documentation shows it."""
    header = ["failure", *OPERATIONS, "why"]
    rows = [
        [rule.condition, *("yes" if name in rule.retried else "no" for name in OPERATIONS), rule.reason]
        for rule in retries.RULES
    ]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [header, ["---"] * len(header), *rows])


def test_the_documentation_has_the_table_of_the_rules() -> None:
    text = PAGE.read_text(encoding="utf-8")
    (table,) = re.findall(r"<!-- retries: begin -->\n\n(.*?)\n\n<!-- retries: end -->", text, re.DOTALL)
    assert table == markdown_table()


def test_every_rule_has_a_name_of_its_own() -> None:
    assert len({rule.name for rule in retries.RULES}) == len(retries.RULES)


@pytest.mark.parametrize(
    ("http_status", "expected"),
    [
        (200, {"poll"}),
        (302, {"poll"}),
        (400, set()),
        (401, set()),
        (402, set()),
        (403, set()),
        (404, set()),
        (408, {"poll", "hook", "cancel"}),
        (409, {"poll", "hook", "cancel"}),
        (422, set()),
        (425, {"poll"}),
        (429, {*OPERATIONS}),
        (500, {"poll", "hook", "cancel"}),
        (503, {*OPERATIONS}),
        (529, {"poll", "hook", "cancel"}),
    ],
)
def test_each_status_is_retried_where_it_helps(http_status: int, expected: set[str]) -> None:
    error = error_for(http_status)
    assert retried(error) == expected
    assert error.is_retryable == ("poll" in expected)


def test_a_locked_conversation_is_retried_whatever_its_status() -> None:
    for http_status in (400, 409):
        error = error_for(http_status, code="conversation_locked")
        assert retried(error) == {"poll", "create", "submit"}
        assert not retries.is_final(error)


def test_a_locked_conversation_keeps_its_retry_after() -> None:
    headers = {**ADVISED, "retry-after": "3"}
    error = error_for(400, code="conversation_locked", headers=headers)
    assert (error.is_retryable, error.retry_after, error.should_retry) == (True, 3.0, True)


@pytest.mark.parametrize("http_status", [400, 404, 422, 418])
def test_the_server_can_advise_a_retry_of_a_4xx(http_status: int) -> None:
    error = error_for(http_status, headers=ADVISED)
    assert retried(error) == {*OPERATIONS}
    assert error.is_retryable
    assert not retries.is_final(error)


def test_a_create_is_not_repeated_after_a_500_even_if_advised() -> None:
    assert retried(error_for(500, headers=ADVISED)) == {"poll", "hook", "cancel"}


@pytest.mark.parametrize("http_status", [408, 409, 429, 500, 503])
def test_a_discouraged_retry_leaves_only_the_polls_of_a_wait(http_status: int) -> None:
    error = error_for(http_status, headers=DISCOURAGED)
    assert retried(error) == {"poll"}
    assert error.is_retryable


@pytest.mark.parametrize("value", ["", "maybe", "1"])
def test_an_unknown_x_should_retry_is_ignored(value: str) -> None:
    error = error_for(400, headers={"x-should-retry": value})
    assert (error.should_retry, retried(error)) == (None, set())


@pytest.mark.parametrize("http_status", [400, 409])
def test_a_busy_thread_may_become_free(http_status: int) -> None:
    error = error_for(http_status, code="invalid_request_error", message=BUSY)
    assert retries.is_thread_busy(error)
    assert error.is_retryable
    assert not is_retried(error, "create")
    assert not retries.is_final(error)


@pytest.mark.parametrize(("http_status", "message"), [(400, "No."), (404, BUSY), (500, BUSY)])
def test_another_error_does_not_mean_a_busy_thread(http_status: int, message: str) -> None:
    assert not retries.is_thread_busy(error_for(http_status, message=message))


@pytest.mark.parametrize("http_status", range(400, 600))
def test_only_a_refused_request_makes_a_create_final(http_status: int) -> None:
    assert retries.is_final(error_for(http_status)) is (http_status in (400, 404, 422))


@pytest.mark.parametrize("http_status", range(400, 600))
def test_which_refusals_may_mean_that_a_run_has_ended(http_status: int) -> None:
    assert retries.may_have_ended(error_for(http_status)) is (
        http_status not in (401, 403, 408, 425, 429, 503)
    )


def test_a_lost_response_is_not_a_reason_to_create_again() -> None:
    error = RunRequestError("It broke.", is_retryable=True)
    assert retried(error) == {"poll", "hook", "cancel"}


def test_a_request_that_was_never_sent_has_no_rule() -> None:
    error = RunAuthenticationError("There is no such connection.")
    assert retries.rule_of(error) is None
    assert retried(error) == set()
    assert not retries.is_final(error)


def test_an_error_with_a_status_only_is_classified_by_it() -> None:
    assert retries.rule_of(RunRequestError("x", http_status=429)) is retries.RATE_LIMITED


@pytest.mark.parametrize("http_status", [400, 401, 404, 408, 409, 418, 422, 425, 429, 500, 502, 503, 529])
@pytest.mark.parametrize("headers", [{}, ADVISED, DISCOURAGED], ids=["plain", "advised", "discouraged"])
def test_hook_calls_are_retried_as_the_sdk_does(http_status: int, headers: dict[str, str]) -> None:
    http: Any = importlib.import_module("httpx" if openai.VERSION.startswith("2.") else "httpx2")
    with openai.OpenAI(api_key="x", base_url="http://127.0.0.1:1") as client:
        is_retried_by_sdk = client._should_retry(http.Response(http_status, headers=headers))
    assert ("hook" in classify(http_status, None, headers).retried) is is_retried_by_sdk
