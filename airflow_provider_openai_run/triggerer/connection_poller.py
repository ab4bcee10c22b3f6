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
from typing import TYPE_CHECKING, Any

from airflow_provider_openai_run.api.http import parse_retry_after
from airflow_provider_openai_run.api.registry import api_of
from airflow_provider_openai_run.exceptions import RunRequestError
from airflow_provider_openai_run.polling.policy import PollAgain
from airflow_provider_openai_run.polling.rate_limiter import AdaptiveRateLimiter
from airflow_provider_openai_run.triggerer.ad_hoc_requests import AdHocRequests
from airflow_provider_openai_run.triggerer.replay_transport import ReplayTransport
from airflow_provider_openai_run.types.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_openai_run.api.base import Request
    from airflow_provider_openai_run.api.http import ApiResponse
    from airflow_provider_openai_run.polling.policy import Decision, RunPoller
    from airflow_provider_openai_run.types.run_ref import RunRef

#: First polls of runs that begin to be watched together are spread over as much, in seconds.
_SPREAD = 1.0

#: How long after its deadline a wait is ended by force, if the API keeps its last look from coming back, in
#: seconds.
_OVERDUE = 10.0

#: How often to look whether polls that may not go yet have become late enough to go, in seconds.
_LOOK_AGAIN = 0.25

#: How many polls of runs that nobody watches any more may stand in the schedule, beside one for each that is.
_MOST_LEFT_OVER = 64

_pollers: dict[tuple[asyncio.AbstractEventLoop, str], ConnectionPoller] = {}
_closing: set[asyncio.Task[None]] = set()


def watch(conn_id: str, wait: RunPoller) -> Subscription:
    """
    Let a run be watched, by the one watcher that the running event loop has for a connection.

    :param conn_id: the connection.
    :param wait: the wait, which decides when to ask and when it is over.
    :return: where the news of it come in; leave it when they are not wanted any more.
    """
    watcher = _poller_for(conn_id)
    return watcher.context.run(watcher.join, wait)


def asker(conn_id: str) -> AdHocRequests:
    """
    Let somebody ask for other things than the state of a run, by the watcher of a connection.

    :param conn_id: the connection.
    :return: who asks; leave it when nothing more is to be asked.
    """
    return AdHocRequests(_poller_for(conn_id))


def _poller_for(conn_id: str) -> ConnectionPoller:
    key = (asyncio.get_running_loop(), conn_id)
    watcher = _pollers.get(key)
    if watcher is None:
        watcher = _pollers[key] = ConnectionPoller(conn_id, functools.partial(_pollers.pop, key))
    return watcher


class Subscription:
    """
    One run being watched.

    :param watcher: who asks about it.
    :param wait: the wait for it.
    """

    __slots__ = ("_error", "_expiry", "_news", "_reader", "_watcher", "is_open", "wait")

    def __init__(self, watcher: ConnectionPoller, wait: RunPoller) -> None:
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
        self._watcher.context.run(self._watcher.leave, self)

    def expire_at(self, moment: float, expire: Callable[[Subscription], None]) -> None:
        """Let ``expire`` be called at a time of the event loop, unless the watch is closed by then."""
        self._expiry = asyncio.get_running_loop().call_at(moment, expire, self)

    def hear(self, decision: Decision) -> None:
        """Pass a decision on, if it has something to say; an outcome is the last one."""
        if isinstance(decision, Outcome):
            self.close()
        elif not decision.log_messages:
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


class ConnectionPoller:
    """
    The schedule of all polls over one connection.

    Nothing of it runs in the context of a trigger: what is known of one trigger (its task log, its context
    variables) must not leak into what is done for all. So it is entered by its own ``context``, which is
    empty, and of which everything it starts gets a copy.

    :param conn_id: the connection.
    :param forget: called when the last watch leaves; from then on it is not to be found any more.
    """

    def __init__(self, conn_id: str, forget: Callable[[], object]) -> None:
        self.context = contextvars.Context()
        self._forget = forget
        self._loop = asyncio.get_running_loop()
        self._repeater = ReplayTransport(conn_id)
        self._throttle = AdaptiveRateLimiter()
        self._trouble: RunRequestError | None = None
        self._watches: set[Subscription | AdHocRequests] = set()
        self._schedule: list[tuple[float, int, Subscription]] = []
        self._order = itertools.count()
        self._polls: set[asyncio.Task[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def join(self, wait: RunPoller) -> Subscription:
        """Begin to watch a run."""
        joined = Subscription(self, wait)
        self._watches.add(joined)
        now, deadline = self._loop.time(), wait.options.deadline
        if deadline is not None:
            # A deadline that passed while nobody watched leaves time for one look, too.
            joined.expire_at(max(self._loop_time(deadline), now) + _OVERDUE, self._expire)
        spread = random.random() * _SPREAD  # noqa: S311 - spreads load only
        self._put(joined, max(now + spread, self._loop_time(wait.not_before)))
        return joined

    @property
    def base_url(self) -> str:
        """Where the connection points to; empty before the first request."""
        return self._repeater.base_url

    def admit(self, asking: AdHocRequests) -> None:
        """Stay open for somebody who asks for other things."""
        self._watches.add(asking)

    def leave(self, left: Subscription | AdHocRequests) -> None:
        """Watch a run no more; without any, close."""
        if left not in self._watches:
            return
        self._watches.remove(left)
        if self._watches:
            self._clear_up()
            return
        self._forget()
        self._schedule.clear()
        self._stop_timer()
        closing = self._loop.create_task(self._close())
        _closing.add(closing)
        closing.add_done_callback(_closing.discard)

    def _put(self, watched: Subscription, due: float) -> None:
        heapq.heappush(self._schedule, (due, next(self._order), watched))
        if self._schedule[0][2] is watched:
            self._start_due_polls()

    def _clear_up(self) -> None:
        """Let go of the polls of runs that are not watched any more, once they are the more part."""
        if len(self._schedule) > 2 * len(self._watches) + _MOST_LEFT_OVER:
            self._schedule = [entry for entry in self._schedule if entry[2].is_open]
            heapq.heapify(self._schedule)

    def _start_due_polls(self) -> None:
        """Start what is due and may go; and see to it that this is looked at again in time."""
        while self._schedule:
            due, _, watched = self._schedule[0]
            now = self._loop.time()
            if not watched.is_open:
                heapq.heappop(self._schedule)
                continue
            at = self._goes_at(due, now)
            if at > now:
                self._wake_at(at)
                return
            heapq.heappop(self._schedule)
            self._throttle.on_sent(now)
            task = self._loop.create_task(self._poll(watched))
            self._polls.add(task)
            task.add_done_callback(functools.partial(self._polled, watched))
        self._stop_timer()

    def _wake_at(self, moment: float) -> None:
        if self._timer is None or self._timer.when() != moment:
            self._stop_timer()
            self._timer = self._loop.call_at(moment, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._start_due_polls()

    def _goes_at(self, due: float, now: float) -> float:
        """Give when a request that was due may go, or when that is to be looked at again."""
        at = max(due, self._throttle.ready_at())
        if at <= now and len(self._polls) >= self._throttle.max_concurrency(due, now):
            at = now + _LOOK_AGAIN
        return at

    async def ask_in_turn(self, request: Request, ref: RunRef) -> ApiResponse:
        """Ask when the API bears it; the polls of runs go on meanwhile."""
        due = self._loop.time()
        # Slept over, that time may have become another one.
        while (at := self._goes_at(due, now := self._loop.time())) > now:  # noqa: ASYNC110
            await asyncio.sleep(at - now)
        self._throttle.on_sent(now)
        task = self._loop.create_task(self._ask(request, ref))
        self._polls.add(task)
        try:
            return await task
        finally:
            self._polls.discard(task)
            self._start_due_polls()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _poll(self, watched: Subscription) -> None:
        wait = watched.wait
        try:
            answer = await self._ask(api_of(wait.ref).retrieve(wait.ref), wait.ref)
        except RunRequestError as error:
            decision = wait.on_error(error, time.time())
        else:
            decision = wait.on_response(answer, time.time(), base_url=self._repeater.base_url)
        if watched.is_open:
            watched.hear(decision)
            if isinstance(decision, PollAgain):
                self._put(watched, self._loop_time(decision.at))

    async def _ask(self, request: Request, ref: RunRef) -> ApiResponse:
        """Ask, and let the mood that shows count for all runs."""
        asked_at = self._loop.time()
        try:
            answer = await self._repeater.ask(request, ref)
        except RunRequestError as error:
            self._trouble = error
            self._throttle.on_error(error.retry_after, self._loop.time(), asked_at)
            raise
        self._heed(answer, asked_at)
        return answer

    def _polled(self, watched: Subscription, task: asyncio.Task[None]) -> None:
        self._polls.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and watched.is_open:
            watched.fail(error)
        elif task.cancelled() and watched.is_open:
            # By no one here; whoever it was, the run is still to be watched.
            self._put(watched, self._loop.time() + _SPREAD)
        self._start_due_polls()

    def _heed(self, answer: ApiResponse, asked_at: float) -> None:
        """Let the mood that an answer shows count for all runs."""
        now, after = self._loop.time(), parse_retry_after(answer.headers, time.time())
        if answer.http_status == HTTPStatus.TOO_MANY_REQUESTS:
            self._throttle.on_rate_limited(after, now, asked_at)
        elif answer.http_status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self._throttle.on_error(after, now, asked_at)
        else:
            self._throttle.on_response(answer.headers, now)
            self._trouble = None

    def _expire(self, watched: Subscription) -> None:
        watched.hear(watched.wait.expire(time.time(), connection_error=self._trouble))

    def _loop_time(self, moment: float) -> float:
        """Give the event loop's time for an epoch time."""
        return self._loop.time() + moment - time.time()

    async def _close(self) -> None:
        under_way = list(self._polls)
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        await self._repeater.close()
