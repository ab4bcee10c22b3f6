"""What an HTTP answer says: a JSON object, or which error.

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
from http import HTTPStatus
from typing import TYPE_CHECKING

from airflow_provider_openai_run.api.endpoints import is_openai
from airflow_provider_openai_run.exceptions import (
    AssistantsApiEndedError,
    RunAuthenticationError,
    RunNotFoundError,
    RunRequestError,
)
from airflow_provider_openai_run.types.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_openai_run.api.base import Request
    from airflow_provider_openai_run.types.run import Json
    from airflow_provider_openai_run.types.run_ref import RunRef

_PASSING = frozenset({408, 409, 425, 429})
#: Longer than "Bearer".
_SHORTEST_SECRET = 7
_LONGEST_PAUSE = 3600.0


@dataclass(frozen=True, slots=True)
class SentRequest:
    """A request as it went out, authentication included: never to be shown."""

    url: str
    headers: Mapping[str, str] = field(repr=False)

    @property
    def secrets(self) -> list[str]:
        """The credentials it carries."""
        held = [self.headers.get(name) or "" for name in ("authorization", "api-key", "x-api-key")]
        return [word for value in held for word in value.split() if len(word) >= _SHORTEST_SECRET]


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """
    An answer of the API.

    :param http_status: the HTTP status code.
    :param headers: the headers, with lower-case names or in a case-insensitive mapping.
    :param body: the bytes of the body.
    :param sent: the request it answers, for repeating it.
    """

    http_status: int
    headers: Mapping[str, str]
    body: bytes
    sent: SentRequest | None = field(default=None, repr=False, compare=False)

    @property
    def request_id(self) -> str | None:
        """The id that OpenAI's support asks for."""
        return self.headers.get("x-request-id")


def retry_after_seconds(headers: Mapping[str, str], now: float) -> float | None:
    """
    Give how many seconds the API asks to be left alone, by any of the headers it has for that.

    :param headers: of any answer: ``retry-after-ms``, ``retry-after`` (seconds or an HTTP date) and
        ``openai-poll-after-ms`` are read, and the longest of them counts, an hour at most.
    :param now: epoch seconds, for the date.
    """
    waits = [_number(headers.get(name), 1000) for name in ("retry-after-ms", "openai-poll-after-ms")]
    waits.append(_retry_after(headers.get("retry-after"), now))
    return max((min(wait, _LONGEST_PAUSE) for wait in waits if wait is not None and wait >= 0), default=None)


def _number(text: str | None, divisor: int = 1) -> float | None:
    if text is None or not re.fullmatch(r"\s*\d+(\.\d+)?\s*", text):
        return None
    return float(text) / divisor


def _retry_after(text: str | None, now: float) -> float | None:
    number = _number(text)
    if text is None or number is not None:
        return number
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now


def parse_or_raise(
    answer: ApiResponse, request: Request, ref: RunRef | None, *, now: float, base_url: str = ""
) -> dict[str, Json]:
    """
    Give the JSON object that an answer holds.

    :param answer: the API's answer.
    :param request: the request it answers.
    :param ref: the run that was asked about; None while it has no id yet.
    :param now: epoch seconds.
    :param base_url: where it was asked.
    :raises RunRequestError: with ``is_retryable`` where asking again may help: for 408, 409, 425, 429, 5xx, and
        for a body that is not the object it should be.
    """
    if answer.http_status >= HTTPStatus.BAD_REQUEST:
        raise _refusal(answer, request, ref, now, base_url)
    try:
        body = _parsed(answer.body)
    except ValueError:
        raise _malformed(answer, ref, "no valid JSON") from None
    if not isinstance(body, dict):
        raise _malformed(answer, ref, f"a JSON {type(body).__name__} where an object was due")
    key = request.answer_key
    held = body.get(key)
    is_there = isinstance(held, list) if key == "data" else isinstance(held, str | int) and bool(held)
    if not is_there:
        error = f" but with the error {_code_and_message(answer)[1]!r}" if body.get("error") else ""
        raise _malformed(answer, ref, f"a JSON object without {key!r}{error}")
    return body


def _refusal(
    answer: ApiResponse, request: Request, ref: RunRef | None, now: float, base_url: str
) -> RunRequestError:
    code, said = _code_and_message(answer)
    status = answer.http_status
    facts = {
        **_facts(answer, ref),
        "code": code,
        "is_retryable": status in _PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR,
        "retry_after": retry_after_seconds(answer.headers, now),
    }
    told = f"The API answered HTTP {status} when asked for {ref or 'a run'}: {said}{_request_id(answer)}"
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        way_out = "Check the API key of the Airflow connection, and its organization and project."
        return RunAuthenticationError(f"{told}. {way_out}", **facts)
    if status != HTTPStatus.NOT_FOUND:
        return RunRequestError(told, **facts)
    if request.ended_at_openai is not None and is_openai(base_url):
        return AssistantsApiEndedError(f"{request.ended_at_openai} {told}", **facts)
    return RunNotFoundError(f"{told}. Check run_id, thread_id and the connection's host.", **facts)


def _malformed(answer: ApiResponse, ref: RunRef | None, what: str) -> RunRequestError:
    size = f"{len(answer.body)} bytes of {answer.headers.get('content-type') or 'no content type'}"
    told = f"The API answered with {what} when asked for {ref or 'a run'}"
    message = f"{told} ({size}{_request_id(answer, ', ')})"
    return RunRequestError(message, is_retryable=True, **_facts(answer, ref))


def _facts(answer: ApiResponse, ref: RunRef | None) -> dict[str, Json]:
    about = ref.ids if ref else {}
    return {**about, "http_status": answer.http_status, "request_id": answer.request_id}


def _request_id(answer: ApiResponse, before: str = " (") -> str:
    after = ")" if before == " (" else ""
    return f"{before}request id {answer.request_id}{after}" if answer.request_id else ""


def _code_and_message(answer: ApiResponse) -> tuple[str | None, str]:
    try:
        body = _parsed(answer.body)
    except ValueError:
        return None, f"{_phrase(answer.http_status)}, without a JSON body"
    error = body.get("error") if isinstance(body, dict) else None
    code: Json = None
    if isinstance(error, dict):
        code = error.get("code") or error.get("type")
        said = error.get("message") or code
    else:
        said = error or (body.get("detail") or body.get("message") if isinstance(body, dict) else None)
    told = redact(str(said or _phrase(answer.http_status)), _secrets(answer))
    return (redact(str(code), _secrets(answer)) if code else None), told


def _secrets(answer: ApiResponse) -> list[str]:
    return answer.sent.secrets if answer.sent else []


def _parsed(body: bytes) -> Json:
    """Parse strict JSON: what is none (NaN, Infinity) would fail in the XCom's database."""
    try:
        return json.loads(body, parse_constant=_finite, parse_float=_finite)
    except RecursionError:
        raise ValueError("JSON nested too deeply") from None


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _phrase(http_status: int) -> str:
    try:
        return HTTPStatus(http_status).phrase
    except ValueError:
        return "an unknown status"
