from __future__ import annotations

import contextlib
import dataclasses
import json
import math
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_openai_run.api.base import Request
from airflow_provider_openai_run.api.http import ApiResponse, parse_or_raise, parse_retry_after
from airflow_provider_openai_run.api.registry import api_of, get_api, run_ref
from airflow_provider_openai_run.exceptions import (
    AssistantsApiEndedError,
    RunAuthenticationError,
    RunNotFoundError,
    RunRequestError,
)
from airflow_provider_openai_run.types.run_ref import RunRef
from tests.json_strategies import json_values, quick

NOW = 1_795_000_000.0
REF = RunRef("assistants", "run_1", "thread_1")
HEADERS = {"x-request-id": "req_1", "content-type": "text/html"}


def request_for(ref: RunRef | None, required_key: str = "id") -> Request:
    """The request for a run, as its API makes it, or one that creates a response."""
    request = get_api("responses").create(None, {}) if ref is None else api_of(ref).retrieve(ref)
    return dataclasses.replace(request, required_key=required_key)


def error_for(
    http_status: int,
    body: bytes | dict[str, Any] = b"",
    *,
    headers: dict[str, str] | None = None,
    ref: RunRef | None = REF,
    base_url: str = "http://127.0.0.1:8000/v1",
) -> RunRequestError:
    sent = json.dumps(body).encode() if isinstance(body, dict) else body
    with pytest.raises(RunRequestError) as caught:
        parse_or_raise(
            ApiResponse(http_status, HEADERS | (headers or {}), sent),
            request_for(ref),
            ref,
            now=NOW,
            base_url=base_url,
        )
    return caught.value


def test_a_valid_response_is_its_object() -> None:
    assert parse_or_raise(
        ApiResponse(200, {}, b'{"id": "run_1", "a": null}'), request_for(REF), REF, now=NOW
    ) == {
        "id": "run_1",
        "a": None,
    }
    assert parse_or_raise(
        ApiResponse(201, {}, b'\xef\xbb\xbf{"id": "run_1"}'), request_for(None), None, now=NOW
    ) == {"id": "run_1"}
    assert parse_or_raise(ApiResponse(200, {}, b'{"data": []}'), request_for(REF, "data"), REF, now=NOW) == {
        "data": []
    }


@pytest.mark.parametrize(
    ("body", "key"),
    [
        (b"", "id"),
        (b"<html><body>Bad gateway</body></html>", "id"),
        (b'{"id": "run_1"', "id"),
        (b"\xff\xfe\xfd", "id"),
        (b'{"id": "\xe9"}', "id"),
        (b"null", "id"),
        (b'"run_1"', "id"),
        (b"[]", "id"),
        (b"5", "id"),
        (b"{}", "id"),
        (b'{"id": null}', "id"),
        (b'{"id": ""}', "id"),
        (b'{"id": []}', "id"),
        (b'{"id": {"a": 1}}', "id"),
        (b'{"error": {"message": "overloaded"}}', "id"),
        (b'{"data": null}', "data"),
        (b'{"data": {"a": 1}}', "data"),
        (b'{"data": "abc"}', "data"),
        (b"[" * 200_000, "id"),
        (b'{"id": ' * 200_000, "id"),
        (b'{"id": "r", "n": ' + b"9" * 10_000 + b"}", "id"),
    ],
)
def test_an_unexpected_body_is_retryable_and_named_by_its_size(body: bytes, key: str) -> None:
    with pytest.raises(RunRequestError) as caught:
        parse_or_raise(ApiResponse(200, HEADERS, body), request_for(REF, key), REF, now=NOW)
    error = caught.value
    assert error.is_retryable
    assert (error.run_id, error.thread_id, error.http_status, error.request_id) == (
        "run_1",
        "thread_1",
        200,
        "req_1",
    )
    for word in ("run_1", "thread_1", "req_1", f"{len(body)} bytes", "text/html"):
        assert word in str(error)
    assert "<html>" not in str(error)
    assert len(str(error)) < 1000


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_parsed_response_can_be_written_as_strict_json(number: str) -> None:
    body = (
        f'{{"id": "r", "status": "completed", "metadata": {{"a": {number}}}, "output": [{{"b": {number}}}]}}'
    )
    try:
        read = parse_or_raise(ApiResponse(200, {}, body.encode()), request_for(None), None, now=NOW)
    except RunRequestError:
        return
    value: dict[str, Any] = get_api("responses").read_run(read).to_xcom()
    json.dumps(value, allow_nan=False)
    for step in value["steps"]:
        json.dumps(json.loads(step["details"]), allow_nan=False)


@quick
@given(
    st.integers(100, 999),
    st.binary() | json_values.map(lambda value: json.dumps(value).encode()),
    st.none() | st.just(REF),
    st.sampled_from(["id", "data"]),
)
def test_any_response_is_an_object_with_its_key_or_an_error(
    http_status: int, body: bytes, ref: RunRef | None, key: str
) -> None:
    read: Any = None
    with contextlib.suppress(RunRequestError):
        read = parse_or_raise(ApiResponse(http_status, {}, body), request_for(ref, key), ref, now=NOW)
    assert read is None or (http_status < 400 and read[key] is not None)


@quick
@given(st.integers(400, 599), json_values)
def test_an_error_body_of_any_shape_becomes_a_short_message(http_status: int, value: Any) -> None:
    bodies: list[Any] = [value, *({key: value} for key in ("error", "detail", "message"))]
    bodies += [{"error": {key: value}} for key in ("message", "code", "type", "param")]
    for body in bodies:
        error = error_for(http_status, json.dumps(body).encode())
        assert error.code is None or isinstance(error.code, str)
        assert len(str(error)) < 2000


@pytest.mark.parametrize("http_status", range(400, 600))
def test_only_passing_errors_are_retryable(http_status: int) -> None:
    assert error_for(http_status).is_retryable is (http_status in (408, 409, 425, 429) or http_status >= 500)


@pytest.mark.parametrize(
    ("http_status", "kind"),
    [
        (400, RunRequestError),
        (401, RunAuthenticationError),
        (403, RunAuthenticationError),
        (404, RunNotFoundError),
        (409, RunRequestError),
        (429, RunRequestError),
        (500, RunRequestError),
        (529, RunRequestError),
    ],
)
def test_each_error_response_is_an_error_with_all_fields(
    http_status: int, kind: type[RunRequestError]
) -> None:
    body = {"error": {"message": "It went wrong.", "type": "some_error", "param": None, "code": "some_code"}}
    error = error_for(http_status, body, headers={"retry-after": "3"})
    assert type(error) is kind
    assert (error.run_id, error.thread_id, error.http_status) == ("run_1", "thread_1", http_status)
    assert (error.code, error.request_id, error.retry_after) == ("some_code", "req_1", 3)
    for word in ("run_1", "thread_1", str(http_status), "It went wrong.", "req_1"):
        assert word in str(error)


@pytest.mark.parametrize(
    ("body", "code", "text"),
    [
        ({"error": {"message": "Oh no.", "code": "c", "type": "t"}}, "c", "Oh no."),
        ({"error": {"message": "Oh no.", "code": None, "type": "t"}}, "t", "Oh no."),
        ({"error": {"message": "Oh no."}}, None, "Oh no."),
        ({"error": {"message": None, "code": "c"}}, "c", "c"),
        ({"error": {"message": "Oh no.", "code": 404}}, "404", "Oh no."),
        ({"error": {}}, None, "Bad Gateway"),
        ({"error": {"message": None, "code": None}}, None, "Bad Gateway"),
        ({"error": "Oh no."}, None, "Oh no."),
        ({"error": None, "detail": "Oh no."}, None, "Oh no."),
        ({"detail": "Oh no."}, None, "Oh no."),
        ({"detail": [{"loc": ["path", "run_id"], "msg": "Oh no."}]}, None, "Oh no."),
        ({"object": "error", "message": "Oh no."}, None, "Oh no."),
        ({}, None, "Bad Gateway"),
        (b"", None, "Bad Gateway"),
        (b"null", None, "Bad Gateway"),
        (b"[]", None, "Bad Gateway"),
        (b"<html><body>secret page</body></html>", None, "Bad Gateway"),
        (b"\xff\xfe\xfd\xe9", None, "Bad Gateway"),
        (b"[" * 200_000, None, "Bad Gateway"),
    ],
)
def test_every_form_of_error_body_is_read(body: bytes | dict[str, Any], code: str | None, text: str) -> None:
    error = error_for(502, body)
    assert error.code == code
    assert text in str(error)
    assert "None" not in str(error)
    assert "secret page" not in str(error)


def test_without_a_request_id_the_message_names_none() -> None:
    with pytest.raises(RunRequestError) as caught:
        parse_or_raise(ApiResponse(500, {}, b""), request_for(REF), REF, now=NOW)
    assert caught.value.request_id is None
    assert "request id" not in str(caught.value)


def test_an_error_before_the_run_exists_names_no_run() -> None:
    error = error_for(400, {"error": {"message": "Missing input."}}, ref=None)
    assert (error.run_id, error.thread_id) == (None, None)
    assert "None" not in str(error)


def test_a_very_long_message_is_cut() -> None:
    assert len(str(error_for(500, {"error": {"message": "long " * 10_000}}))) < 1000


def test_a_very_long_code_is_cut() -> None:
    assert (
        len(json.dumps(error_for(500, {"error": {"message": "m", "code": "c" * 100_000}}).to_event())) < 2000
    )


@pytest.mark.parametrize(
    ("base_url", "thread_id", "http_status", "has_ended"),
    [
        ("https://api.openai.com/v1", "thread_1", 404, True),
        ("https://api.openai.com/v1/", "thread_1", 404, True),
        ("https://API.OpenAI.com:443/v1", "thread_1", 404, True),
        ("https://api.openai.com/v1", None, 404, False),
        ("https://api.openai.com/v1", "thread_1", 400, False),
        ("https://api.openai.com/v1", "thread_1", 500, False),
        ("https://api.openai.com/v1", "thread_1", 401, False),
        ("https://api.openai.com.example.org/v1", "thread_1", 404, False),
        ("https://example.org/api.openai.com/v1", "thread_1", 404, False),
        ("https://api.openai.com@example.org/v1", "thread_1", 404, False),
        ("https://my.openai.azure.com/openai/v1", "thread_1", 404, False),
        ("http://127.0.0.1:8000/v1", "thread_1", 404, False),
        ("https://[not-an-address/v1", "thread_1", 404, False),
        ("", "thread_1", 404, False),
    ],
)
def test_only_a_thread_at_openai_means_that_the_api_has_ended(
    base_url: str, thread_id: str | None, http_status: int, has_ended: bool
) -> None:
    error = error_for(http_status, ref=run_ref("run_1", thread_id=thread_id), base_url=base_url)
    assert isinstance(error, AssistantsApiEndedError) is has_ended
    if has_ended:
        assert not error.is_retryable
        for word in ("2026-08-26", "Responses", "run_1", "thread_1"):
            assert word in str(error)


def date(seconds_from_now: float) -> str:
    return format_datetime(datetime.fromtimestamp(NOW + seconds_from_now, UTC), usegmt=True)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "20"}, 20),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after": "0"}, 0),
        ({"retry-after": date(90)}, 90),
        ({"retry-after": date(-90)}, None),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"openai-poll-after-ms": "250"}, 0.25),
        ({"retry-after": "2", "retry-after-ms": "1500", "openai-poll-after-ms": "500"}, 2),
        ({"retry-after": "1", "retry-after-ms": "1500", "openai-poll-after-ms": "500"}, 1.5),
        ({"retry-after": "soon", "retry-after-ms": "1500"}, 1.5),
        ({"retry-after": "-5"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "5\x1f"}, None),
        ({"retry-after-ms": "5\u00a0"}, None),
        ({"retry-after": "\u0665"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after-ms": "inf"}, None),
        ({"retry-after": "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"}, None),
        ({"retry-after": "Mon, 01 Jan 2027 00:00:00 +99999999999999"}, None),
    ],
)
def test_retry_after_is_read_from_every_header(headers: dict[str, str], seconds: float | None) -> None:
    assert parse_retry_after(headers, NOW) == seconds


@quick
@given(
    st.dictionaries(
        st.sampled_from(["retry-after", "retry-after-ms", "openai-poll-after-ms"]),
        st.text()
        | st.from_regex(r"[0-9]{1,400}(\.[0-9]+)?")
        | st.from_regex(r"Mon, [0-9]+ Jan [0-9]+ .* GMT"),
    )
)
def test_retry_after_is_a_number_of_seconds_or_none(headers: dict[str, str]) -> None:
    retry_after = parse_retry_after(headers, NOW)
    assert retry_after is None or (math.isfinite(retry_after) and retry_after >= 0)
