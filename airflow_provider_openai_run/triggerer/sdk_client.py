"""The SDK client of a connection, as long as a trigger polls over it."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import openai
from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_openai_run.connection.http_client import READ_TIMEOUT
from airflow_provider_openai_run.connection.lookup import lookup_error
from airflow_provider_openai_run.connection.transport import asend
from airflow_provider_openai_run.exceptions import (
    ConnectionLookupError,
    RunAuthenticationError,
    RunRequestError,
)
from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook
from airflow_provider_openai_run.types.redaction import redact

if TYPE_CHECKING:
    from openai import AsyncOpenAI

    from airflow_provider_openai_run.api.base import Request
    from airflow_provider_openai_run.api.http import ApiResponse
    from airflow_provider_openai_run.types.run_ref import RunRef

log = logging.getLogger(__name__)

#: HTTP statuses with which the API refuses the credentials.
UNAUTHORIZED_STATUSES = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})

#: For how many seconds a connection is not looked up again: normally, after the API has refused the
#: credentials of a connection that was just looked up, and after a lookup that failed.
_CONNECTION_TTL = 600.0
_TTL_AFTER_REFUSAL = 5.0
_TTL_AFTER_FAILED_LOOKUP = 60.0
#: For how many seconds all requests fail without another lookup, where no client is left from an earlier one.
_PAUSE_AFTER_FAILED_LOOKUP = 5.0
#: How many seconds a lookup may take, and how many seconds beyond its timeout a whole request may take.
_LOOKUP_TIMEOUT = 30.0
_TOTAL_TIMEOUT_MARGIN = 5.0

#: What the lookup of a connection and the creation of its client raise if it is missing or invalid.
_CONNECTION_ERRORS = (AirflowException, openai.OpenAIError, ValueError, TypeError, ImportError)


class SdkClient:
    """
    Send requests over one Airflow connection with the OpenAI SDK.

    :param conn_id: the connection; it is looked up at the first request, again after ten minutes, and at once
        when the API refuses its credentials.
    """

    def __init__(self, conn_id: str) -> None:
        self._conn_id = conn_id
        self._client: AsyncOpenAI | None = None
        self._previous_client: AsyncOpenAI | None = None
        self._valid_until = -math.inf
        self._new_client_refused_at = -math.inf
        self._lookup: asyncio.Task[AsyncOpenAI] | None = None
        self._lookup_error: ConnectionLookupError | None = None
        self._no_lookup_until = -math.inf
        self._is_closed = False
        #: The proxy that the connection sets; None leaves it to the environment.
        self.proxy: str | None = None
        #: The template of the connection for links to runs; None for none.
        self.run_link_template: str | None = None

    @property
    def base_url(self) -> str:
        """The base URL of the connection; empty before the first request."""
        return str(self._client.base_url) if self._client else ""

    @property
    def timeout(self) -> float:
        """How long a request may take, in seconds."""
        timeout = self._client.timeout if self._client else None
        return timeout if isinstance(timeout, int | float) else READ_TIMEOUT

    async def send(self, request: Request, ref: RunRef | None) -> ApiResponse:
        """
        Send a request; once more if its credentials are refused and the connection has newer ones.

        :param request: any request that may be sent twice.
        :param ref: the run that it is about, for error messages.
        :return: the response, whatever its HTTP status.
        :raises RunRequestError: with ``is_retryable`` if there was no response, without if the connection is
            invalid; a ``ConnectionLookupError`` if there is none, or none can be looked up now.
        """
        client = await self._current_client()
        response = await self._send_by(client, request, ref)
        if response.http_status in UNAUTHORIZED_STATUSES:
            newer = await self._client_after_refusal_of(client)
            if newer is not client:
                response = await self._send_by(newer, request, ref)
                if response.http_status in UNAUTHORIZED_STATUSES:
                    self._new_client_refused_at = time.monotonic()
        return response

    async def close(self) -> None:
        """Close all clients, and also the one that a lookup under way will create."""
        self._is_closed = True
        clients = [client for client in (self._previous_client, self._client) if client is not None]
        self._previous_client = self._client = None
        await asyncio.gather(*(client.close() for client in clients))

    async def _send_by(self, client: AsyncOpenAI, request: Request, ref: RunRef | None) -> ApiResponse:
        try:
            async with asyncio.timeout(self.timeout + _TOTAL_TIMEOUT_MARGIN):
                return await asend(client, request, ref, retry=False, quiet=True)
        except TimeoutError as error:
            message = f"The request for {ref or 'a run'} failed: its response was not complete in time"
            ids: dict[str, Any] = ref.ids if ref else {}
            raise RunRequestError(message, is_retryable=True, **ids) from error

    async def _current_client(self) -> AsyncOpenAI:
        if self._client is not None and time.monotonic() < self._valid_until:
            return self._client
        try:
            return await self._shared_lookup()
        except RunRequestError:
            if self._client is None:
                raise
            # Airflow reports a lookup that failed for a passing reason as a missing connection.
            self._valid_until = time.monotonic() + _TTL_AFTER_FAILED_LOOKUP
            return self._client

    async def _client_after_refusal_of(self, refused: AsyncOpenAI) -> AsyncOpenAI:
        """Return a client with the connection's present credentials; the same one if there is no newer."""
        if self._client is not refused and self._client is not None:
            return self._client
        if time.monotonic() - self._new_client_refused_at <= _TTL_AFTER_REFUSAL:
            return refused
        return await self._shared_lookup()

    async def _shared_lookup(self) -> AsyncOpenAI:
        # All callers share one lookup, which is never cancelled: on Airflow 3.1 the reply to a cancelled
        # lookup would be taken for the reply to the next one.
        if self._lookup is None or self._lookup.done():
            if self._lookup_error is not None and time.monotonic() < self._no_lookup_until:
                raise lookup_error(self._lookup_error.message)
            self._lookup = asyncio.create_task(self._create_client())
        try:
            async with asyncio.timeout(_LOOKUP_TIMEOUT):
                return await asyncio.shield(self._lookup)
        except TimeoutError as error:
            message = f"Airflow did not return connection {self._conn_id!r} within {_LOOKUP_TIMEOUT:g} s"
            raise RunRequestError(message, is_retryable=True) from error

    async def _create_client(self) -> AsyncOpenAI:
        hook = OpenAIRunHook(self._conn_id)
        try:
            client = await hook.aget_conn()
        except ConnectionLookupError as error:
            if self._lookup_error is None:
                log.warning("%s. Looking it up again until it is found", error.message.rstrip("."))
            self._lookup_error = error.with_traceback(None)
            self._no_lookup_until = time.monotonic() + _PAUSE_AFTER_FAILED_LOOKUP
            raise
        except _CONNECTION_ERRORS as error:
            settings = vars(hook).get("settings")
            reason = redact(str(error), settings.secrets if settings else ())
            message = f"Connection {self._conn_id!r} cannot be used: {reason}"
            raise RunAuthenticationError(message) from error
        if self._lookup_error is not None:
            log.info("Airflow returned connection %r", self._conn_id)
            self._lookup_error = None
        if self._is_closed:
            await client.close()
            return client
        # Requests under way still use the previous client; the one before that has none left.
        unused, self._previous_client, self._client = self._previous_client, self._client, client
        self.proxy, self.run_link_template = hook.settings.proxy, hook.settings.run_link_template
        self._valid_until = time.monotonic() + _CONNECTION_TTL
        if unused is not None:
            await unused.close()
        return client
