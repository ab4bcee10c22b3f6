"""A fast path for polls: replay the SDK's prepared request.

The SDK prepares a request and handles what is unusual; a poll that is merely repeated need not pay for that
each time. So one request per minute goes through the SDK, and what it sent (the URL and the headers, with the
authentication of the connection) is replayed with aiohttp for all other runs. Where a replay is refused or
does not get through, the SDK sends the request instead.
"""

from __future__ import annotations

import asyncio
import math
import os
import ssl
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import quote, unquote

import aiohttp
import certifi
from multidict import CIMultiDict
from yarl import URL

from airflow_provider_openai_run.api.http import ApiResponse, SentRequest
from airflow_provider_openai_run.connection.http_client import RAW_NETWORK_ERRORS, environment_proxy
from airflow_provider_openai_run.exceptions import RunRequestError
from airflow_provider_openai_run.triggerer.sdk_client import UNAUTHORIZED_STATUSES, SdkClient

if TYPE_CHECKING:
    from airflow_provider_openai_run.api.base import Request
    from airflow_provider_openai_run.types.run_ref import RunRef

#: How many seconds a prepared request is replayed: fewer than any token has left when the SDK renews it.
_PREPARED_TTL = 60.0
#: How many seconds an idle keep-alive connection stays open: more than the longest poll interval.
_KEEP_ALIVE = 150.0
#: After how many requests in a row that got through with the SDK but not with aiohttp replays are given up.
_MAX_MISSES = 3
#: Headers that aiohttp sets itself.
_TRANSPORT_HEADERS = frozenset({"host", "connection", "accept-encoding", "content-length", "content-type"})
#: The characters that RFC 3986 allows in a path, which the SDK's HTTP library does not encode.
_SAFE_IN_PATHS = "/!$&'()*+,;=:@"

_RequestKind: TypeAlias = tuple[tuple[str, str], ...]
"""The headers and the query that a request has: requests that differ in them are prepared separately."""


class ReplayTransport:
    """
    Send requests over one Airflow connection, at little CPU per request.

    :param conn_id: the connection.
    """

    def __init__(self, conn_id: str) -> None:
        self._sdk_client = SdkClient(conn_id)
        self._session: aiohttp.ClientSession | None = None
        self._prepared: dict[_RequestKind, PreparedRequest] = {}
        self._sdk_lock = asyncio.Lock()
        self._misses = 0
        self._sdk_error: RunRequestError | None = None
        self._sdk_error_at = -math.inf

    @property
    def base_url(self) -> str:
        """The base URL of the connection; empty before the first request."""
        return self._sdk_client.base_url

    @property
    def run_link_template(self) -> str | None:
        """The template of the connection for links to runs; None for none, or before the first request."""
        return self._sdk_client.run_link_template

    async def send(self, request: Request, ref: RunRef | None) -> ApiResponse:
        """
        Send a request.

        :param request: only a GET is replayed, and may be sent twice.
        :param ref: the run that it is about, for error messages.
        :return: the response, whatever its HTTP status.
        :raises RunRequestError: with ``is_retryable`` if there was no response, without if the connection is
            invalid.
        """
        if self._misses >= _MAX_MISSES or request.method != "GET" or "after" in request.query:
            # A page further down a list is rarely requested twice.
            return await self._sdk_client.send(request, ref)
        included = (("include", name) for name in request.include)
        kind = (*request.headers.items(), *request.query.items(), *included)
        prepared = self._prepared.get(kind)
        missed = False
        # While the SDK prepares a new request, the others go on with the old one.
        if prepared is not None and (prepared.is_fresh or self._sdk_lock.locked()):
            response = await self._replay(prepared, request)
            if response is not None and response.http_status not in UNAUTHORIZED_STATUSES:
                return response
            missed = response is None
        return await self._send_with_sdk(request, ref, kind, prepared, missed=missed)

    async def close(self) -> None:
        """Close the session and the SDK client."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()
        await self._sdk_client.close()

    async def _replay(self, prepared: PreparedRequest, request: Request) -> ApiResponse | None:
        """Send a request as the SDK did; return None if it does not get through."""
        if self._session is None:
            return None
        try:
            async with self._session.get(
                prepared.url_for(request),
                headers=prepared.headers,
                proxy=prepared.proxy,
                timeout=prepared.timeout,
                allow_redirects=False,
            ) as http_response:
                body = await http_response.read()
                response = ApiResponse(http_response.status, http_response.headers, body, prepared.sent)
        except (aiohttp.ClientError, *RAW_NETWORK_ERRORS):
            return None
        if HTTPStatus.MULTIPLE_CHOICES <= response.http_status < HTTPStatus.BAD_REQUEST:
            # The SDK's HTTP client decides whether to follow the redirect.
            return None
        self._misses = 0
        return response

    async def _send_with_sdk(
        self,
        request: Request,
        ref: RunRef | None,
        kind: _RequestKind,
        prepared: PreparedRequest | None,
        *,
        missed: bool,
    ) -> ApiResponse:
        """Send a request with the SDK, unless another task did while this one waited for the lock."""
        waiting_since = time.monotonic()
        async with self._sdk_lock:
            renewed = self._prepared.get(kind)
            if renewed is not None and renewed is not prepared:
                response = await self._replay(renewed, request)
                if response is not None and response.http_status not in UNAUTHORIZED_STATUSES:
                    return response
                missed = response is None
            elif self._sdk_error is not None and self._sdk_error_at > waiting_since:
                raise _error_for_another_run(self._sdk_error, ref)
            try:
                response = await self._sdk_client.send(request, ref)
            except RunRequestError as error:
                self._prepared.pop(kind, None)
                self._sdk_error, self._sdk_error_at = error, time.monotonic()
                raise
            await self._prepare(response, request, kind, missed=missed)
            return response

    async def _prepare(
        self, response: ApiResponse, request: Request, kind: _RequestKind, *, missed: bool
    ) -> None:
        """Keep what the SDK sent, to replay it."""
        if response.http_status in UNAUTHORIZED_STATUSES:
            self._prepared.clear()
            return
        if self._session is None:
            self._session = await _new_session()
        prepared = None
        if response.sent is not None:
            timeout = aiohttp.ClientTimeout(total=self._sdk_client.timeout)
            prepared = PreparedRequest.from_sent(response.sent, request, timeout, self._sdk_client.proxy)
        if prepared is None:
            self._prepared.pop(kind, None)
        else:
            self._prepared[kind] = prepared
        if missed or prepared is None:
            self._misses += 1


class PreparedRequest:
    """
    A request as the SDK sent it, ready to be replayed for other runs.

    :param url_before_path: its URL up to the run's path.
    :param query: its query, with the leading ``?``; empty if it has none.
    :param headers: its headers, without those that aiohttp sets.
    :param proxy: the URL of the proxy; None for none.
    :param timeout: how long a replay may take.
    """

    def __init__(
        self,
        url_before_path: str,
        query: str,
        headers: CIMultiDict[str],
        proxy: str | None,
        timeout: aiohttp.ClientTimeout,
    ) -> None:
        self._url_before_path = url_before_path
        self._query = query
        self.headers = headers
        self.sent = SentRequest(url_before_path, headers)
        self.proxy = proxy
        self.timeout = timeout
        self._fresh_until = time.monotonic() + _PREPARED_TTL

    @classmethod
    def from_sent(
        cls, sent: SentRequest, request: Request, timeout: aiohttp.ClientTimeout, proxy: str | None
    ) -> PreparedRequest | None:
        """Cut the run's path out of a request; return None for a URL or a proxy that cannot be replayed."""
        address, mark, query = sent.url.partition("?")
        proxy = proxy or environment_proxy(address)
        if not unquote(address).endswith(request.path) or not _is_http(proxy):
            return None
        url_before_path = address.rsplit("/", request.path.count("/"))[0]
        headers = CIMultiDict(
            (name, value) for name, value in sent.headers.items() if name.lower() not in _TRANSPORT_HEADERS
        )
        return cls(url_before_path, mark + query, headers, proxy, timeout)

    @property
    def is_fresh(self) -> bool:
        """Whether it may still be replayed."""
        return time.monotonic() < self._fresh_until

    def url_for(self, request: Request) -> URL:
        """Return the URL for another run."""
        path = quote(request.path, _SAFE_IN_PATHS)
        return URL(f"{self._url_before_path}{path}{self._query}", encoded=True)


def _error_for_another_run(error: RunRequestError, ref: RunRef | None) -> RunRequestError:
    """Return the error of one run's request for a run whose request waited for it."""
    message = f"The request for {ref or 'a run'} was not sent, because one before it failed: {error.message}"
    ids: dict[str, Any] = ref.ids if ref else {}
    return type(error)(message, is_retryable=error.is_retryable, retry_after=error.retry_after, **ids)


def _is_http(proxy: str | None) -> bool:
    return proxy is None or proxy.startswith(("http://", "https://"))


async def _new_session() -> aiohttp.ClientSession:
    """Open a session that trusts the same certificates as the SDK."""
    # In a thread, because reading the certificates takes 20 ms.
    context = await asyncio.to_thread(_tls_context)
    connector = aiohttp.TCPConnector(ssl=context, limit=0, keepalive_timeout=_KEEP_ALIVE)
    # The headers that the SDK sent hold all cookies.
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())


def _tls_context() -> ssl.SSLContext:
    folder, file = os.environ.get("SSL_CERT_DIR"), os.environ.get("SSL_CERT_FILE")
    return ssl.create_default_context(cafile=file or (None if folder else certifi.where()), capath=folder)
