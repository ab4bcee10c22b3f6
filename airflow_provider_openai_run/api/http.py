"""HTTP responses: the JSON object of a response, or its error.

Errors come as ``{"error": {message, type, param, code}}``, as ``{"detail": …}``, as a page, or empty; see
https://platform.openai.com/docs/guides/error-codes/api-errors.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_openai_run.api import retries
from airflow_provider_openai_run.api.endpoints import is_openai
from airflow_provider_openai_run.exceptions import (
    AssistantsApiEndedError,
    RunAuthenticationError,
    RunNotFoundError,
    RunRequestError,
)
from airflow_provider_openai_run.types.redaction import redact, secrets_in_headers
from airflow_provider_openai_run.types.storable import bounded_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_openai_run.api.base import Request
    from airflow_provider_openai_run.types.json import Json
    from airflow_provider_openai_run.types.run_ref import RunRef

#: The longest pause that a server can request, in seconds.
MAX_RETRY_AFTER = 3600.0


@dataclass(frozen=True)
class SentRequest:
    """A request as it was sent, credentials included: never show it."""

    url: str
    headers: Mapping[str, str] = field(repr=False)

    @cached_property
    def secrets(self) -> tuple[str, ...]:
        """The credentials in its headers, to mask in messages."""
        return secrets_in_headers(self.headers)


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """
    A response of the API.

    :param http_status: the HTTP status code.
    :param headers: the headers, with lower-case names or in a case-insensitive mapping.
    :param body: the bytes of the body.
    :param sent: the request that it responds to, for repeating it.
    """

    http_status: int
    headers: Mapping[str, str]
    body: bytes
    sent: SentRequest | None = field(default=None, repr=False, compare=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The credentials of the request, to mask in messages."""
        return self.sent.secrets if self.sent else ()

    @property
    def request_id(self) -> str | None:
        """The id that OpenAI's support needs, up to 200 characters that can be stored."""
        return self._header("x-request-id")

    @property
    def content_type(self) -> str | None:
        """The ``content-type`` header, for messages."""
        return self._header("content-type")

    def _header(self, name: str) -> str | None:
        value = self.headers.get(name)
        return None if value is None else bounded_text(redact(value, self.secrets))


def parse_retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """
    Return how many seconds the API wants no further request; None if it does not say.

    :param headers: of any response: ``retry-after-ms``, ``retry-after`` (seconds or an HTTP date) and
        ``openai-poll-after-ms`` are read. The longest counts, up to one hour.
    :param now: epoch seconds, for the date.
    """
    pauses = [_parse_number(headers.get(name), 1000) for name in ("retry-after-ms", "openai-poll-after-ms")]
    pauses.append(_parse_seconds_or_date(headers.get("retry-after"), now))
    valid = (min(pause, MAX_RETRY_AFTER) for pause in pauses if pause is not None and pause >= 0)
    return max(valid, default=None)


def _parse_number(text: str | None, divisor: int = 1) -> float | None:
    if text is None or not re.fullmatch(r"[ \t]*[0-9]+(\.[0-9]+)?[ \t]*", text):
        return None
    return float(text) / divisor


def _parse_seconds_or_date(text: str | None, now: float) -> float | None:
    number = _parse_number(text)
    if text is None or number is not None:
        return number
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now


def parse_or_raise(
    response: ApiResponse, request: Request, ref: RunRef | None, *, now: float, base_url: str = ""
) -> dict[str, Json]:
    """
    Return the JSON object of a response.

    :param response: the API's response.
    :param request: the request that it responds to.
    :param ref: the run that the request is about; None while it has no id yet.
    :param now: epoch seconds.
    :param base_url: the connection's base URL.
    :raises RunRequestError: for an error response, and for a body that is not the expected object.
        ``is_retryable`` is as :mod:`airflow_provider_openai_run.api.retries` says.
    """
    if response.http_status >= HTTPStatus.BAD_REQUEST:
        raise _error_of_response(response, request, ref, now, base_url)
    if response.http_status >= HTTPStatus.MULTIPLE_CHOICES:
        raise _redirect_error(response, request, ref)
    try:
        body = _parse_json(response.body)
    except ValueError:
        raise malformed_error(response, request, ref, "a body that is not valid JSON") from None
    if not isinstance(body, dict):
        raise malformed_error(response, request, ref, f"a JSON {type(body).__name__} instead of an object")
    key = request.required_key
    value = body.get(key)
    is_valid = isinstance(value, list) if key == "data" else isinstance(value, str | int) and bool(value)
    if not is_valid:
        error = f" but with the error {_code_and_message(response)[1]!r}" if body.get("error") else ""
        raise malformed_error(response, request, ref, f"a JSON object without {key!r}{error}")
    return body


def _error_of_response(
    response: ApiResponse, request: Request, ref: RunRef | None, now: float, base_url: str
) -> RunRequestError:
    code, text = _code_and_message(response)
    status = response.http_status
    rule = retries.classify(status, code, response.headers, text)
    fields: dict[str, Any] = {
        **_fields(response, ref),
        "code": code,
        "is_retryable": "poll" in rule.retried,
        "should_retry": retries.parse_should_retry(response.headers),
        "retry_rule": rule.name,
        "retry_after": parse_retry_after(response.headers, now),
    }
    subject = f"the steps of {ref}" if request.run_exists else ref or request.subject
    message = f"The API returned HTTP {status} for {subject}: {text}{_request_id(response)}"
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        advice = "Check the API key of the Airflow connection, and its organization and project."
        return RunAuthenticationError(f"{message}. {advice}", **fields)
    if status != HTTPStatus.NOT_FOUND:
        return RunRequestError(message, **fields)
    if request.ended_at_openai is not None and is_openai(base_url):
        final = {"is_retryable": False, "should_retry": False}
        return AssistantsApiEndedError(f"{request.ended_at_openai} {message}", **fields | final)
    if request.run_exists:
        return RunRequestError(f"{message}. The run exists, but its steps were not found.", **fields)
    if ref is None:
        return RunNotFoundError(
            f"{message}. Check the ids in the request and the connection's host.", **fields
        )
    return RunNotFoundError(f"{message}. Check run_id, thread_id and the connection's host.", **fields)


def _redirect_error(response: ApiResponse, request: Request, ref: RunRef | None) -> RunRequestError:
    """Return the error for a redirect that the HTTP client did not follow."""
    target = _origin(response.headers.get("location") or "")
    where = f" to {target}" if target else ""
    message = (
        f"The API's host redirects{where} instead of returning {ref or request.subject} "
        f"(HTTP {response.http_status}{_request_id(response, ', ')}). Check the connection's host"
    )
    if target:
        message += "; its credentials are not sent to another host"
    rule = retries.MALFORMED
    return RunRequestError(message, is_retryable=True, retry_rule=rule.name, **_fields(response, ref))


def _origin(url: str) -> str:
    """Return the scheme, host and port of a URL, which hold no secret; empty if it has none."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return ""
    is_plain = parts.hostname is not None and re.fullmatch(r"[A-Za-z0-9.-]{1,253}", parts.hostname)
    return (
        f"{parts.scheme}://{parts.hostname}{port}" if is_plain and parts.scheme in ("http", "https") else ""
    )


def malformed_error(
    response: ApiResponse, request: Request, ref: RunRef | None, body: str
) -> RunRequestError:
    """
    Return the error for a response whose body is not what the API sends.

    :param response: the response.
    :param request: the request that it responds to.
    :param ref: the run that the request is about; None while it has no id, and for a file.
    :param body: what its body is, with its article.
    """
    size = f"{len(response.body)} bytes of {response.content_type or 'no content type'}"
    message = f"The API returned {body} for {ref or request.subject} ({size}{_request_id(response, ', ')})"
    rule = retries.MALFORMED
    return RunRequestError(message, is_retryable=True, retry_rule=rule.name, **_fields(response, ref))


def _fields(response: ApiResponse, ref: RunRef | None) -> dict[str, Any]:
    """Return the arguments that all errors take."""
    ids = ref.ids if ref else {}
    return {**ids, "http_status": response.http_status, "request_id": response.request_id}


def _request_id(response: ApiResponse, before: str = " (") -> str:
    after = ")" if before == " (" else ""
    return f"{before}request id {response.request_id}{after}" if response.request_id else ""


def _code_and_message(response: ApiResponse) -> tuple[str | None, str]:
    try:
        body = _parse_json(response.body)
    except ValueError:
        return None, f"{_phrase(response.http_status)}, without a JSON body"
    error = body.get("error") if isinstance(body, dict) else None
    code: Json = None
    if isinstance(error, dict):
        code = error.get("code") or error.get("type")
        text = error.get("message") or code
    else:
        text = error or (body.get("detail") or body.get("message") if isinstance(body, dict) else None)
    message = redact(str(text or _phrase(response.http_status)), response.secrets)
    return (bounded_text(redact(str(code), response.secrets)) if code else None), message


def _parse_json(body: bytes) -> Json:
    """Parse strict JSON: NaN and Infinity would fail in the database that holds the XCom."""
    try:
        value: Json = json.loads(body, parse_constant=_parse_finite, parse_float=_parse_finite)
    except RecursionError:
        raise ValueError("JSON nested too deeply") from None
    return value


def _parse_finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _phrase(http_status: int) -> str:
    try:
        return HTTPStatus(http_status).phrase
    except ValueError:
        return "an unknown status"
