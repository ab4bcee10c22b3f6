"""The subscriptions of one trigger to many runs: one reader for the decisions about all of them."""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from airflow_provider_openai_run.triggerer import connection_poller
from airflow_provider_openai_run.triggerer.subscription import Subscription
from airflow_provider_openai_run.types.outcome import Outcome

if TYPE_CHECKING:
    import contextvars
    from collections.abc import Callable, Iterable

    from airflow_provider_openai_run.polling.policy import Decision, RunPoller

#: How many runs are added or ended before the event loop serves others, which takes a few milliseconds.
_RUNS_AT_ONCE = 100


class SubscriptionGroup:
    """
    The decisions about many runs that are polled over one connection.

    :param conn_id: the connection.
    """

    def __init__(self, conn_id: str) -> None:
        self._conn_id = conn_id
        self._members: set[_Member] = set()
        self._decisions: deque[tuple[int, Decision]] = deque()
        self._error: BaseException | None = None
        self._reader: asyncio.Future[None] | None = None
        self._expiry_timer: asyncio.TimerHandle | None = None
        self._expiry: asyncio.Task[None] | None = None

    async def add(self, run_pollers: Iterable[RunPoller]) -> None:
        """
        Start to poll runs.

        :param run_pollers: one for each run; its place is the run's position in the decisions.
        """
        for index, run_poller in enumerate(run_pollers):
            connection_poller.subscribe(self._conn_id, run_poller, partial(self._new_member, index))
            if index % _RUNS_AT_ONCE == _RUNS_AT_ONCE - 1:
                await asyncio.sleep(0)

    async def next_decisions(self, timeout: float | None) -> list[tuple[int, Decision]]:  # noqa: ASYNC109
        """
        Wait for decisions that are outcomes or have messages for the log, and return those there are.

        :param timeout: how many seconds to wait; None means without a limit.
        :return: the decisions, each with the position of its run; none after the time-out.
        :raises BaseException: the unexpected error that ended the polling of a run.
        """
        # Others of the event loop come first, also where there are decisions already.
        await asyncio.sleep(0)
        if not self._decisions and self._error is None:
            self._reader = asyncio.get_running_loop().create_future()
            await asyncio.wait({self._reader}, timeout=timeout)
        if self._error is not None:
            raise self._error
        return [self._decisions.popleft() for _ in range(min(len(self._decisions), _RUNS_AT_ONCE))]

    def close(self) -> None:
        """Stop polling; the last subscriber of a connection closes its poller."""
        if self._expiry_timer is not None:
            self._expiry_timer.cancel()
        if self._expiry is not None:
            self._expiry.cancel()
        for member in list(self._members):
            member.close()
        self._members.clear()

    def _new_member(
        self, index: int, run_poller: RunPoller, on_close: Callable[[Subscription], object]
    ) -> _Member:
        member = _Member(run_poller, on_close, self, index)
        self._members.add(member)
        return member

    def expire_at(self, loop_time: float) -> None:
        """Schedule the end of all polling: one timer for all runs, which have the same deadline."""
        if self._expiry_timer is None:
            self._expiry_timer = asyncio.get_running_loop().call_at(loop_time, self._start_expiry)

    def on_decision(self, member: _Member, decision: Decision) -> None:
        """Take a decision about a run; after an outcome it is no longer polled."""
        if isinstance(decision, Outcome):
            self._members.discard(member)
        self._decisions.append((member.index, decision))
        self._wake_reader()

    def on_failure(self, error: BaseException) -> None:
        """Take the unexpected error that ended the polling of a run."""
        self._error = error
        self._wake_reader()

    def _start_expiry(self) -> None:
        self._expiry = asyncio.get_running_loop().create_task(self._expire())

    async def _expire(self) -> None:
        for number, member in enumerate(list(self._members)):
            member.expire()
            if number % _RUNS_AT_ONCE == _RUNS_AT_ONCE - 1:
                await asyncio.sleep(0)

    def _wake_reader(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)


class _Member(Subscription):
    """The subscription to one run of a group, which keeps nothing but passes all on."""

    __slots__ = ("_expire", "_group", "index")

    def __init__(
        self,
        run_poller: RunPoller,
        on_close: Callable[[Subscription], object],
        group: SubscriptionGroup,
        index: int,
    ) -> None:
        super().__init__(run_poller, on_close)
        self.index = index
        self._group = group
        self._expire: Callable[[Subscription], None] | None = None

    def publish(self, decision: Decision) -> None:
        if isinstance(decision, Outcome):
            self.close()
        elif not decision.log_messages:
            return
        self._group.on_decision(self, decision)

    def fail(self, error: BaseException) -> None:
        self._stop()
        self._group.on_failure(error)

    def expire_at(
        self, loop_time: float, expire: Callable[[Subscription], None], context: contextvars.Context
    ) -> None:
        del context  # The group has one timer.
        self._expire = expire
        self._group.expire_at(loop_time)

    def expire(self) -> None:
        """End the polling of the run, whose deadline has passed."""
        if self.is_open and self._expire is not None:
            self._expire(self)
