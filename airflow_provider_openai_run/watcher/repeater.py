"""A cheap repeated question.

The SDK prepares a request and judges what is unusual; a question that is merely repeated should not pay for
that again. So one request in a minute goes through the SDK, and what it sent (the URL and the headers, with
whatever authentication the connection asks for) is repeated with aiohttp for all the other runs. Where that
is refused or does not get through, the SDK looks again.
"""

from __future__ import annotations

import asyncio
import math
import os
import ssl
import time
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import quote

import aiohttp
import certifi
import openai
from airflow.providers.common.compat.sdk import AirflowException
from yarl import URL

from airflow_provider_openai_run.apis.answers import Answer, without_secrets
from airflow_provider_openai_run.exceptions import RunAuthenticationError, RunRequestError
from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook
from airflow_provider_openai_run.hooks.sdk import READ_TIMEOUT, asend

if TYPE_CHECKING:
    from openai import AsyncOpenAI

    from airflow_provider_openai_run.apis import Request
    from airflow_provider_openai_run.apis.answers import Sent
    from airflow_provider_openai_run.run_ref import RunRef

#: How long a prepared request is repeated, in seconds: less than any token's last minutes.
_PREPARED_FOR = 60.0
#: How long a connection is taken for unchanged, in seconds; and when the API refuses its credentials.
_CONNECTION_KEPT_FOR = 600.0
_REFUSED_CONNECTION_KEPT_FOR = 5.0
#: How long an idle keep-alive connection stays open, in seconds: longer than the longest poll interval.
_KEPT_ALIVE_FOR = 150.0
#: How often in a row the SDK may get through where aiohttp did not, before aiohttp is given up.
_MOST_MISSES = 3
_REFUSALS = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
#: Headers that aiohttp sees to itself.
_OF_THE_TRANSPORT = frozenset({"host", "connection", "accept-encoding", "content-length", "content-type"})


class Repeater:
    """
    Asks over one Airflow connection, as cheaply as can be.

    :param conn_id: the connection; it is looked up at the first request, again after ten minutes, and at once
        when the API refuses its credentials.
    """

    def __init__(self, conn_id: str) -> None:
        self._conn_id = conn_id
        self._client: AsyncOpenAI | None = None
        self._connected_at = -math.inf
        self._session: aiohttp.ClientSession | None = None
        self._prepared: _Prepared | None = None
        self._preparing = asyncio.Lock()
        self._misses = 0

    @property
    def base_url(self) -> str:
        """Where the connection points to; empty before the first request."""
        return str(self._client.base_url) if self._client else ""

    async def ask(self, request: Request, ref: RunRef) -> Answer:
        """
        Ask about a run.

        :param request: a GET.
        :param ref: the run it is about.
        :return: the answer, whatever its status.
        :raises RunRequestError: with ``may_pass`` if there was no answer, without if the connection is no
            good.
        """
        if self._misses >= _MOST_MISSES:
            return await asend(await self._connect(), request, ref, once=True)
        prepared = self._prepared
        answer = await self._repeat(prepared, request)
        if answer is not None:
            return answer
        async with self._preparing:
            if self._prepared is not prepared:
                answer = await self._repeat(self._prepared, request)
            return answer or await self._ask_with_sdk(request, ref)

    async def close(self) -> None:
        """Close what was opened."""
        await self._forget_connection()
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _repeat(self, prepared: _Prepared | None, request: Request) -> Answer | None:
        """Ask as the SDK did; None where the SDK should look itself."""
        if prepared is None or not prepared.is_fresh:
            return None
        if self._session is None:
            self._session = await _new_session()
        url = prepared.url_of(request)
        try:
            async with self._session.get(url, headers=prepared.headers | request.headers) as response:
                answer = Answer(response.status, response.headers, await response.read())
        except (aiohttp.ClientError, TimeoutError):
            self._misses += 1
            return None
        self._misses = 0
        return None if answer.http_status in _REFUSALS else answer

    async def _ask_with_sdk(self, request: Request, ref: RunRef) -> Answer:
        answer = await self._send_with_sdk(request, ref)
        age = time.monotonic() - self._connected_at
        if answer.http_status in _REFUSALS and age > _REFUSED_CONNECTION_KEPT_FOR:
            await self._forget_connection()
            answer = await self._send_with_sdk(request, ref)
        return answer

    async def _send_with_sdk(self, request: Request, ref: RunRef) -> Answer:
        self._prepared = None
        try:
            answer = await asend(await self._connect(), request, ref, once=True)
        except RunRequestError:
            self._misses = 0
            raise
        if answer.sent is not None and answer.http_status == HTTPStatus.OK:
            self._prepared = _Prepared.of(answer.sent, request)
        return answer

    async def _connect(self) -> AsyncOpenAI:
        if self._client is not None and time.monotonic() - self._connected_at < _CONNECTION_KEPT_FOR:
            return self._client
        await self._forget_connection()
        try:
            self._client = await OpenAIRunHook(self._conn_id).aget_conn()
        except (AirflowException, ValueError, openai.OpenAIError) as error:
            message = f"Connection {self._conn_id!r} cannot be used: {without_secrets(str(error))}"
            raise RunAuthenticationError(message) from error
        self._connected_at = time.monotonic()
        return self._client

    async def _forget_connection(self) -> None:
        self._prepared = None
        client, self._client = self._client, None
        if client is not None:
            await client.close()


class _Prepared:
    """A request as the SDK sent it, ready to be repeated for other runs."""

    def __init__(self, before: str, after: str, headers: dict[str, str]) -> None:
        self._before = before
        self._after = after
        self.headers = headers
        self._until = time.monotonic() + _PREPARED_FOR

    @classmethod
    def of(cls, sent: Sent, request: Request) -> _Prepared | None:
        """Cut the run's path out of a request; None where it cannot be found."""
        path = quote(request.path)
        before, found, after = sent.url.partition(path)
        own = _OF_THE_TRANSPORT | {name.lower() for name in request.headers}
        headers = {name: value for name, value in sent.headers.items() if name.lower() not in own}
        return cls(before, after, headers) if found else None

    @property
    def is_fresh(self) -> bool:
        """Whether it may still be repeated."""
        return time.monotonic() < self._until

    def url_of(self, request: Request) -> URL:
        """Give the URL for another run."""
        return URL(f"{self._before}{quote(request.path)}{self._after}", encoded=True)


async def _new_session() -> aiohttp.ClientSession:
    """Open a session that trusts whom the SDK trusts."""
    # In a thread, since reading the certificates takes 20 ms.
    context = await asyncio.to_thread(_tls_context)
    connector = aiohttp.TCPConnector(ssl=context, limit=0, keepalive_timeout=_KEPT_ALIVE_FOR)
    timeout = aiohttp.ClientTimeout(total=READ_TIMEOUT)
    return aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=True)


def _tls_context() -> ssl.SSLContext:
    folder, file = os.environ.get("SSL_CERT_DIR"), os.environ.get("SSL_CERT_FILE")
    return ssl.create_default_context(cafile=file or (None if folder else certifi.where()), capath=folder)
