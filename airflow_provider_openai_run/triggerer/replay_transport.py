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
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import quote, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import certifi
from multidict import CIMultiDict
from yarl import URL

from airflow_provider_openai_run.api.http import ApiResponse, SentRequest
from airflow_provider_openai_run.exceptions import RunRequestError
from airflow_provider_openai_run.triggerer.sdk_client import REFUSALS, Client

if TYPE_CHECKING:
    from airflow_provider_openai_run.api.base import Request
    from airflow_provider_openai_run.types.run_ref import RunRef

#: How long a prepared request is repeated, in seconds: less than any token's last minutes.
_PREPARED_FOR = 60.0
#: How long an idle keep-alive connection stays open, in seconds: longer than the longest poll interval.
_KEPT_ALIVE_FOR = 150.0
#: How often in a row the SDK may get through where aiohttp did not, before aiohttp is given up.
_MOST_MISSES = 3
#: Headers that aiohttp sees to itself.
_OF_THE_TRANSPORT = frozenset({"host", "connection", "accept-encoding", "content-length", "content-type"})
#: What RFC 3986 lets stand in a path, as the SDK's HTTP library does.
_PLAIN_IN_PATHS = "/!$&'()*+,;=:@"

_Kind: TypeAlias = tuple[tuple[str, str], ...]
"""The headers and the query that an API asks for: requests that differ in them are prepared apart."""


class ReplayTransport:
    """
    Asks over one Airflow connection, as cheaply as can be.

    :param conn_id: the connection.
    """

    def __init__(self, conn_id: str) -> None:
        self._client = Client(conn_id)
        self._session: aiohttp.ClientSession | None = None
        self._prepared: dict[_Kind, _Prepared] = {}
        self._looking = asyncio.Lock()
        self._misses = 0
        self._unanswered: RunRequestError | None = None
        self._unanswered_at = -math.inf

    @property
    def base_url(self) -> str:
        """Where the connection points to; empty before the first request."""
        return self._client.base_url

    async def ask(self, request: Request, ref: RunRef) -> ApiResponse:
        """
        Ask about a run.

        :param request: a GET.
        :param ref: the run it is about.
        :return: the answer, whatever its status.
        :raises RunRequestError: with ``is_retryable`` if there was no answer, without if the connection is no
            good.
        """
        if self._misses >= _MOST_MISSES or "after" in request.query:
            # A page further down a list is hardly asked for twice.
            return await self._client.ask(request, ref)
        kind = (*request.headers.items(), *request.query.items())
        prepared = self._prepared.get(kind)
        missed = False
        # While the SDK looks again, the others go on with what it prepared before.
        if prepared is not None and (prepared.is_fresh or self._looking.locked()):
            answer = await self._repeat(prepared, request)
            if answer is not None and answer.http_status not in REFUSALS:
                return answer
            missed = answer is None
        return await self._look_in_turn(request, ref, kind, prepared, missed=missed)

    async def close(self) -> None:
        """Close what was opened."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()
        await self._client.close()

    async def _repeat(self, prepared: _Prepared, request: Request) -> ApiResponse | None:
        """Ask as the SDK did; None if that does not get through."""
        if self._session is None:
            return None
        try:
            async with self._session.get(
                prepared.url_of(request),
                headers=prepared.headers,
                proxy=prepared.proxy,
                timeout=prepared.timeout,
            ) as response:
                body = await response.read()
                answer = ApiResponse(response.status, response.headers, body, prepared.sent)
        except (aiohttp.ClientError, OSError, ValueError):
            return None
        self._misses = 0
        return answer

    async def _look_in_turn(
        self, request: Request, ref: RunRef, kind: _Kind, prepared: _Prepared | None, *, missed: bool
    ) -> ApiResponse:
        """Let the SDK ask, unless it did while this one was waiting for its turn."""
        began = time.monotonic()
        async with self._looking:
            renewed = self._prepared.get(kind)
            if renewed is not None and renewed is not prepared:
                answer = await self._repeat(renewed, request)
                if answer is not None and answer.http_status not in REFUSALS:
                    return answer
                missed = answer is None
            elif self._unanswered is not None and self._unanswered_at > began:
                raise _for_another(self._unanswered, ref)
            try:
                answer = await self._client.ask(request, ref)
            except RunRequestError as error:
                self._prepared.pop(kind, None)
                self._unanswered, self._unanswered_at = error, time.monotonic()
                raise
            await self._prepare(answer, request, kind, missed=missed)
            return answer

    async def _prepare(self, answer: ApiResponse, request: Request, kind: _Kind, *, missed: bool) -> None:
        """Take what the SDK sent for something to repeat."""
        if answer.http_status in REFUSALS:
            self._prepared.clear()
            return
        if self._session is None:
            self._session = await _new_session()
        timeout = aiohttp.ClientTimeout(total=self._client.timeout)
        prepared = _Prepared.of(answer.sent, request, timeout, self._client.proxy) if answer.sent else None
        if prepared is None:
            self._prepared.pop(kind, None)
        else:
            self._prepared[kind] = prepared
        if missed or prepared is None:
            self._misses += 1


class _Prepared:
    """
    A request as the SDK sent it, ready to be repeated for other runs.

    :param before: its URL up to the run's path.
    :param after: its query, with the question mark.
    :param headers: its headers, but for those aiohttp sees to.
    :param proxy: the proxy it is to go by.
    :param timeout: how long it may take.
    """

    def __init__(
        self,
        before: str,
        after: str,
        headers: CIMultiDict[str],
        proxy: str | None,
        timeout: aiohttp.ClientTimeout,
    ) -> None:
        self._before = before
        self._after = after
        self.headers = headers
        self.sent = SentRequest(before, headers)
        self.proxy = proxy
        self.timeout = timeout
        self._until = time.monotonic() + _PREPARED_FOR

    @classmethod
    def of(
        cls, sent: SentRequest, request: Request, timeout: aiohttp.ClientTimeout, proxy: str | None
    ) -> _Prepared | None:
        """Cut the run's path out of a request; None for a URL or a proxy that is not as expected."""
        address, mark, query = sent.url.partition("?")
        proxy = proxy or _proxy_for(address)
        if not unquote(address).endswith(request.path) or not _is_http(proxy):
            return None
        before = address.rsplit("/", request.path.count("/"))[0]
        headers = CIMultiDict(
            (name, value) for name, value in sent.headers.items() if name.lower() not in _OF_THE_TRANSPORT
        )
        return cls(before, mark + query, headers, proxy, timeout)

    @property
    def is_fresh(self) -> bool:
        """Whether it may still be repeated."""
        return time.monotonic() < self._until

    def url_of(self, request: Request) -> URL:
        """Give the URL for another run."""
        return URL(f"{self._before}{quote(request.path, _PLAIN_IN_PATHS)}{self._after}", encoded=True)


def _for_another(error: RunRequestError, ref: RunRef) -> RunRequestError:
    """Give the error of one run's request for a run that waited for its turn meanwhile."""
    told = f"The API could not be asked for {ref} either: {error.message}"
    about: dict[str, Any] = ref.ids
    return type(error)(told, is_retryable=error.is_retryable, retry_after=error.retry_after, **about)


def _proxy_for(address: str) -> str | None:
    """Give the proxy that the environment names; aiohttp would look there at each request, for 100 µs."""
    parts = urlsplit(address)
    if parts.hostname is None or proxy_bypass(parts.hostname):
        return None
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    return proxy if proxy is None or "://" in proxy else f"http://{proxy}"


def _is_http(proxy: str | None) -> bool:
    return proxy is None or proxy.startswith(("http://", "https://"))


async def _new_session() -> aiohttp.ClientSession:
    """Open a session that trusts whom the SDK trusts."""
    # In a thread, since reading the certificates takes 20 ms.
    context = await asyncio.to_thread(_tls_context)
    connector = aiohttp.TCPConnector(ssl=context, limit=0, keepalive_timeout=_KEPT_ALIVE_FOR)
    # Cookies come with what the SDK sent.
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())


def _tls_context() -> ssl.SSLContext:
    folder, file = os.environ.get("SSL_CERT_DIR"), os.environ.get("SSL_CERT_FILE")
    return ssl.create_default_context(cafile=file or (None if folder else certifi.where()), capath=folder)
