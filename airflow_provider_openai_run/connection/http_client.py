"""HTTP clients for the SDK that give up on a response whose body does not end.

The timeouts of httpx hold for each read from the socket: a server that sends a byte now and then keeps a
request waiting for ever. Here the whole body must arrive within the request's read timeout.
"""

from __future__ import annotations

import time
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

import openai

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

# openai 3 moved from httpx to httpx2.
httpx: Any = import_module("httpx" if openai.VERSION.startswith("2.") else "httpx2")


def new_http_client(proxy: str | None) -> Any:
    """
    Return an HTTP client with the SDK's defaults.

    :param proxy: the URL of a proxy; None leaves it to the environment.
    """
    return _HttpClient(proxy=proxy, event_hooks={"response": [_limit_body]})


def new_async_http_client(proxy: str | None) -> Any:
    """Return an async HTTP client, which the caller closes; see :func:`new_http_client`."""
    return openai.DefaultAsyncHttpxClient(proxy=proxy, event_hooks={"response": [_limit_body_async]})


class _HttpClient(openai.DefaultHttpxClient):
    """Closes itself when it is collected, as the SDK's own does: Airflow closes no hook."""

    def __del__(self) -> None:
        with suppress(Exception):
            self.close()


def _limit_body(response: Any) -> None:
    response.stream = _LimitedStream(response)


async def _limit_body_async(response: Any) -> None:
    response.stream = _LimitedAsyncStream(response)


class _Deadline:
    """The time until which a response's body must have arrived."""

    def __init__(self, response: Any) -> None:
        self._stream = response.stream
        self._request = response.request
        self._seconds: float | None = response.request.extensions.get("timeout", {}).get("read")
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
