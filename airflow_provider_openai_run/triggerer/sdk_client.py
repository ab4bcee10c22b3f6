"""The SDK client of a connection, for as long as anybody watches a run over it."""

from __future__ import annotations

import asyncio
import math
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

import openai
from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_openai_run.connection.transport import READ_TIMEOUT, asend
from airflow_provider_openai_run.exceptions import RunAuthenticationError, RunRequestError
from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook
from airflow_provider_openai_run.types.redaction import redact

if TYPE_CHECKING:
    from openai import AsyncOpenAI

    from airflow_provider_openai_run.api.base import Request
    from airflow_provider_openai_run.api.http import ApiResponse
    from airflow_provider_openai_run.types.run_ref import RunRef

#: Answers that say that the API does not take the credentials.
REFUSALS = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})

#: How long a connection is taken for unchanged, in seconds: usually; when the API has refused its credentials
#: right after it was looked up; and when it could not be looked up again.
_KEPT_FOR = 600.0
_REFUSED_KEPT_FOR = 5.0
_KEPT_ON_FOR = 60.0
#: How long to wait for a look-up, in seconds, and how long beyond its timeout for a request that dribbles in.
_LOOK_UP_TIMEOUT = 30.0
_OVERTIME = 5.0

#: What looking up a connection and making a client of it raise if it is missing or wrong.
_CONNECTION_ERRORS = (AirflowException, openai.OpenAIError, ValueError, TypeError, ImportError)


class Client:
    """
    Asks over one Airflow connection with the OpenAI SDK.

    :param conn_id: the connection; it is looked up at the first request, again after ten minutes, and at once
        when the API refuses its credentials.
    """

    def __init__(self, conn_id: str) -> None:
        self._conn_id = conn_id
        self._client: AsyncOpenAI | None = None
        self._before: AsyncOpenAI | None = None
        self._good_until = -math.inf
        self._refused_anew_at = -math.inf
        self._look_up: asyncio.Task[AsyncOpenAI] | None = None
        self._closed = False
        #: The proxy that the connection names; None leaves it to the environment.
        self.proxy: str | None = None

    @property
    def base_url(self) -> str:
        """Where the connection points to; empty before the first request."""
        return str(self._client.base_url) if self._client else ""

    @property
    def timeout(self) -> float:
        """How long a request may take, in seconds."""
        timeout = self._client.timeout if self._client else None
        return timeout if isinstance(timeout, int | float) else READ_TIMEOUT

    async def ask(self, request: Request, ref: RunRef) -> ApiResponse:
        """
        Ask about a run; once more if the credentials are refused and the connection has newer ones.

        :param request: a GET.
        :param ref: the run it is about.
        :return: the answer, whatever its status.
        :raises RunRequestError: with ``is_retryable`` if there was no answer, without if the connection is no
            good.
        """
        client = await self._current()
        answer = await self._send(client, request, ref)
        if answer.http_status in REFUSALS and (newer := await self._after(client)) is not client:
            answer = await self._send(newer, request, ref)
            if answer.http_status in REFUSALS:
                self._refused_anew_at = time.monotonic()
        return answer

    async def close(self) -> None:
        """Close what was opened, and what a look-up that is still under way will open."""
        self._closed = True
        clients = [client for client in (self._before, self._client) if client is not None]
        self._before = self._client = None
        await asyncio.gather(*(client.close() for client in clients))

    async def _send(self, client: AsyncOpenAI, request: Request, ref: RunRef) -> ApiResponse:
        try:
            async with asyncio.timeout(self.timeout + _OVERTIME):
                return await asend(client, request, ref, retry=False, quiet=True)
        except TimeoutError as error:
            told = f"The API could not be asked for {ref}: its answer did not come to an end"
            raise RunRequestError(told, is_retryable=True, **ref.ids) from error

    async def _current(self) -> AsyncOpenAI:
        if self._client is not None and time.monotonic() < self._good_until:
            return self._client
        try:
            return await self._looked_up()
        except RunRequestError:
            if self._client is None:
                raise
            # What Airflow cannot look up for the moment it says is missing.
            self._good_until = time.monotonic() + _KEPT_ON_FOR
            return self._client

    async def _after(self, refused: AsyncOpenAI) -> AsyncOpenAI:
        """Give the client for the connection as it is now, after the API refused the credentials of one."""
        if self._client is not refused and self._client is not None:
            return self._client
        if time.monotonic() - self._refused_anew_at <= _REFUSED_KEPT_FOR:
            return refused
        return await self._looked_up()

    async def _looked_up(self) -> AsyncOpenAI:
        # One for all who want it, and never cancelled: on Airflow 3.1 the answer to a cancelled look-up would
        # be taken for the answer to the next.
        if self._look_up is None or self._look_up.done():
            self._look_up = asyncio.create_task(self._make())
        try:
            async with asyncio.timeout(_LOOK_UP_TIMEOUT):
                return await asyncio.shield(self._look_up)
        except TimeoutError as error:
            message = f"Airflow did not answer when asked for connection {self._conn_id!r}"
            raise RunRequestError(message, is_retryable=True) from error

    async def _make(self) -> AsyncOpenAI:
        hook = OpenAIRunHook(self._conn_id)
        try:
            client = await hook.aget_conn()
        except _CONNECTION_ERRORS as error:
            message = f"Connection {self._conn_id!r} cannot be used: {redact(str(error))}"
            raise RunAuthenticationError(message) from error
        if self._closed:
            await client.close()
            return client
        # The one before stays open for those who are still asking with it; the one before that has nobody.
        unused, self._before, self._client = self._before, self._client, client
        self.proxy = hook.settings.proxy
        self._good_until = time.monotonic() + _KEPT_FOR
        if unused is not None:
            await unused.close()
        return client
