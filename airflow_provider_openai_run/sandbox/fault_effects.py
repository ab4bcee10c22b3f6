"""The effects of faults. Each effect wraps the handler of a request and changes the response."""

from __future__ import annotations

import asyncio
import dataclasses
import email.utils
import json
import time
import urllib.parse
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

from airflow_provider_openai_run.sandbox.errors import APIError, not_found, wrong_key
from airflow_provider_openai_run.sandbox.scripts import JsonObject


@dataclass(frozen=True, kw_only=True)
class IncomingRequest:
    """
    A request from a client.

    :param method: GET, POST, ...
    :param path: its path.
    :param query: its query string.
    :param headers: its headers, with names in lower case.
    :param body: its body.
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def parameters(self) -> dict[str, str]:
        """The query parameters."""
        return dict(urllib.parse.parse_qsl(self.query, keep_blank_values=True))


@dataclass(frozen=True, kw_only=True)
class OutgoingResponse:
    """
    A response to a client.

    :param status: the HTTP status.
    :param headers: its headers.
    :param body: its body.
    :param cut: whether to close the connection in the middle of the body.
    :param stall_seconds: seconds for which nothing is sent before the connection is closed.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut: bool = False
    stall_seconds: float | None = None


CallNext: TypeAlias = Callable[[IncomingRequest], Awaitable[OutgoingResponse]]


class Effect(Protocol):
    """A wrapper around the handler of a request."""

    async def __call__(self, request: IncomingRequest, call_next: CallNext) -> OutgoingResponse:
        """
        Return the response.

        :param request: the client's request.
        :param call_next: the wrapped handler.
        """


def json_response(
    status: int, body: JsonObject, headers: Mapping[str, str] | None = None
) -> OutgoingResponse:
    """
    Return a JSON response.

    :param status: the HTTP status.
    :param body: the JSON object.
    :param headers: further headers.
    """
    all_headers = {"content-type": "application/json", **(headers or {})}
    return OutgoingResponse(status=status, headers=all_headers, body=json.dumps(body).encode())


def error_response(error: APIError) -> OutgoingResponse:
    """
    Return the response of an API error.

    :param error: the error.
    """
    headers = {"www-authenticate": 'Bearer realm="OpenAI API"'} if error.status == 401 else {}
    return json_response(error.status, error.body(), headers)


@dataclass(frozen=True)
class FixedResponse:
    """Return a fixed response without calling the API."""

    response: OutgoingResponse

    async def __call__(self, request: IncomingRequest, call_next: CallNext) -> OutgoingResponse:
        """Return the fixed response."""
        del request, call_next
        return self.response


@dataclass(frozen=True)
class CorruptBody:
    """Call the API, then replace the body, or (``body=None``) close the connection halfway through it."""

    body: bytes | None = None

    async def __call__(self, request: IncomingRequest, call_next: CallNext) -> OutgoingResponse:
        """Return the response with a corrupt body."""
        response = await call_next(request)
        if self.body is None:
            return dataclasses.replace(response, cut=True)
        return dataclasses.replace(response, body=self.body)


@dataclass(frozen=True)
class Delay:
    """Delay the response."""

    seconds: float

    async def __call__(self, request: IncomingRequest, call_next: CallNext) -> OutgoingResponse:
        """Return the response after the delay."""
        response = await call_next(request)
        await asyncio.sleep(self.seconds)
        return response


@dataclass(frozen=True)
class Stall:
    """Call the API, but send no response."""

    seconds: float

    async def __call__(self, request: IncomingRequest, call_next: CallNext) -> OutgoingResponse:
        """Return a response that is not sent."""
        return dataclasses.replace(await call_next(request), stall_seconds=self.seconds)


@dataclass(frozen=True)
class ExtraHeaders:
    """Add headers to the response."""

    headers: Mapping[str, str]

    async def __call__(self, request: IncomingRequest, call_next: CallNext) -> OutgoingResponse:
        """Return the response with the headers."""
        response = await call_next(request)
        return dataclasses.replace(response, headers={**response.headers, **self.headers})


@dataclass(frozen=True)
class SelectScript:
    """Let the created run, response or batch have another script."""

    script: str

    async def __call__(self, request: IncomingRequest, call_next: CallNext) -> OutgoingResponse:
        """Return the response to the request with the script in its metadata."""
        try:
            body = json.loads(request.body)
            metadata = {**(body.get("metadata") or {}), "sandbox_script": self.script}
        except (AttributeError, TypeError, ValueError):
            return await call_next(request)
        changed = json.dumps({**body, "metadata": metadata}).encode()
        return await call_next(dataclasses.replace(request, body=changed))


@dataclass(frozen=True)
class EndlessHasMore:
    """Set ``has_more`` on every page; with ``cursor="stuck"`` every page is the first page."""

    cursor: Literal["moving", "stuck"] = "moving"

    async def __call__(self, request: IncomingRequest, call_next: CallNext) -> OutgoingResponse:
        """Return a page with ``has_more``."""
        if self.cursor == "stuck":
            request = _without_cursor(request)
        return _edited(await call_next(request), lambda page: {**page, "has_more": True})


@dataclass(frozen=True)
class EndlessPages:
    """Make a list endless: every page is the first page with new IDs."""

    _page_numbers: list[int] = field(default_factory=lambda: [0])

    async def __call__(self, request: IncomingRequest, call_next: CallNext) -> OutgoingResponse:
        """Return the next page."""
        return _edited(await call_next(_without_cursor(request)), self._with_new_ids)

    def _with_new_ids(self, page: JsonObject) -> JsonObject:
        self._page_numbers[0] += 1
        data = [{**item, "id": f"{item['id']}-{self._page_numbers[0]}"} for item in page["data"]]
        ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {}
        return {**page, "data": data, **ends, "has_more": True}


@dataclass(frozen=True)
class OverlappingPages:
    """Start every further page with the last item of the page before."""

    _last: dict[str, JsonObject] = field(default_factory=dict)

    async def __call__(self, request: IncomingRequest, call_next: CallNext) -> OutgoingResponse:
        """Return a page, after the last item of the page before."""
        before = self._last.get(request.parameters.get("after", ""))
        return _edited(await call_next(request), lambda page: self._with_item_before(page, before))

    def _with_item_before(self, page: JsonObject, before: JsonObject | None) -> JsonObject:
        if page["data"]:
            self._last[page["data"][-1]["id"]] = page["data"][-1]
        if before is None:
            return page
        data = [before, *page["data"]]
        return {**page, "data": data, "first_id": before["id"], "last_id": data[-1]["id"]}


def _without_cursor(request: IncomingRequest) -> IncomingRequest:
    parameters = {
        name: value for name, value in request.parameters.items() if name not in {"after", "before"}
    }
    return dataclasses.replace(request, query=urllib.parse.urlencode(parameters))


def _edited(response: OutgoingResponse, edit: Callable[[JsonObject], JsonObject]) -> OutgoingResponse:
    """Return the response with an edited page; other responses stay unchanged."""
    if response.status != 200:
        return response
    page = json.loads(response.body)
    if not isinstance(page, dict) or page.get("object") != "list":
        return response
    return dataclasses.replace(response, body=json.dumps(edit(page)).encode())


def rate_limited(
    *, retry_after: float | None = 1.0, form: str = "seconds", limit: int = 500
) -> FixedResponse:
    """
    Return the effect of a 429 response.

    :param retry_after: seconds to wait; None sends no retry-after header.
    :param form: format of the header: "seconds", "date" (an HTTP date) or "ms" (``retry-after-ms``).
    :param limit: the limit in the x-ratelimit headers.
    """
    headers = {
        "x-ratelimit-limit-requests": str(limit),
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": f"{retry_after or 1:g}s",
    }
    if retry_after is not None:
        headers |= _retry_after(retry_after, form)
    error = APIError(429, "Rate limit reached for requests.", type_="requests", code="rate_limit_exceeded")
    return FixedResponse(json_response(429, error.body(), headers))


def _retry_after(seconds: float, form: str) -> dict[str, str]:
    if form == "seconds":
        return {"retry-after": f"{seconds:g}"}
    if form == "date":
        return {"retry-after": email.utils.formatdate(time.time() + seconds, usegmt=True)}
    if form == "ms":
        return {"retry-after-ms": f"{seconds * 1000:g}"}
    raise ValueError(f"form must be seconds, date or ms, not '{form}'")


def reply(*, status: int = 500, body: Any = None, headers: Mapping[str, str] | None = None) -> FixedResponse:
    """
    Return the effect of a fixed response.

    :param status: the HTTP status.
    :param body: text, or JSON of any type; by default an error in the API's format.
    :param headers: its headers.
    """
    if body is None:
        body = APIError(status, "The server had an error.", type_="server_error").body()
    if isinstance(body, str):
        all_headers = {"content-type": "text/plain", **(headers or {})}
        return FixedResponse(OutgoingResponse(status=status, headers=all_headers, body=body.encode()))
    return FixedResponse(json_response(status, body, headers))


def _server_error() -> FixedResponse:
    message = "The server had an error processing your request. Sorry about that!"
    return FixedResponse(error_response(APIError(500, message, type_="server_error")))


def _bad_gateway() -> FixedResponse:
    page = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
    return FixedResponse(
        OutgoingResponse(status=502, headers={"content-type": "text/html"}, body=page.encode())
    )


def _unavailable(*, retry_after: float | None = None) -> FixedResponse:
    error = APIError(503, "The engine is currently overloaded, please try again later.", type_="server_error")
    headers = {} if retry_after is None else _retry_after(retry_after, "seconds")
    return FixedResponse(json_response(503, error.body(), headers))


def _forbidden() -> FixedResponse:
    return FixedResponse(
        error_response(APIError(403, "You have insufficient permissions for this operation."))
    )


#: The makers of effects, by the names that faults are app_scope for by.
EFFECTS: Mapping[str, Callable[..., Effect]] = {
    "reply": reply,
    "rate_limited": rate_limited,
    "server_error": _server_error,
    "bad_gateway": _bad_gateway,
    "unavailable": _unavailable,
    "wrong_key": lambda: FixedResponse(error_response(wrong_key("sk-not-the-one"))),
    "forbidden": _forbidden,
    "not_found": lambda: FixedResponse(error_response(not_found("run", "run_not_yet"))),
    "stalled": lambda seconds=60.0: Stall(float(seconds)),
    "cut": CorruptBody,
    "malformed": lambda: CorruptBody(b'{"id": "run_'),
    "empty": lambda: CorruptBody(b""),
    "slow": lambda seconds=0.5: Delay(float(seconds)),
    "poll_after": lambda milliseconds=1000: ExtraHeaders({"openai-poll-after-ms": str(milliseconds)}),
    "headers": ExtraHeaders,
    "script": lambda script="failed": SelectScript(str(script)),
    "endless_has_more": EndlessHasMore,
    "stuck_cursor": lambda: EndlessHasMore("stuck"),
    "endless_pages": EndlessPages,
    "duplicate_steps": OverlappingPages,
}
