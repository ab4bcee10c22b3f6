"""Sending a request with the OpenAI SDK, by its documented ``client.get`` and ``client.post``.

Raw answers come back: the SDK's typed models lose what they do not know (see the module ``apis``).
"""

from __future__ import annotations

import logging
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

import openai
from openai import AsyncOpenAI, OpenAI

from airflow_provider_openai_run.api.http import ApiResponse, SentRequest
from airflow_provider_openai_run.connection.azure import EntraTokenError
from airflow_provider_openai_run.exceptions import RunAuthenticationError, RunRequestError
from airflow_provider_openai_run.types.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_openai_run.api.base import Request
    from airflow_provider_openai_run.types.run_ref import RunRef

# openai 3 left httpx for httpx2.
_HTTP = import_module("httpx" if openai.VERSION.startswith("2.") else "httpx2")
_HTTP_LOG = logging.getLogger(_HTTP.__name__)
Response: Any = _HTTP.Response
InvalidURL: Any = _HTTP.InvalidURL
_polling = ContextVar("polling", default=False)

#: Seconds that a question may take, where the connection does not set a ``timeout`` of its own.
READ_TIMEOUT = 30.0


def send(client: OpenAI, request: Request, ref: RunRef | None, *, once: bool = False) -> ApiResponse:
    """
    Send a request.

    :param client: the connection's client.
    :param request: what to send.
    :param ref: the run it is about, for the error.
    :param once: whether it is a poll: one try, and no line in the log; otherwise the SDK retries as the
        connection says.
    :return: the answer, whatever its status.
    :raises RunRequestError: with ``is_retryable``, if there was no answer.
    """
    options = _options(client, request, once=once)
    try:
        with _poll() if once else nullcontext():
            if request.method == "GET":
                return _answer(client.get(request.path, cast_to=Response, options=options))
            return _answer(client.post(request.path, cast_to=Response, body=request.body, options=options))
    except openai.OAuthError as error:
        _raise_no_token(error, ref)
    except openai.APIStatusError as error:
        return _answer(error.response)
    except openai.OpenAIError as error:
        _raise_unanswered(error, ref)


async def asend(
    client: AsyncOpenAI, request: Request, ref: RunRef | None, *, once: bool = False
) -> ApiResponse:
    """
    Send a request; the async twin of :func:`send`.

    :param client: the connection's client.
    :param request: what to send.
    :param ref: the run it is about, for the error.
    :param once: whether it is a poll: one try, and no line in the log; otherwise the SDK retries as the
        connection says.
    :return: the answer, whatever its status.
    :raises RunRequestError: with ``is_retryable``, if there was no answer.
    """
    options = _options(client, request, once=once)
    try:
        with _poll() if once else nullcontext():
            if request.method == "GET":
                return _answer(await client.get(request.path, cast_to=Response, options=options))
            return _answer(
                await client.post(request.path, cast_to=Response, body=request.body, options=options)
            )
    except openai.OAuthError as error:
        _raise_no_token(error, ref)
    except openai.APIStatusError as error:
        return _answer(error.response)
    except openai.OpenAIError as error:
        _raise_unanswered(error, ref)


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    return record.levelno > logging.INFO or not _polling.get()


_HTTP_LOG.addFilter(_is_worth_a_line)


@contextmanager
def _poll() -> Iterator[None]:
    """Keep the HTTP library's line for each request out of the log."""
    token = _polling.set(True)
    try:
        yield
    finally:
        _polling.reset(token)


def _options(client: OpenAI | AsyncOpenAI, request: Request, *, once: bool) -> Any:
    options: dict[str, Any] = {"headers": request.headers, "params": request.query}
    if request.method == "GET" and not isinstance(client.timeout, int | float):
        options["timeout"] = READ_TIMEOUT
    if once:
        options["max_retries"] = 0
    return options


def _answer(response: Any) -> ApiResponse:
    sent = SentRequest(str(response.request.url), response.request.headers)
    return ApiResponse(response.status_code, response.headers, response.content, sent)


def _raise_no_token(error: openai.OpenAIError, ref: RunRef | None, *, is_retryable: bool = False) -> NoReturn:
    said = redact(str(error)).rstrip(".")
    told = f"The API could not be asked for {ref or 'a run'}, as its credentials got no token: {said}"
    raise RunAuthenticationError(told, is_retryable=is_retryable, **_about(ref)) from None


def _raise_unanswered(error: openai.OpenAIError, ref: RunRef | None) -> NoReturn:
    if isinstance(error, EntraTokenError):
        _raise_no_token(error, ref, is_retryable=error.is_retryable)
    cause = f": {redact(str(error.__cause__))}" if error.__cause__ else ""
    told = f"The API could not be asked for {ref or 'a run'}: {redact(str(error))}"
    passing = isinstance(error, openai.APIConnectionError)
    raise RunRequestError(told.rstrip(".") + cause, is_retryable=passing, **_about(ref)) from error


def _about(ref: RunRef | None) -> dict[str, Any]:
    return ref.ids if ref else {}
