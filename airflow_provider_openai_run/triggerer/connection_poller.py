"""The schedule of all polls over one connection."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import math
import random
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from airflow_provider_openai_run.api.http import parse_retry_after
from airflow_provider_openai_run.connection.run_url import run_url
from airflow_provider_openai_run.exceptions import ConnectionLookupError, RunRequestError
from airflow_provider_openai_run.polling.policy import PollAgain
from airflow_provider_openai_run.polling.rate_limiter import AdaptiveRateLimiter
from airflow_provider_openai_run.triggerer.ad_hoc_requests import AdHocRequests
from airflow_provider_openai_run.triggerer.replay_transport import ReplayTransport
from airflow_provider_openai_run.triggerer.request_queue import QueuedRequest, RequestQueue
from airflow_provider_openai_run.triggerer.subscription import Subscription

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from airflow_provider_openai_run.api.base import Request
    from airflow_provider_openai_run.api.http import ApiResponse
    from airflow_provider_openai_run.polling.policy import RunPoller
    from airflow_provider_openai_run.types.run_ref import RunRef

T = TypeVar("T")
CreateSubscription: TypeAlias = "Callable[[RunPoller, Callable[[Subscription], object]], Subscription]"

#: The first polls of runs that are subscribed to at the same time are spread over this many seconds.
_INITIAL_SPREAD = 1.0

#: How many seconds after its deadline a subscription is ended if its last poll has not returned.
EXPIRY_GRACE = 10.0

#: How many seconds later to check again whether the concurrency limit lets an overdue poll start.
_CONCURRENCY_CHECK_INTERVAL = 0.25

_pollers: dict[tuple[asyncio.AbstractEventLoop, str], ConnectionPoller] = {}
_closing: set[asyncio.Task[None]] = set()


def subscribe(conn_id: str, run_poller: RunPoller, create: CreateSubscription = Subscription) -> Subscription:
    """
    Start to poll a run, by the one poller that the running event loop has for a connection.

    :param conn_id: the connection.
    :param run_poller: decides when to poll the run, and when to stop.
    :param create: creates the subscription, as the class :class:`.Subscription` does.
    :return: the decisions about the run; close it when they are no longer needed.
    """
    connection_poller = _poller_for(conn_id)
    return connection_poller.context.run(connection_poller.subscribe, run_poller, create)


def run_url_of(conn_id: str, ref: RunRef) -> str | None:
    """
    Return the URL of a run's page in the vendor's console; None without one, or before the first request.

    :param conn_id: the connection of an open subscription.
    :param ref: the run.
    """
    return _poller_for(conn_id).run_url(ref)


def open_ad_hoc_requests(conn_id: str) -> AdHocRequests:
    """
    Return a way to send other requests by the poller of a connection.

    :param conn_id: the connection.
    :return: the sender; close it when nothing more must be sent.
    """
    return AdHocRequests(_poller_for(conn_id))


async def wait_until_closed() -> None:
    """Wait until the pollers of this event loop that have lost their last users have closed their clients."""
    loop = asyncio.get_running_loop()
    if closing := [task for task in _closing if task.get_loop() is loop]:
        await asyncio.wait(closing)


def _poller_for(conn_id: str) -> ConnectionPoller:
    key = (asyncio.get_running_loop(), conn_id)
    connection_poller = _pollers.get(key)
    if connection_poller is None:
        connection_poller = ConnectionPoller(conn_id, functools.partial(_pollers.pop, key))
        _pollers[key] = connection_poller
    return connection_poller


class ConnectionPoller:
    """
    The schedule of all polls over one connection.

    Nothing of it runs in the context of a trigger: what belongs to one trigger (its task log, its context
    variables) must not leak into requests that are sent for all. So callers enter it by its own ``context``,
    which is empty, and everything it starts gets a copy of that.

    :param conn_id: the connection.
    :param on_close: called when the last user leaves; after that the poller must not be used.
    """

    def __init__(self, conn_id: str, on_close: Callable[[], object]) -> None:
        self.context = contextvars.Context()
        self._on_close = on_close
        self._loop = asyncio.get_running_loop()
        self._transport = ReplayTransport(conn_id)
        self._rate_limiter = AdaptiveRateLimiter()
        self._queue = RequestQueue()
        self._last_error: RunRequestError | None = None
        self._users: set[Subscription | AdHocRequests] = set()
        self._requests: dict[asyncio.Task[Any], float] = {}
        self._timer: asyncio.TimerHandle | None = None
        # Bound once: each wait would keep two methods of its own.
        self._unsubscribe_method = self._unsubscribe
        self._expire_method = self._expire

    @property
    def base_url(self) -> str:
        """The base URL of the connection; empty before the first request."""
        return self._transport.base_url

    def run_url(self, ref: RunRef) -> str | None:
        """Return the URL of a run's page in the vendor's console; None without one."""
        return run_url(ref, self._transport.base_url, self._transport.run_link_template)

    def subscribe(self, run_poller: RunPoller, create: CreateSubscription = Subscription) -> Subscription:
        """Start to poll a run."""
        subscription = create(run_poller, self._unsubscribe_method)
        self._users.add(subscription)
        now, deadline = self._loop.time(), run_poller.options.deadline
        if deadline is not None:
            # A deadline that passed while no triggerer ran still leaves time for one poll.
            expire_at = max(self._loop_time(deadline), now) + EXPIRY_GRACE
            subscription.expire_at(expire_at, self._expire_method, self.context)
        self._queue.set_demand(subscription, 1 / run_poller.poll_interval(time.time()))
        spread = random.random() * _INITIAL_SPREAD  # noqa: S311 - spreads load only
        self._schedule(subscription, max(now + spread, self._loop_time(run_poller.not_before)))
        return subscription

    def attach(self, user: AdHocRequests) -> None:
        """Stay open until this user is detached."""
        self._users.add(user)

    def detach(self, user: Subscription | AdHocRequests) -> None:
        """Remove a user, and close if it was the last one. A user that was removed before is ignored."""
        if user not in self._users:
            return
        self._users.remove(user)
        self._queue.set_demand(user, 0.0)
        if self._users:
            self._queue.drop_closed(len(self._users))
            return
        self._on_close()
        self._queue.clear()
        self._stop_timer()
        closing = self._loop.create_task(self._close())
        _closing.add(closing)
        closing.add_done_callback(_closing.discard)

    def set_demand(self, user: AdHocRequests, polls_per_second: float) -> None:
        """Set how often a user polls, see :meth:`send`."""
        if user in self._users:
            self._queue.set_demand(user, polls_per_second)

    async def send(self, request: Request, ref: RunRef | None, *, is_poll: bool = False) -> ApiResponse:
        """
        Send a request as soon as the rate limiter allows it; polls of runs go on meanwhile.

        :param request: a GET may be sent twice; any other request is sent once, unless the API refuses the
            credentials.
        :param ref: the run that it is about, for error messages; None before the run has an id.
        :param is_poll: whether it is repeated regularly, and therefore spread as the polls of runs.
        :return: the response, whatever its HTTP status.
        :raises RunRequestError: if there was no response.
        """
        entry = QueuedRequest(request, ref, self._loop.create_future())
        if is_poll:
            self._queue.add_poll(entry, self._loop.time())
        else:
            self._queue.add_other(entry, self._loop.time())
        self._start_requests()
        return await (await entry.turn)

    def _unsubscribe(self, subscription: Subscription) -> None:
        self.context.run(self.detach, subscription)

    def _schedule(self, subscription: Subscription, due: float) -> None:
        self._queue.add_poll(subscription, due)
        self._start_requests()

    def _start_requests(self) -> None:
        """Start the requests that are ready and allowed, and set the timer for the next one."""
        while (ready_at := self._queue.ready_at()) < math.inf:
            now = self._loop.time()
            start = self._start_time(ready_at, now)
            if start > now:
                self._set_timer(start)
                return
            entry = self._queue.pop(now)
            if isinstance(entry, Subscription):
                self._start(self._poll(entry), functools.partial(self._on_poll_done, entry))
            else:
                entry.turn.set_result(self._start(self._send_now(entry.request, entry.ref), self._on_sent))
            self._rate_limiter.on_sent(now)
        self._stop_timer()

    def _start(
        self, work: Coroutine[Any, Any, T], on_done: Callable[[asyncio.Task[T]], None]
    ) -> asyncio.Task[T]:
        task = self._loop.create_task(work)
        self._requests[task] = self._loop.time()
        task.add_done_callback(on_done)
        return task

    def _set_timer(self, loop_time: float) -> None:
        if self._timer is None or self._timer.when() != loop_time:
            self._stop_timer()
            self._timer = self._loop.call_at(loop_time, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._start_requests()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start_time(self, ready_at: float, now: float) -> float:
        """Return when a request that is ready may start, or when to check that again."""
        start = max(ready_at, self._rate_limiter.ready_at())
        if start <= now and self._active_requests() >= self._rate_limiter.max_concurrency(ready_at, now):
            start = now + _CONCURRENCY_CHECK_INTERVAL
        return start

    def _active_requests(self) -> int:
        """Return how many requests are under way; while probing, how many probes."""
        if not self._rate_limiter.is_probing:
            return len(self._requests)
        paused_at = self._rate_limiter.paused_at
        return sum(started_at >= paused_at for started_at in self._requests.values())

    async def _poll(self, subscription: Subscription) -> None:
        run_poller = subscription.run_poller
        try:
            response = await self._send_now(run_poller.request, run_poller.ref)
        except RunRequestError as error:
            decision = run_poller.on_error(error, time.time())
        else:
            decision = run_poller.on_response(response, time.time(), base_url=self._transport.base_url)
        if subscription.is_open:
            subscription.publish(decision)
            if isinstance(decision, PollAgain):
                self._queue.set_demand(subscription, 1 / run_poller.poll_interval(time.time()))
                self._schedule(subscription, self._loop_time(decision.at))

    def _on_poll_done(self, subscription: Subscription, task: asyncio.Task[None]) -> None:
        self._requests.pop(task, None)
        error = None if task.cancelled() else task.exception()
        if error is not None and subscription.is_open:
            subscription.fail(error)
        elif task.cancelled() and subscription.is_open:
            # Code outside this class cancelled the task; the run must still be polled.
            self._schedule(subscription, self._loop.time() + _INITIAL_SPREAD)
        self._start_requests()

    def _on_sent(self, task: asyncio.Task[ApiResponse]) -> None:
        self._requests.pop(task, None)
        if not task.cancelled():
            # Marks the error as retrieved: the caller may no longer wait for the result.
            task.exception()
        self._start_requests()

    async def _send_now(self, request: Request, ref: RunRef | None) -> ApiResponse:
        """Send a request, and report the result to the rate limiter."""
        sent_at = self._loop.time()
        try:
            response = await self._transport.send(request, ref)
        except ConnectionLookupError as error:
            # Nothing was sent, so it says nothing about the API.
            self._last_error = error
            raise
        except RunRequestError as error:
            self._last_error = error
            self._rate_limiter.on_error(error.retry_after, self._loop.time(), sent_at)
            raise
        self._report_to_rate_limiter(response, sent_at)
        return response

    def _report_to_rate_limiter(self, response: ApiResponse, sent_at: float) -> None:
        now, retry_after = self._loop.time(), parse_retry_after(response.headers, time.time())
        if response.http_status == HTTPStatus.TOO_MANY_REQUESTS:
            self._rate_limiter.on_rate_limited(retry_after, now, sent_at)
        elif response.http_status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self._rate_limiter.on_error(retry_after, now, sent_at)
        else:
            self._rate_limiter.on_response(response.headers, now)
            self._last_error = None

    def _expire(self, subscription: Subscription) -> None:
        subscription.publish(subscription.run_poller.expire(time.time(), connection_error=self._last_error))

    def _loop_time(self, epoch_seconds: float) -> float:
        """Return the event loop's time for an epoch time."""
        return self._loop.time() + epoch_seconds - time.time()

    async def _close(self) -> None:
        requests = list(self._requests)
        for task in requests:
            task.cancel()
        await asyncio.gather(*requests, return_exceptions=True)
        await self._transport.close()
