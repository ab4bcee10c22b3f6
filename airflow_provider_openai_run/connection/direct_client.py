"""Retrieve runs without the OpenAI SDK, over connections whose requests are known without it.

A worker that polls a run once and then defers would spend most of its time on importing the SDK. What the SDK
sends over a connection with a plain key is simple, and is sent here too, but for its ``X-Stainless`` headers:
they describe the SDK itself. Everything else is left to the SDK: tokens, and options and variables of the
environment that it gives a meaning of its own.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from airflow_provider_openai_run.api.http import ApiResponse, SentRequest
from airflow_provider_openai_run.connection.http_client import (
    NETWORK_ERRORS,
    READ_TIMEOUT,
    SDK_VERSION,
    first_error,
    httpx,
    new_http_client,
    no_response_error,
    quiet_log,
)
from airflow_provider_openai_run.connection.settings import invalid_connection_error

if TYPE_CHECKING:
    from airflow_provider_openai_run.api.base import Request
    from airflow_provider_openai_run.connection.settings import ConnectionSettings
    from airflow_provider_openai_run.types.run_ref import RunRef

#: The options of the SDK's client that are sent as they are, or concern only what is not sent here.
_OPTIONS = frozenset(
    {
        "organization",
        "project",
        "default_headers",
        "default_query",
        "timeout",
        "max_retries",
        "webhook_secret",
    }
)
#: The SDK merges headers of these names with its own.
_OWN_HEADERS = (
    "accept",
    "api-key",
    "authorization",
    "content-",
    "host",
    "openai-",
    "user-agent",
    "x-stainless-",
)
_OPENAI_URL = "https://api.openai.com/v1"
_PREFIXES = ("OPENAI_", "AZURE_OPENAI_")
#: A connection's own key goes before this one.
_HARMLESS_VARIABLES = frozenset({"OPENAI_API_KEY"})


def is_direct(settings: ConnectionSettings) -> bool:
    """
    Return whether the requests of a connection are known without the SDK.

    :param settings: the connection's settings.
    """
    headers, query = (settings.options.get(name) or {} for name in ("default_headers", "default_query"))
    return (
        settings.auth_type == "api_key"
        and settings.api_key is not None
        and settings.options.keys() <= _OPTIONS
        and not any(name.lower().startswith(_OWN_HEADERS) for name in headers)
        and all(isinstance(value, str) for value in query.values())
        and not any(name.startswith(_PREFIXES) for name in os.environ.keys() - _HARMLESS_VARIABLES)
    )


class DirectClient:
    """
    An HTTP client that sends GET requests as the SDK does.

    :param settings: the settings of a connection that :func:`is_direct`.
    :param conn_id: its id, for the error.
    :raises InvalidConnectionError: for a proxy that cannot be used.
    """

    def __init__(self, settings: ConnectionSettings, conn_id: str) -> None:
        self.base_url = settings.base_url or _OPENAI_URL
        self._secrets = settings.secrets
        self._query = dict(settings.options.get("default_query") or {})
        self._headers = _headers(settings)
        timeout = settings.options.get("timeout")
        self._timeout = READ_TIMEOUT if timeout is None else timeout
        try:
            self._http_client = new_http_client(settings.proxy)
        except (ValueError, TypeError, ImportError, httpx.InvalidURL) as error:
            raise invalid_connection_error(conn_id, error, settings.secrets) from None
        self._http_client.base_url = self.base_url

    def get(self, request: Request, ref: RunRef) -> ApiResponse:
        """
        Send a GET request once, without a line in the log.

        :param request: the request.
        :param ref: the run it is about, for the error.
        :return: the response, whatever its status.
        :raises RunRequestError: if there was no response; ``is_retryable`` says whether a retry may help.
        """
        # The SDK's form of a list.
        included = {"include[]": request.include} if request.include else {}
        try:
            with quiet_log(quiet=True):
                response = self._http_client.send(
                    self._http_client.build_request(
                        request.method,
                        request.path,
                        params={**self._query, **request.query, **included} or None,
                        headers={**self._headers, **request.headers},
                        timeout=self._timeout,
                    )
                )
        except NETWORK_ERRORS as error:
            summary = "Request timed out" if isinstance(error, httpx.TimeoutException) else "Connection error"
            cause = first_error(error)
            is_retryable = not isinstance(cause, ValueError | OverflowError)
            ids: dict[str, Any] = ref.ids
            raise no_response_error(
                ref, self.base_url, (summary, str(cause)), self._secrets, is_retryable=is_retryable, **ids
            ) from error
        sent = SentRequest(str(response.request.url), response.request.headers)
        return ApiResponse(response.status_code, response.headers, response.content, sent)


def _headers(settings: ConnectionSettings) -> dict[str, Any]:
    is_azure = settings.uses_api_key_header
    credential = (
        {"api-key": settings.api_key} if is_azure else {"Authorization": f"Bearer {settings.api_key}"}
    )
    names = {"OpenAI-Organization": "organization", "OpenAI-Project": "project"}
    return {
        "Accept": "application/json",
        "User-Agent": f"{'AzureOpenAI' if is_azure else 'OpenAI'}/Python {SDK_VERSION}",
        **credential,
        **{header: value for header, name in names.items() if (value := settings.options.get(name))},
        **(settings.options.get("default_headers") or {}),
    }
