"""One listing of the runs of a thread, shared by all triggers that follow them over one connection."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from typing import TYPE_CHECKING, Any, TypeAlias

from airflow_provider_openai_run.api.assistants import AssistantsApi
from airflow_provider_openai_run.api.http import parse_or_raise
from airflow_provider_openai_run.api.registry import api_of
from airflow_provider_openai_run.exceptions import RunRequestError
from airflow_provider_openai_run.polling.backoff import PollBackoff
from airflow_provider_openai_run.triggerer.connection_poller import asker
from airflow_provider_openai_run.types.run_ref import RunRef

if TYPE_CHECKING:
    from airflow_provider_openai_run.api.base import Request
    from airflow_provider_openai_run.api.calls import ApiCall
    from airflow_provider_openai_run.triggerer.ad_hoc_requests import AdHocRequests
    from airflow_provider_openai_run.types.run import Json

#: How far apart to ask at most where asking again does not help until somebody mends something, in seconds.
_SLOWEST = 300.0
#: How long a look may take, in seconds: less than Airflow lets a trigger be busy with it.
_PATIENCE = 120.0

_Key: TypeAlias = tuple[asyncio.AbstractEventLoop, str, str]
"""An event loop, a connection and a thread."""

_listings: dict[_Key, _Listing] = {}


def follow(conn_id: str, thread_id: str, pace: PollBackoff) -> FeedReader:
    """
    Follow the runs of a thread, by the one listing that the running event loop has for it.

    :param conn_id: the connection.
    :param thread_id: the thread.
    :param pace: how often to look; of all who follow the thread, the most eager one counts.
    :return: where the looks come in; leave it when they are not wanted any more.
    """
    key = (asyncio.get_running_loop(), conn_id, thread_id)
    listing = _listings.get(key)
    if listing is None:
        listing = _listings[key] = _Listing(key)
    return listing.join(pace)


class Look:
    """
    What the API says of the runs of a thread at one time; each question is asked once, whoever asks it.

    :param asker: who asks.
    :param ref: what the questions are about.
    :param request: the first question.
    :param body: its answer.
    """

    def __init__(self, asker: AdHocRequests, ref: RunRef, request: Request, body: dict[str, Json]) -> None:
        self._asker = asker
        self._ref = ref
        self._answers: dict[str, asyncio.Task[dict[str, Json]]] = {}
        self._first = (_key(request), body)

    async def carry_out(self, operation: ApiCall[Any]) -> Any:
        """
        Do what an operation asks for, and give its result.

        :raises RunRequestError: whatever came of a request, unless the operation bears it.
        """
        try:
            async with asyncio.timeout(_PATIENCE):
                return await self._carry_out(operation)
        except TimeoutError:
            told = f"The API could not be asked for {self._ref}: that is not done within {_PATIENCE:g} s"
            raise RunRequestError(told, is_retryable=True) from None

    async def _carry_out(self, operation: ApiCall[Any]) -> Any:
        try:
            request = next(operation)
            while True:
                try:
                    body = await self._answer(request)
                except RunRequestError as error:
                    request = operation.throw(error)
                else:
                    request = operation.send(body)
        except StopIteration as stop:
            return stop.value

    async def _answer(self, request: Request) -> dict[str, Json]:
        key = _key(request)
        if key == self._first[0]:
            return self._first[1]
        if self._asker.has_left:
            told = f"The API could not be asked for {self._ref}: nobody follows them any more"
            raise RunRequestError(told, is_retryable=True)
        if key not in self._answers:
            self._answers[key] = self._asker.start(_ask(self._asker, request, self._ref))
        # Others may wait for it, too.
        return await asyncio.shield(self._answers[key])


News: TypeAlias = Look | RunRequestError
"""A look, or why there is none."""


class FeedReader:
    """
    Somebody who follows the runs of a thread, and hears of the latest look.

    :param listing: who looks.
    :param pace: how often.
    """

    def __init__(self, listing: _Listing, pace: PollBackoff) -> None:
        self.pace = pace
        self._listing = listing
        self._news: News | None = None
        self._error: BaseException | None = None
        self._heard = asyncio.Event()

    async def news(self) -> News:
        """
        Wait for the next look; those that nobody waited for are passed over.

        :raises BaseException: whatever unforeseen error the looking ended with.
        """
        await self._heard.wait()
        self._heard.clear()
        if self._news is None:
            raise self._error or asyncio.CancelledError
        news, self._news = self._news, None
        return news

    def hear(self, news: News | None, error: BaseException | None = None) -> None:
        """Take the next look, or the end of looking."""
        self._news, self._error = news, error
        self._heard.set()

    def leave(self) -> None:
        """Want no more news. The last one out ends the looking."""
        self._listing.leave(self)


class _Listing:
    """
    Looks at the runs of a thread again and again.

    :param key: the event loop, the connection and the thread.
    """

    def __init__(self, key: _Key) -> None:
        _, conn_id, thread_id = key
        self._key = key
        self._ref = _RunsOf(AssistantsApi.name, "-", thread_id)
        self._followers: set[FeedReader] = set()
        self._joined = asyncio.Event()
        self._asker = asker(conn_id)
        self._looking = self._asker.start(self._look_again_and_again())
        self._looking.add_done_callback(self._ended)

    def join(self, pace: PollBackoff) -> FeedReader:
        """Look for one more, at once."""
        follower = FeedReader(self, pace)
        self._followers.add(follower)
        self._joined.set()
        return follower

    def leave(self, follower: FeedReader) -> None:
        """Look for one less; without any, end."""
        if follower not in self._followers:
            return
        self._followers.remove(follower)
        if not self._followers:
            self._forget()
            self._asker.leave()

    def _forget(self) -> None:
        """Let nobody join any more."""
        if _listings.get(self._key) is self:
            del _listings[self._key]

    async def _look_again_and_again(self) -> None:
        failures, seen, changed_at = 0, None, 0.0
        while True:
            self._joined.clear()
            news, shape = await self._look()
            now = time.monotonic()
            if isinstance(news, RunRequestError):
                failures += 1
                delay = self._backoff(news, failures)
            else:
                failures = 0
                if shape != seen:
                    seen, changed_at = shape, now
                delay = self._interval(now - changed_at)
            for follower in self._followers:
                follower.hear(news)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._joined.wait()

    async def _look(self) -> tuple[News, object]:
        """Look, and say by what to know that something has changed."""
        request = api_of(self._ref).list_runs(str(self._ref.parent_id), None)
        try:
            body = await _ask(self._asker, request, self._ref)
        except RunRequestError as error:
            return error, None
        runs = [run for run in body["data"] if isinstance(run, dict)]
        shape = [(run.get("id"), run.get("status")) for run in runs]
        return Look(self._asker, self._ref, request, body), shape

    def _interval(self, idle: float) -> float:
        fraction = random.random()  # noqa: S311 - spreads load only
        return min(follower.pace.interval(idle, fraction) for follower in self._followers)

    def _backoff(self, error: RunRequestError, failures: int) -> float:
        paces = [follower.pace for follower in self._followers]
        shortest = min(pace.poll_interval for pace in paces)
        longest = min(pace.max_poll_interval for pace in paces) if error.is_retryable else _SLOWEST
        pace = PollBackoff(shortest, max(shortest, longest))
        fraction = random.random()  # noqa: S311 - spreads load only
        return max(pace.backoff(failures, fraction), error.retry_after or 0.0)

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        self._forget()
        for follower in self._followers:
            follower.hear(None, error)


class _RunsOf(RunRef):
    """The runs of a thread, as they are spoken of in errors."""

    def __str__(self) -> str:
        return f"the runs of thread {self.parent_id}"


def _key(request: Request) -> str:
    return f"{request.path}?{sorted(request.query.items())}"


async def _ask(asking: AdHocRequests, request: Request, ref: RunRef) -> dict[str, Json]:
    answer = await asking.ask(request, ref)
    now = time.time()
    return parse_or_raise(answer, request, ref, now=now, base_url=asking.base_url)
