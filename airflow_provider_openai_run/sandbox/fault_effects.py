"""What a fault does to an exchange: each effect stands between the client and the API."""

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
from airflow_provider_openai_run.sandbox.scripts import Json


@dataclass(frozen=True, kw_only=True)
class IncomingRequest:
    """
    A request as it came in.

    :param method: GET, POST, ...
    :param path: its path.
    :param query: its query string.
    :param headers: its headers, by their names in lower case.
    :param body: its body.
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def parameters(self) -> dict[str, str]:
        """The parameters of the query string."""
        return dict(urllib.parse.parse_qsl(self.query, keep_blank_values=True))


@dataclass(frozen=True, kw_only=True)
class OutgoingResponse:
    """
    What goes back.

    :param status: the HTTP status.
    :param headers: its headers.
    :param body: its body.
    :param cut: whether the connection is cut in the middle of the body.
    :param withheld_seconds: how long nothing is sent at all, after which the connection is cut.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut: bool = False
    withheld_seconds: float | None = None


Ask: TypeAlias = Callable[[IncomingRequest], Awaitable[OutgoingResponse]]


class Effect(Protocol):
    """What a fault does to an exchange."""

    async def __call__(self, question: IncomingRequest, ask: Ask) -> OutgoingResponse:
        """
        Give the answer.

        :param question: what the client asks.
        :param ask: how to have the API answer it.
        """


def json_answer(status: int, body: Json, headers: Mapping[str, str] | None = None) -> OutgoingResponse:
    """
    Give an answer that is JSON.

    :param status: the HTTP status.
    :param body: the JSON.
    :param headers: further headers.
    """
    sent = {"content-type": "application/json", **(headers or {})}
    return OutgoingResponse(status=status, headers=sent, body=json.dumps(body).encode())


def error_answer(error: APIError) -> OutgoingResponse:
    """
    Give an answer that is an error.

    :param error: the error.
    """
    headers = {"www-authenticate": 'Bearer realm="OpenAI API"'} if error.status == 401 else {}
    return json_answer(error.status, error.body(), headers)


@dataclass(frozen=True)
class Reply:
    """Answers without asking the API."""

    answer: OutgoingResponse

    async def __call__(self, question: IncomingRequest, ask: Ask) -> OutgoingResponse:
        """Give the answer."""
        del question, ask
        return self.answer


@dataclass(frozen=True)
class Garble:
    """Has the API do its work and loses its answer: another body, or half of it and a cut connection."""

    body: bytes | None = None

    async def __call__(self, question: IncomingRequest, ask: Ask) -> OutgoingResponse:
        """Give what is left of the answer."""
        answer = await ask(question)
        if self.body is None:
            return dataclasses.replace(answer, cut=True)
        return dataclasses.replace(answer, body=self.body)


@dataclass(frozen=True)
class Delay:
    """Answers late."""

    seconds: float

    async def __call__(self, question: IncomingRequest, ask: Ask) -> OutgoingResponse:
        """Give the API's answer, later."""
        answer = await ask(question)
        await asyncio.sleep(self.seconds)
        return answer


@dataclass(frozen=True)
class Stall:
    """Has the API do its work and never tells."""

    seconds: float

    async def __call__(self, question: IncomingRequest, ask: Ask) -> OutgoingResponse:
        """Give an answer that is withheld."""
        return dataclasses.replace(await ask(question), withheld_seconds=self.seconds)


@dataclass(frozen=True)
class Headers:
    """Adds headers to the API's answer."""

    headers: Mapping[str, str]

    async def __call__(self, question: IncomingRequest, ask: Ask) -> OutgoingResponse:
        """Give the API's answer with more headers."""
        answer = await ask(question)
        return dataclasses.replace(answer, headers={**answer.headers, **self.headers})


@dataclass(frozen=True)
class HasMore:
    """Says of every page that there is more; ``cursor`` "stuck" serves the first page again and again."""

    cursor: Literal["moving", "stuck"] = "moving"

    async def __call__(self, question: IncomingRequest, ask: Ask) -> OutgoingResponse:
        """Give a page that is never the last."""
        if self.cursor == "stuck":
            question = _without_cursor(question)
        return _edited(await ask(question), lambda page: {**page, "has_more": True})


@dataclass(frozen=True)
class NewIds:
    """Makes a list that never ends: the first page again and again, each time with ids nobody has seen."""

    _seen: list[int] = field(default_factory=lambda: [0])

    async def __call__(self, question: IncomingRequest, ask: Ask) -> OutgoingResponse:
        """Give one more page."""
        return _edited(await ask(_without_cursor(question)), self._renamed)

    def _renamed(self, page: Json) -> Json:
        self._seen[0] += 1
        data = [{**item, "id": f"{item['id']}-{self._seen[0]}"} for item in page["data"]]
        ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {}
        return {**page, "data": data, **ends, "has_more": True}


@dataclass(frozen=True)
class Overlap:
    """Begins every further page with the item that ended the one before."""

    _last: dict[str, Json] = field(default_factory=dict)

    async def __call__(self, question: IncomingRequest, ask: Ask) -> OutgoingResponse:
        """Give a page, with an item of the one before if there was one."""
        before = self._last.get(question.parameters.get("after", ""))
        return _edited(await ask(question), lambda page: self._overlapping(page, before))

    def _overlapping(self, page: Json, before: Json | None) -> Json:
        if page["data"]:
            self._last[page["data"][-1]["id"]] = page["data"][-1]
        if before is None:
            return page
        data = [before, *page["data"]]
        return {**page, "data": data, "first_id": before["id"], "last_id": data[-1]["id"]}


def _without_cursor(question: IncomingRequest) -> IncomingRequest:
    kept = {name: value for name, value in question.parameters.items() if name not in {"after", "before"}}
    return dataclasses.replace(question, query=urllib.parse.urlencode(kept))


def _edited(answer: OutgoingResponse, edit: Callable[[Json], Json]) -> OutgoingResponse:
    """Edit a page; whatever is none goes through as it is."""
    if answer.status != 200:
        return answer
    page = json.loads(answer.body)
    if not isinstance(page, dict) or page.get("object") != "list":
        return answer
    return dataclasses.replace(answer, body=json.dumps(edit(page)).encode())


def rate_limited(*, retry_after: float | None = 1.0, form: str = "seconds", limit: int = 500) -> Reply:
    """
    Make the answer 429.

    :param retry_after: when to come again, in seconds; None says nothing of it.
    :param form: how that is said: "seconds", "date" (an HTTP date) or "ms".
    :param limit: the limit of requests that the headers tell.
    """
    headers = {
        "x-ratelimit-limit-requests": str(limit),
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": f"{retry_after or 1:g}s",
    }
    if retry_after is not None:
        headers |= _retry_after(retry_after, form)
    error = APIError(429, "Rate limit reached for requests.", type_="requests", code="rate_limit_exceeded")
    return Reply(json_answer(429, error.body(), headers))


def _retry_after(seconds: float, form: str) -> dict[str, str]:
    if form == "seconds":
        return {"retry-after": f"{seconds:g}"}
    if form == "date":
        return {"retry-after": email.utils.formatdate(time.time() + seconds, usegmt=True)}
    if form == "ms":
        return {"retry-after-ms": f"{seconds * 1000:g}"}
    raise ValueError(f"retry-after is said in seconds, date or ms, not in '{form}'")


def reply(*, status: int = 500, body: Any = None, headers: Mapping[str, str] | None = None) -> Reply:
    """
    Make any answer.

    :param status: the HTTP status.
    :param body: its body: a text as it is, anything else as JSON; unless given, an error of the API's kind.
    :param headers: its headers.
    """
    if body is None:
        body = APIError(status, "The server had an error.", type_="server_error").body()
    if isinstance(body, str):
        sent = {"content-type": "text/plain", **(headers or {})}
        return Reply(OutgoingResponse(status=status, headers=sent, body=body.encode()))
    return Reply(json_answer(status, body, headers))


def _server_error() -> Reply:
    message = "The server had an error processing your request. Sorry about that!"
    return Reply(error_answer(APIError(500, message, type_="server_error")))


def _bad_gateway() -> Reply:
    page = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
    return Reply(OutgoingResponse(status=502, headers={"content-type": "text/html"}, body=page.encode()))


def _unavailable(*, retry_after: float | None = None) -> Reply:
    error = APIError(503, "The engine is currently overloaded, please try again later.", type_="server_error")
    headers = {} if retry_after is None else _retry_after(retry_after, "seconds")
    return Reply(json_answer(503, error.body(), headers))


def _forbidden() -> Reply:
    return Reply(error_answer(APIError(403, "You have insufficient permissions for this operation.")))


#: The makers of effects, by the names that faults are asked for by.
EFFECTS: Mapping[str, Callable[..., Effect]] = {
    "reply": reply,
    "rate_limited": rate_limited,
    "server_error": _server_error,
    "bad_gateway": _bad_gateway,
    "unavailable": _unavailable,
    "wrong_key": lambda: Reply(error_answer(wrong_key("sk-not-the-one"))),
    "forbidden": _forbidden,
    "not_found": lambda: Reply(error_answer(not_found("run", "run_not_yet"))),
    "stalled": lambda seconds=60.0: Stall(float(seconds)),
    "cut": Garble,
    "malformed": lambda: Garble(b'{"id": "run_'),
    "empty": lambda: Garble(b""),
    "slow": lambda seconds=0.5: Delay(float(seconds)),
    "poll_after": lambda milliseconds=1000: Headers({"openai-poll-after-ms": str(milliseconds)}),
    "headers": Headers,
    "endless_has_more": HasMore,
    "stuck_cursor": lambda: HasMore("stuck"),
    "endless_pages": NewIds,
    "duplicate_steps": Overlap,
}
