"""HTTP clients that keep credentials at their host, name the proxy, and limit the time of a body.

They have the SDK's defaults, and the SDK sends over them; but this module does not import it, which takes
half a second.

- httpx drops only ``Authorization`` where a redirect leads to another host, but a connection may have its key
  in any header. Here such a redirect is not followed, but returned.
- A connection to a proxy that fails reads like one to the API. Here the error names the proxy.
- The timeouts of httpx hold for each read from the socket: a server that sends a byte now and then keeps a
  request waiting for ever. Here the whole body must arrive within the request's read timeout.
"""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from airflow_provider_openai_run.exceptions import RunRequestError
from airflow_provider_openai_run.types.redaction import redact

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

#: The version of the installed SDK.
SDK_VERSION = metadata.version("openai")
# openai 3 moved from httpx to httpx2.
httpx: Any = import_module("httpx" if SDK_VERSION.startswith("2.") else "httpx2")

#: What the network stack raises for a host, port or header that it cannot use, beside the errors of httpx.
RAW_NETWORK_ERRORS = (OSError, ValueError, OverflowError, ExceptionGroup)
NETWORK_ERRORS = (httpx.HTTPError, *RAW_NETWORK_ERRORS)

#: How long a GET may take, in seconds, where the connection does not set a ``timeout``.
READ_TIMEOUT = 30.0

#: The defaults of the SDK's own HTTP clients.
_DEFAULTS = {
    "timeout": httpx.Timeout(timeout=600, connect=5.0),
    "limits": httpx.Limits(max_connections=1000, max_keepalive_connections=100),
    "follow_redirects": True,
}
_is_quiet = ContextVar("_is_quiet", default=False)
_total_timeout: ContextVar[float | None] = ContextVar("_total_timeout", default=None)


@contextmanager
def total_timeout(seconds: float) -> Iterator[None]:
    """
    Let the bodies of responses arrive within a time of their own, instead of the read timeout.

    :param seconds: how long, in seconds; the read timeout still holds for each read from the socket.
    """
    token = _total_timeout.set(seconds)
    try:
        yield
    finally:
        _total_timeout.reset(token)


def new_http_client(proxy: str | None) -> Any:
    """
    Return an HTTP client with the SDK's defaults.

    :param proxy: the URL of a proxy; None leaves it to the environment.
    """
    client = _HttpClient(proxy=proxy, event_hooks={"response": [_limit_body]}, **_DEFAULTS)
    client.own_proxy = proxy
    return client


def new_async_http_client(proxy: str | None) -> Any:
    """Return an async HTTP client, which the caller closes; see :func:`new_http_client`."""
    client = _AsyncHttpClient(proxy=proxy, event_hooks={"response": [_limit_body_async]}, **_DEFAULTS)
    client.own_proxy = proxy
    return client


@contextmanager
def quiet_log(*, quiet: bool) -> Iterator[None]:
    """
    Keep the HTTP library's lines for requests out of the log.

    :param quiet: False keeps none out.
    """
    token = _is_quiet.set(quiet)
    try:
        yield
    finally:
        _is_quiet.reset(token)


def _is_logged(record: logging.LogRecord) -> bool:
    return record.levelno > logging.INFO or not _is_quiet.get()


logging.getLogger(httpx.__name__).addFilter(_is_logged)


def environment_proxy(url: str) -> str | None:
    """
    Return the proxy that the environment sets for a URL; None for none.

    :param url: an absolute URL.
    """
    parts = urlsplit(url)
    if parts.hostname is None or proxy_bypass(parts.hostname):
        return None
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    return proxy if proxy is None or "://" in proxy else f"http://{proxy}"


def first_error(error: BaseException) -> BaseException:
    """
    Return the first error of a group, however deep; any other error is returned as it is.

    :param error: what a connection raised: tries of several addresses at once are a group.
    """
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def no_response_error(
    subject: object, base_url: str, reasons: Iterable[str], secrets: Iterable[str], **fields: Any
) -> RunRequestError:
    """
    Return the error for a request that got no response.

    :param subject: what it is about.
    :param base_url: the API's base URL.
    :param reasons: what happened, and the cause of it.
    :param secrets: the credentials of the connection, to mask in the reasons.
    :param fields: the fields of the error: the ids of the run, and whether a retry may help.
    """
    known = tuple(secrets)
    reason = ": ".join(redact(each, known).rstrip(".") for each in reasons)
    message = f"The request for {subject} got no response from {urlsplit(base_url).netloc}: {reason}"
    return RunRequestError(message, **fields)


class _HttpClient(httpx.Client):  # type: ignore[misc]  # httpx is one of two libraries
    """Closes itself when it is collected, as the SDK's own does: Airflow closes no hook."""

    own_proxy: str | None = None

    def send(self, request: Any, **options: Any) -> Any:
        """Send a request; follow redirects only to the same host."""
        options["follow_redirects"] = False
        try:
            response = super().send(request, **options)
            for _ in range(self.max_redirects):
                redirected = response.next_request
                if redirected is None or not _is_same_host(request.url, redirected.url):
                    break
                response.close()
                response = super().send(redirected, **options)
        except NETWORK_ERRORS as error:
            if (named := _proxy_error(error, self.own_proxy, request)) is None:
                raise
            raise named from error
        return response

    def __del__(self) -> None:
        with suppress(Exception):
            self.close()


class _AsyncHttpClient(httpx.AsyncClient):  # type: ignore[misc]  # as above
    own_proxy: str | None = None

    async def send(self, request: Any, **options: Any) -> Any:
        """Send a request; follow redirects only to the same host."""
        options["follow_redirects"] = False
        try:
            response = await super().send(request, **options)
            for _ in range(self.max_redirects):
                redirected = response.next_request
                if redirected is None or not _is_same_host(request.url, redirected.url):
                    break
                await response.aclose()
                response = await super().send(redirected, **options)
        except NETWORK_ERRORS as error:
            if (named := _proxy_error(error, self.own_proxy, request)) is None:
                raise
            raise named from error
        return response


def _is_same_host(url: Any, target: Any) -> bool:
    """Return whether a redirect stays at its origin, or goes from HTTP to HTTPS at the same host."""
    if (url.scheme, url.host, url.port) == (target.scheme, target.host, target.port):
        return True
    is_upgrade = (url.scheme, target.scheme) == ("http", "https")
    return is_upgrade and url.host == target.host and url.port is target.port is None


def _proxy_error(error: Exception, own_proxy: str | None, request: Any) -> Exception | None:
    """Return the error that names the proxy, if a connection through one failed; else None."""
    proxy = own_proxy or environment_proxy(str(request.url))
    cause = first_error(error)
    is_connect_error = isinstance(cause, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError)
    if proxy is None or (isinstance(cause, httpx.HTTPError) and not is_connect_error):
        return None
    parts = urlsplit(proxy)
    name = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    message = f"the connection through the proxy {name} failed: {str(cause) or type(cause).__name__}"
    if isinstance(cause, ValueError | OverflowError):
        return ValueError(message)
    return httpx.ConnectError(message, request=request)  # type: ignore[no-any-return]  # as below


def _limit_body(response: Any) -> None:
    response.stream = _LimitedStream(response)


async def _limit_body_async(response: Any) -> None:
    response.stream = _LimitedAsyncStream(response)


class _Deadline:
    """The time until which a response's body must have arrived."""

    def __init__(self, response: Any) -> None:
        self._stream = response.stream
        self._request = response.request
        read_timeout: float | None = response.request.extensions.get("timeout", {}).get("read")
        self._seconds = _total_timeout.get() or read_timeout
        self._started_at = time.monotonic()

    def _check(self) -> None:
        if self._seconds is not None and time.monotonic() - self._started_at > self._seconds:
            message = f"the body did not end within {self._seconds:g} s"
            raise httpx.ReadTimeout(message, request=self._request)


class _LimitedStream(_Deadline, httpx.SyncByteStream):  # type: ignore[misc]  # httpx is one of two libraries
    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._stream:
            self._check()
            yield chunk

    def close(self) -> None:
        self._stream.close()


class _LimitedAsyncStream(_Deadline, httpx.AsyncByteStream):  # type: ignore[misc]  # as above
    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            self._check()
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()
