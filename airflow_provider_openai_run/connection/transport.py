"""Send requests with the OpenAI SDK, by its documented ``client.get`` and ``client.post``.

Responses come back raw, because the SDK's typed models drop the fields that they do not know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import openai
from openai import AsyncOpenAI, OpenAI

from airflow_provider_openai_run.api.http import ApiResponse, SentRequest
from airflow_provider_openai_run.connection.entra_id import EntraTokenError
from airflow_provider_openai_run.connection.http_client import (
    RAW_NETWORK_ERRORS,
    READ_TIMEOUT,
    first_error,
    httpx,
    no_response_error,
    quiet_log,
)
from airflow_provider_openai_run.exceptions import RunAuthenticationError
from airflow_provider_openai_run.types.redaction import redact, secrets_in_headers

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_openai_run.api.base import Request
    from airflow_provider_openai_run.types.run_ref import RunRef


def send(
    client: OpenAI, request: Request, ref: RunRef | None, *, retry: bool = True, quiet: bool = False
) -> ApiResponse:
    """
    Send a request.

    :param client: the connection's client.
    :param request: the request.
    :param ref: the run it is about, for the error; None before the run has an id.
    :param retry: whether the SDK may send it again, up to the connection's ``max_retries`` times.
    :param quiet: whether to keep the HTTP library's line for the request out of the log.
    :return: the response, whatever its status.
    :raises RunRequestError: if there was no response; ``is_retryable`` says whether a retry may help.
    """
    method, arguments = _prepare(client, request, retry=retry)
    try:
        with quiet_log(quiet=quiet):
            response = method(request.path, **arguments)
    except (openai.OpenAIError, *RAW_NETWORK_ERRORS) as error:
        response = response_or_raise(error, client, request, ref)
    return to_api_response(response)


async def asend(
    client: AsyncOpenAI, request: Request, ref: RunRef | None, *, retry: bool = True, quiet: bool = False
) -> ApiResponse:
    """Send a request with an async client; see :func:`send`."""
    method, arguments = _prepare(client, request, retry=retry)
    try:
        with quiet_log(quiet=quiet):
            response = await method(request.path, **arguments)
    except (openai.OpenAIError, *RAW_NETWORK_ERRORS) as error:
        response = response_or_raise(error, client, request, ref)
    return to_api_response(response)


def _prepare(
    client: OpenAI | AsyncOpenAI, request: Request, *, retry: bool
) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Return the client's method for a request, and its arguments but for the path."""
    params = {**request.query, "include": request.include} if request.include else request.query
    options: dict[str, Any] = {"headers": request.headers, "params": params}
    if not retry:
        options["max_retries"] = 0
    if request.method != "GET":
        return client.post, {"cast_to": httpx.Response, "options": options, "body": request.body}
    if not isinstance(client.timeout, int | float):
        options["timeout"] = READ_TIMEOUT
    return client.get, {"cast_to": httpx.Response, "options": options}


def response_or_raise(
    error: Exception, client: OpenAI | AsyncOpenAI, request: Request, ref: RunRef | None
) -> Any:
    """
    Return the response that the SDK raised as an error; raise ours if there was none.

    :param error: what the SDK or the network stack raised.
    :param client: the client that sent the request.
    :param request: the request.
    :param ref: the run it is about; None while it has no id, and for a file.
    :raises RunRequestError: as :func:`send` does.
    """
    ids: dict[str, Any] = ref.ids if ref else {}
    if isinstance(error, openai.OAuthError | EntraTokenError):
        reason = redact(str(error), secrets_of(client)).rstrip(".")
        message = (
            f"The request for {ref or request.subject} was not sent, as no token was issued for it: {reason}"
        )
        is_retryable = isinstance(error, EntraTokenError) and error.is_retryable
        raise RunAuthenticationError(message, is_retryable=is_retryable, **ids) from None
    if isinstance(error, openai.APIStatusError):
        return error.response
    errors: list[BaseException] = [error]
    if isinstance(error, openai.OpenAIError) and error.__cause__ is not None:
        errors.append(error.__cause__)
    errors[-1] = first_error(errors[-1])
    is_connection_error = isinstance(errors[0], openai.APIConnectionError | OSError)
    is_retryable = is_connection_error and not isinstance(errors[-1], ValueError | OverflowError)
    reasons, secrets = map(str, errors), secrets_of(client)
    subject, base_url = ref or request.subject, str(client.base_url)
    raise no_response_error(subject, base_url, reasons, secrets, is_retryable=is_retryable, **ids) from error


def secrets_of(client: OpenAI | AsyncOpenAI) -> tuple[str, ...]:
    """
    Return the credentials that a client sends, as far as they are known without a request.

    :param client: the client.
    """
    # An Entra ID token or a workload identity's takes the place of the key once there is one.
    headers = {name: value for name, value in client.default_headers.items() if isinstance(value, str)}
    return (client.api_key, *secrets_in_headers(headers))


def to_api_response(response: Any, body: bytes | None = None) -> ApiResponse:
    """
    Return the response of the HTTP library as one of this package.

    :param response: the response.
    :param body: its body, if it has not been read.
    """
    sent = SentRequest(str(response.request.url), response.request.headers)
    content = response.content if body is None else body
    return ApiResponse(response.status_code, response.headers, content, sent)
