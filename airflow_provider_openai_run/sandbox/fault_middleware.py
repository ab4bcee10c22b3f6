"""The fault middleware: logs requests, checks the API key and applies faults before the API handles them."""

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
    CallNext,
    Effect,
    IncomingRequest,
    OutgoingResponse,
    error_response,
)
from airflow_provider_openai_run.sandbox.faults import Faults, RateLimiter
from airflow_provider_openai_run.sandbox.quota import Quota

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGI: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]

#: The path of the health check, open without a key.
HEALTH = "/_sandbox/health"
#: The paths of the pages of runs and responses, to which the links of tasks lead.
RUN_LINKS = "/_sandbox/runs/"
_ADMIN = "/_sandbox/"
_MAX_LOGGED_REQUESTS = 20_000
_STALL_CHECK_SECONDS = 0.05


@dataclass(kw_only=True)
class LoggedRequest:
    """
    A received request and the status of its response.

    :param number: its number, from 1.
    :param method: GET, POST, ...
    :param path: its path.
    :param query: its query string.
    :param body: its body, parsed if it is JSON, else text; of an uploaded file, only how large it is.
    :param headers: its headers without ``authorization``, with names in lower case.
    :param received_at: real time in epoch seconds.
    :param status: status of the response; None if none has been sent.
    """

    number: int
    method: str
    path: str
    query: str
    body: Any
    headers: dict[str, str]
    received_at: float
    status: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the request as JSON."""
        return dataclasses.asdict(self)


@dataclass(kw_only=True)
class ServerState:
    """
    The state of the server: API key, faults, rate limit and request log.

    :param api_key: the valid API key.
    :param public_links: whether :data:`RUN_LINKS` is open without a key, for links in a browser.
    """

    api_key: str
    public_links: bool = False
    faults: Faults = field(default_factory=Faults)
    rate_limiter: RateLimiter = field(default_factory=RateLimiter)
    quota: Quota = field(default_factory=Quota)
    requests: collections.deque[LoggedRequest] = field(
        default_factory=lambda: collections.deque(maxlen=_MAX_LOGGED_REQUESTS)
    )
    request_count: int = 0
    closing: bool = False

    def log(self, request: IncomingRequest) -> LoggedRequest:
        """
        Log a request.

        :param request: the request.
        """
        self.request_count += 1
        headers = {name: value for name, value in request.headers.items() if name != "authorization"}
        logged = LoggedRequest(
            number=self.request_count,
            method=request.method,
            path=request.path,
            query=request.query,
            body=_parsed_body(request),
            headers=headers,
            received_at=time.time(),
        )
        self.requests.append(logged)
        return logged

    def reset(self) -> None:
        """Clear the request log and remove the faults and the rate limit."""
        self.requests.clear()
        self.request_count = 0
        self.faults.clear()
        self.rate_limiter.per_second = None
        self.quota.limit()

    def effects_for(self, request: IncomingRequest) -> list[Effect]:
        """
        Return the effects for a request.

        :param request: the request.
        """
        refusal = self.rate_limiter.refusal()
        if refusal is not None:
            return [refusal]
        faults, quota = self.faults.effects_for(request), self.quota.effect(request)
        return faults if quota is None else [quota, *faults]


class FaultMiddleware:
    """
    ASGI middleware that logs requests, checks API keys and applies faults.

    :param app: the wrapped application.
    :param server_state: the state of the server.
    """

    def __init__(self, app: ASGI, server_state: ServerState) -> None:
        self._app = app
        self._server_state = server_state

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.monotonic()
        request = IncomingRequest(
            method=scope["method"],
            path=scope["path"],
            query=scope["query_string"].decode("latin-1"),
            headers=_decoded(scope["headers"]),
            body=await _read(receive),
        )
        call_next = functools.partial(_call_app, self._app, scope)
        if request.path.startswith(_ADMIN):
            response = await self._authenticate(request, call_next)
        else:
            logged = self._server_state.log(request)
            for effect in reversed(self._server_state.effects_for(request)):
                call_next = functools.partial(effect, call_next=call_next)
            response = await self._authenticate(request, call_next)
            if response.stall_seconds is not None:
                await self._stall(response.stall_seconds, receive)
            else:
                logged.status = response.status
        await _send(response, (time.monotonic() - began) * 1000, send)

    async def _authenticate(self, request: IncomingRequest, call_next: CallNext) -> OutgoingResponse:
        if request.path == HEALTH or (self._server_state.public_links and request.path.startswith(RUN_LINKS)):
            return await call_next(request)
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key:
            message = "You didn't provide an API key. Send it as a bearer token in the Authorization header."
            return error_response(APIError(401, message))
        if not secrets.compare_digest(key.encode(), self._server_state.api_key.encode()):
            return error_response(wrong_key(key))
        return await call_next(request)

    async def _stall(self, seconds: float, receive: Receive) -> None:
        """Send nothing until the client disconnects, the sandbox closes or the time is over."""
        end = time.monotonic() + seconds
        disconnect = asyncio.ensure_future(_wait_for_disconnect(receive))
        while not disconnect.done() and not self._server_state.closing and time.monotonic() < end:
            await asyncio.wait([disconnect], timeout=_STALL_CHECK_SECONDS)
        disconnect.cancel()


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _read(receive: Receive) -> bytes:
    chunks = []
    more = True
    while more:
        message = await receive()
        chunks.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(chunks)


def _decoded(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}


async def _call_app(app: ASGI, scope: Message, request: IncomingRequest) -> OutgoingResponse:
    """Call the application and return its whole response."""
    status = 500
    chunks: list[bytes] = []
    headers: dict[str, str] = {}
    app_scope = {**scope, "query_string": request.query.encode("latin-1")}

    async def receive() -> Message:
        return {"type": "http.request", "body": request.body, "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status, headers
        if message["type"] == "http.response.start":
            status = message["status"]
            headers = _decoded(message["headers"])
        else:
            chunks.append(message.get("body", b""))

    await app(app_scope, receive, send)
    return OutgoingResponse(status=status, headers=headers, body=b"".join(chunks))


async def _send(response: OutgoingResponse, milliseconds: float, send: Send) -> None:
    headers = {
        **response.headers,
        "content-length": str(len(response.body)),
        "openai-version": "2020-10-01",
        "openai-processing-ms": str(round(milliseconds)),
        "x-request-id": f"req_{secrets.token_hex(16)}",
    }
    encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": response.status, "headers": encoded})
    if response.cut or response.stall_seconds is not None:
        # Returning with the body unfinished makes the server drop the connection.
        half = response.body[: len(response.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})
        return
    await send({"type": "http.response.body", "body": response.body})


def _parsed_body(request: IncomingRequest) -> Any:
    if request.headers.get("content-type", "").startswith("multipart/"):
        return f"{len(request.body)} bytes of multipart/form-data"
    try:
        return json.loads(request.body) if request.body else None
    except ValueError:
        return request.body.decode("latin-1")
