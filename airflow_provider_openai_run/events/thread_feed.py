"""One listing of the runs of a thread, shared by all triggers that follow it over one connection."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from airflow_provider_openai_run.api.calls import execute_call_async
from airflow_provider_openai_run.api.http import parse_or_raise
from airflow_provider_openai_run.api.parsing import list_or_none
from airflow_provider_openai_run.api.registry import api_of
from airflow_provider_openai_run.events.checkpoint import runs_of_thread
from airflow_provider_openai_run.exceptions import RunRequestError
from airflow_provider_openai_run.polling.backoff import PollBackoff
from airflow_provider_openai_run.triggerer.connection_poller import open_ad_hoc_requests

if TYPE_CHECKING:
    from airflow_provider_openai_run.api.base import Request
    from airflow_provider_openai_run.api.calls import ApiCall
    from airflow_provider_openai_run.triggerer.ad_hoc_requests import AdHocRequests
    from airflow_provider_openai_run.types.json import Json
    from airflow_provider_openai_run.types.run_ref import RunRef

T = TypeVar("T")

#: The longest interval between requests after an error that a retry alone cannot resolve, in seconds.
_MAX_BACKOFF = 300.0
#: How many seconds a call may take: fewer than Airflow lets a trigger spend on one item of a stream.
_CALL_TIMEOUT = 120.0

_FeedKey: TypeAlias = tuple[asyncio.AbstractEventLoop, str, str]
"""An event loop, a connection and a thread."""

_feeds: dict[_FeedKey, ThreadFeed] = {}


def open_reader(conn_id: str, thread_id: str, backoff: PollBackoff) -> FeedReader:
    """
    Follow the runs of a thread, by the one feed that the running event loop has for it.

    :param conn_id: the connection.
    :param thread_id: the thread.
    :param backoff: the poll intervals; the shortest of all readers of the thread counts.
    :return: the updates of the thread; close it when they are no longer needed.
    """
    key = (asyncio.get_running_loop(), conn_id, thread_id)
    feed = _feeds.get(key)
    if feed is None:
        feed = _feeds[key] = ThreadFeed(key)
    return feed.add_reader(backoff)


class Snapshot:
    """
    The runs of a thread at one time; equal requests about it are sent once for all readers.

    :param requests: sends further requests.
    :param ref: the runs of the thread, for error messages.
    :param request: the request that listed the runs.
    :param body: the JSON object of its response.
    """

    def __init__(self, requests: AdHocRequests, ref: RunRef, request: Request, body: dict[str, Json]) -> None:
        self._requests = requests
        self._ref = ref
        self._listing = (_request_key(request), body)
        self._responses: dict[str, asyncio.Task[dict[str, Json]]] = {}

    async def execute(self, call: ApiCall[T]) -> T:
        """
        Carry out a call, and return its result.

        :param call: a call on the runs of the thread.
        :raises RunRequestError: what a request raises, unless the call handles it.
        """
        try:
            async with asyncio.timeout(_CALL_TIMEOUT):
                return await execute_call_async(call, self._send)
        except TimeoutError:
            message = f"The requests for {self._ref} did not finish within {_CALL_TIMEOUT:g} s"
            raise RunRequestError(message, is_retryable=True) from None

    async def _send(self, request: Request) -> dict[str, Json]:
        key = _request_key(request)
        if key == self._listing[0]:
            return self._listing[1]
        if self._requests.is_closed:
            message = f"The request for {self._ref} was not sent: no trigger follows the thread any more"
            raise RunRequestError(message, is_retryable=True)
        if key not in self._responses:
            self._responses[key] = self._requests.start(_send_and_parse(self._requests, request, self._ref))
        # Shielded, because other readers may wait for it too.
        return await asyncio.shield(self._responses[key])


FeedUpdate: TypeAlias = Snapshot | RunRequestError
"""A snapshot of a thread, or the error of the request for one."""


class FeedReader:
    """
    One reader of the updates of a thread.

    :param feed: the feed of the thread.
    :param backoff: the poll intervals of this reader.
    """

    def __init__(self, feed: ThreadFeed, backoff: PollBackoff) -> None:
        self.backoff = backoff
        self._feed = feed
        self._update: FeedUpdate | None = None
        self._error: BaseException | None = None
        self._is_ready = asyncio.Event()

    async def next_update(self) -> FeedUpdate:
        """
        Wait for the next update, and return it; of several since the last call only the latest is kept.

        :raises BaseException: the unexpected error that ended the feed.
        """
        await self._is_ready.wait()
        self._is_ready.clear()
        if self._update is None:
            raise self._error or asyncio.CancelledError
        update, self._update = self._update, None
        return update

    def publish(self, update: FeedUpdate) -> None:
        """Pass an update to the reader."""
        self._update = update
        self._is_ready.set()

    def end(self, error: BaseException | None) -> None:
        """Raise an error to the reader; None stands for a cancelled feed."""
        self._update, self._error = None, error
        self._is_ready.set()

    def close(self) -> None:
        """Stop reading; the last reader of a thread ends its feed. May be called twice."""
        self._feed.remove_reader(self)


class ThreadFeed:
    """
    Poll the list of runs of a thread, and publish each result to all readers.

    :param key: the event loop, the connection and the thread.
    """

    def __init__(self, key: _FeedKey) -> None:
        _, conn_id, thread_id = key
        self._key = key
        self._ref = runs_of_thread(thread_id)
        self._readers: set[FeedReader] = set()
        self._has_new_reader = asyncio.Event()
        self._requests = open_ad_hoc_requests(conn_id)
        self._requests.start(self._poll_repeatedly()).add_done_callback(self._on_end)

    def add_reader(self, backoff: PollBackoff) -> FeedReader:
        """Add a reader, and poll at once."""
        reader = FeedReader(self, backoff)
        self._readers.add(reader)
        self._requests.set_poll_interval(self._interval(0.0))
        self._has_new_reader.set()
        return reader

    def remove_reader(self, reader: FeedReader) -> None:
        """Remove a reader, and end if it was the last one. A reader that was removed before is ignored."""
        if reader not in self._readers:
            return
        self._readers.remove(reader)
        if not self._readers:
            self._unregister()
            self._requests.close()

    def _unregister(self) -> None:
        """Accept no new readers."""
        if _feeds.get(self._key) is self:
            del _feeds[self._key]

    async def _poll_repeatedly(self) -> None:
        failures, last_statuses, changed_at = 0, None, 0.0
        while True:
            self._has_new_reader.clear()
            update, statuses = await self._poll()
            now = time.monotonic()
            if isinstance(update, RunRequestError):
                failures += 1
                delay = self._backoff_after(update, failures)
            else:
                failures = 0
                if statuses != last_statuses:
                    last_statuses, changed_at = statuses, now
                delay = self._interval(now - changed_at)
                self._requests.set_poll_interval(delay)
            for reader in self._readers:
                reader.publish(update)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._has_new_reader.wait()

    async def _poll(self) -> tuple[FeedUpdate, list[tuple[Json, Json]] | None]:
        """Return an update, and the ids and statuses of the runs it lists."""
        request = api_of(self._ref).list_runs(str(self._ref.parent_id), None)
        try:
            body = await _send_and_parse(self._requests, request, self._ref, is_poll=True)
        except RunRequestError as error:
            return error, None
        runs = [run for run in list_or_none(body["data"]) or () if isinstance(run, dict)]
        statuses = [(run.get("id"), run.get("status")) for run in runs]
        return Snapshot(self._requests, self._ref, request, body), statuses

    def _interval(self, idle_seconds: float) -> float:
        fraction = random.random()  # noqa: S311 - spreads load only
        return min(reader.backoff.interval(idle_seconds, fraction) for reader in self._readers)

    def _backoff_after(self, error: RunRequestError, failures: int) -> float:
        backoffs = [reader.backoff for reader in self._readers]
        shortest = min(backoff.poll_interval for backoff in backoffs)
        longest = min(backoff.max_poll_interval for backoff in backoffs)
        if not error.is_retryable:
            longest = _MAX_BACKOFF
        fraction = random.random()  # noqa: S311 - spreads load only
        delay = PollBackoff(shortest, max(shortest, longest)).backoff(failures, fraction)
        return max(delay, error.retry_after or 0.0)

    def _on_end(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        self._unregister()
        for reader in self._readers:
            reader.end(error)


def _request_key(request: Request) -> str:
    return f"{request.path}?{sorted(request.query.items())}"


async def _send_and_parse(
    requests: AdHocRequests, request: Request, ref: RunRef, *, is_poll: bool = False
) -> dict[str, Json]:
    response = await requests.send(request, ref, is_poll=is_poll)
    return parse_or_raise(response, request, ref, now=time.time(), base_url=requests.base_url)
