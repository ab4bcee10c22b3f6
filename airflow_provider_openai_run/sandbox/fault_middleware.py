"""The door: every request is logged, its key checked and its faults played before the API sees it."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import functools
import json
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from airflow_provider_openai_run.sandbox.errors import APIError, wrong_key
from airflow_provider_openai_run.sandbox.fault_effects import (
    Ask,
    Effect,
    IncomingRequest,
    OutgoingResponse,
    error_answer,
)
from airflow_provider_openai_run.sandbox.faults import Faults, RateLimiter

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGI: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]

#: Where anybody may look whether the sandbox is up.
HEALTH = "/_sandbox/health"
_ADMIN = "/_sandbox/"
_MOST_REQUESTS_KEPT = 20_000
_PATIENCE_SECONDS = 0.05


@dataclass(kw_only=True)
class LoggedRequest:
    """
    A request that came in, and what it was answered.

    :param number: its number, from 1.
    :param method: GET, POST, ...
    :param path: its path.
    :param query: its query string.
    :param body: its body: as JSON where it is, else as text.
    :param headers: its headers, by their names in lower case, the key left out.
    :param at: when it came, in epoch seconds of the real clock.
    :param status: the status of the answer; None as long as, or if, none was sent.
    """

    number: int
    method: str
    path: str
    query: str
    body: Any
    headers: dict[str, str]
    at: float
    status: int | None = None


@dataclass(kw_only=True)
class ServerControls:
    """
    What the gate goes by.

    :param api_key: the key that opens it.
    """

    api_key: str
    faults: Faults = field(default_factory=Faults)
    rate_limiter: RateLimiter = field(default_factory=RateLimiter)
    requests: collections.deque[LoggedRequest] = field(
        default_factory=lambda: collections.deque(maxlen=_MOST_REQUESTS_KEPT)
    )
    requests_in_all: int = 0
    closing: bool = False

    def log(self, question: IncomingRequest) -> LoggedRequest:
        """
        Keep a request.

        :param question: the request.
        """
        self.requests_in_all += 1
        headers = {name: value for name, value in question.headers.items() if name != "authorization"}
        logged = LoggedRequest(
            number=self.requests_in_all,
            method=question.method,
            path=question.path,
            query=question.query,
            body=_readable(question.body),
            headers=headers,
            at=time.time(),
        )
        self.requests.append(logged)
        return logged

    def reset(self) -> None:
        """Forget the requests and end the faults and the rate limit."""
        self.requests.clear()
        self.requests_in_all = 0
        self.faults.clear()
        self.rate_limiter.per_second = None

    def effects(self, question: IncomingRequest) -> list[Effect]:
        """
        Tell what stands between a request and its answer.

        :param question: the request.
        """
        refusal = self.rate_limiter.refusal()
        return [refusal] if refusal is not None else self.faults.effects_for(question)


class FaultMiddleware:
    """
    An ASGI application around another.

    :param app: the API.
    :param door: what the gate goes by.
    """

    def __init__(self, app: ASGI, door: ServerControls) -> None:
        self._app = app
        self._door = door

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Let a request through, or not."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.monotonic()
        question = IncomingRequest(
            method=scope["method"],
            path=scope["path"],
            query=scope["query_string"].decode("latin-1"),
            headers=_decoded(scope["headers"]),
            body=await _read(receive),
        )
        ask = functools.partial(_ask, self._app, scope)
        if question.path.startswith(_ADMIN):
            answer = await self._admitted(question, ask)
        else:
            logged = self._door.log(question)
            for effect in reversed(self._door.effects(question)):
                ask = functools.partial(effect, ask=ask)
            answer = await self._admitted(question, ask)
            if answer.withheld_seconds is not None:
                await self._withhold(answer.withheld_seconds, receive)
            else:
                logged.status = answer.status
        await _send(answer, (time.monotonic() - began) * 1000, send)

    async def _admitted(self, question: IncomingRequest, ask: Ask) -> OutgoingResponse:
        if question.path == HEALTH:
            return await ask(question)
        scheme, _, key = question.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key:
            message = "You didn't provide an API key. Send it as a bearer token in the Authorization header."
            return error_answer(APIError(401, message))
        if not secrets.compare_digest(key.encode(), self._door.api_key.encode()):
            return error_answer(wrong_key(key))
        return await ask(question)

    async def _withhold(self, seconds: float, receive: Receive) -> None:
        """Send nothing, until the client leaves, the sandbox closes or the time is over."""
        end = time.monotonic() + seconds
        leaving = asyncio.ensure_future(_disconnected(receive))
        while not leaving.done() and not self._door.closing and time.monotonic() < end:
            await asyncio.wait([leaving], timeout=_PATIENCE_SECONDS)
        leaving.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _read(receive: Receive) -> bytes:
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


def _decoded(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}


async def _ask(app: ASGI, scope: Message, question: IncomingRequest) -> OutgoingResponse:
    """Have the application answer, and keep the answer together."""
    status, body = 500, b""
    headers: dict[str, str] = {}
    asked = {**scope, "query_string": question.query.encode("latin-1")}

    async def receive() -> Message:
        return {"type": "http.request", "body": question.body, "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status, headers, body
        if message["type"] == "http.response.start":
            status = message["status"]
            headers = _decoded(message["headers"])
        else:
            body += message.get("body", b"")

    await app(asked, receive, send)
    return OutgoingResponse(status=status, headers=headers, body=body)


async def _send(answer: OutgoingResponse, milliseconds: float, send: Send) -> None:
    headers = {
        **answer.headers,
        "content-length": str(len(answer.body)),
        "openai-version": "2020-10-01",
        "openai-processing-ms": str(round(milliseconds)),
        "x-request-id": f"req_{secrets.token_hex(16)}",
    }
    encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": encoded})
    if answer.cut or answer.withheld_seconds is not None:
        # Returning with the body unfinished makes the server drop the connection.
        half = answer.body[: len(answer.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})
        return
    await send({"type": "http.response.body", "body": answer.body})


def _readable(body: bytes) -> Any:
    try:
        return json.loads(body) if body else None
    except ValueError:
        return body.decode("latin-1")


def describe(logged: LoggedRequest) -> dict[str, Any]:
    """
    Give a request as JSON.

    :param logged: the request.
    """
    return dataclasses.asdict(logged)
