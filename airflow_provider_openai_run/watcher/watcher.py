"""The schedule of all polls over one connection."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import heapq
import itertools
import random
import time
from http import HTTPStatus
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from airflow_provider_openai_run.apis import api_for
from airflow_provider_openai_run.apis.answers import poll_after
from airflow_provider_openai_run.exceptions import RunRequestError
from airflow_provider_openai_run.outcome import Outcome
from airflow_provider_openai_run.waiting import AskAgain
from airflow_provider_openai_run.watcher.repeater import Repeater
from airflow_provider_openai_run.watcher.throttle import Throttle

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from airflow_provider_openai_run.apis.answers import Answer
    from airflow_provider_openai_run.waiting import Decision, Wait

#: Requests under way at once: usually, and when polls get late because the API is slow.
_USUALLY_AT_ONCE = 12
_MOST_AT_ONCE = 64
_LATE = 0.2

#: First polls of runs that begin to be watched together are spread over as much, in seconds.
_SPREAD = 1.0

#: How long after its deadline a wait is ended by force, if the API keeps its last look from coming back, in
#: seconds.
_OVERDUE = 10.0

_watchers: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _Watcher]] = WeakKeyDictionary()


def watch(conn_id: str, wait: Wait) -> Watch:
    """
    Let a run be watched, by the one watcher that the running event loop has for a connection.

    :param conn_id: the connection.
    :param wait: the wait, which decides when to ask and when it is over.
    :return: where the news of it come in; leave it when they are not wanted any more.
    """
    watchers = _watchers.setdefault(asyncio.get_running_loop(), {})
    watcher = watchers.get(conn_id)
    if watcher is None:
        watcher = watchers[conn_id] = _Watcher(conn_id, watchers)
    return watcher.join(wait)


class Watch:
    """
    One run being watched.

    :param watcher: who asks about it.
    :param wait: the wait for it.
    """

    __slots__ = ("_error", "_expiry", "_news", "_reader", "_watcher", "is_open", "wait")

    def __init__(self, watcher: _Watcher, wait: Wait) -> None:
        self.wait = wait
        self.is_open = True
        self._watcher = watcher
        self._news: tuple[Decision, ...] = ()
        self._error: BaseException | None = None
        self._reader: asyncio.Future[None] | None = None
        self._expiry: asyncio.TimerHandle | None = None

    async def news(self) -> Decision:
        """
        Wait for a decision that has something to say: an outcome, or notes for the log.

        :raises BaseException: whatever unforeseen error the asking about this run ended with.
        """
        while not self._news:
            if self._error is not None:
                raise self._error
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        first, *rest = self._news
        self._news = tuple(rest)
        return first

    def leave(self) -> None:
        """Want no more news. The last one out closes the watcher."""
        self.close()
        self._watcher.leave(self)

    def expire_at(self, moment: float, expire: Callable[[], None], context: contextvars.Context) -> None:
        """Let ``expire`` be called at a time of the event loop, unless the watch is closed by then."""
        self._expiry = asyncio.get_running_loop().call_at(moment, expire, context=context)

    def hear(self, decision: Decision) -> None:
        """Pass a decision on, if it has something to say; an outcome is the last one."""
        if isinstance(decision, Outcome):
            self.close()
        elif not decision.notes:
            return
        self._news = (*self._news, decision)
        self._wake_reader()

    def fail(self, error: BaseException) -> None:
        """Pass an unforeseen error on."""
        self.close()
        self._error = error
        self._wake_reader()

    def close(self) -> None:
        """Let nobody ask about the run any more."""
        self.is_open = False
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None

    def _wake_reader(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)


class _Watcher:
    """
    The schedule of all polls over one connection.

    Nothing of it runs in the context of a trigger: what is known of one trigger (its task log, its context
    variables) must not leak into what is done for all.

    :param conn_id: the connection.
    :param registry: where it is to be found until the last watch leaves.
    """

    def __init__(self, conn_id: str, registry: dict[str, _Watcher]) -> None:
        self._conn_id = conn_id
        self._registry = registry
        self._loop = asyncio.get_running_loop()
        self._repeater = Repeater(conn_id)
        self._throttle = Throttle()
        self._trouble: RunRequestError | None = None
        self._watches: set[Watch] = set()
        self._schedule: list[tuple[float, int, Watch]] = []
        self._order = itertools.count()
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def join(self, wait: Wait) -> Watch:
        """Begin to watch a run."""
        joined = Watch(self, wait)
        self._watches.add(joined)
        deadline = wait.options.deadline
        if deadline is not None:
            forced = self._loop_time(deadline) + _OVERDUE
            joined.expire_at(forced, functools.partial(self._expire, joined), contextvars.Context())
        self._put(joined, self._loop.time() + random.random() * _SPREAD)  # noqa: S311 - spreads load only
        return joined

    def leave(self, left: Watch) -> None:
        """Watch a run no more; without any, close."""
        self._watches.discard(left)
        if not self._watches and self._registry.get(self._conn_id) is self:
            del self._registry[self._conn_id]
            if self._timer is not None:
                self._timer.cancel()
            self._begin(self._close())

    def _put(self, watched: Watch, due: float) -> None:
        heapq.heappush(self._schedule, (due, next(self._order), watched))
        if self._schedule[0][2] is watched:
            self._start_due_polls()

    def _start_due_polls(self) -> None:
        """Start what is due and may go; and see to it that this is looked at again in time."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._schedule:
            due, _, watched = self._schedule[0]
            now = self._loop.time()
            at = max(due, self._throttle.ready_at())
            if not watched.is_open:
                heapq.heappop(self._schedule)
            elif at > now:
                context = contextvars.Context()
                self._timer = self._loop.call_at(at, self._start_due_polls, context=context)
                return
            elif len(self._tasks) >= self._at_once(now - due):
                return
            else:
                heapq.heappop(self._schedule)
                self._throttle.sent(now)
                task = self._begin(self._poll(watched))
                task.add_done_callback(
                    functools.partial(self._polled, watched), context=contextvars.Context()
                )

    def _at_once(self, late: float) -> int:
        if self._throttle.in_outage:
            return 1
        return _MOST_AT_ONCE if late > _LATE else _USUALLY_AT_ONCE

    def _begin(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(work, context=contextvars.Context())
        self._tasks.add(task)
        return task

    async def _poll(self, watched: Watch) -> None:
        wait = watched.wait
        try:
            answer = await self._repeater.ask(api_for(wait.ref.thread_id).retrieve(wait.ref), wait.ref)
        except RunRequestError as error:
            self._trouble = error
            self._throttle.failed(error.retry_after, self._loop.time())
            decision = wait.failed(error, time.time())
        else:
            self._heed(answer)
            decision = wait.answered(answer, time.time(), base_url=self._repeater.base_url)
        if watched.is_open:
            watched.hear(decision)
            if isinstance(decision, AskAgain):
                self._put(watched, self._loop_time(decision.at))

    def _polled(self, watched: Watch, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            watched.fail(error)
        self._start_due_polls()

    def _heed(self, answer: Answer) -> None:
        """Let the mood that an answer shows count for all runs."""
        now, after = self._loop.time(), poll_after(answer.headers, time.time())
        if answer.http_status == HTTPStatus.TOO_MANY_REQUESTS:
            self._throttle.limited(after, now)
        elif answer.http_status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self._throttle.failed(after, now)
        else:
            self._throttle.answered(answer.headers, now)
            self._trouble = None

    def _expire(self, watched: Watch) -> None:
        watched.hear(watched.wait.expire(time.time(), trouble=self._trouble))

    def _loop_time(self, moment: float) -> float:
        """Give the event loop's time for an epoch time."""
        return self._loop.time() + moment - time.time()

    async def _close(self) -> None:
        own = asyncio.current_task()
        under_way = [task for task in self._tasks if task is not own]
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        await self._repeater.close()
