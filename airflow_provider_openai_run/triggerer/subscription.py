"""A trigger's subscription to a run that the poller of its connection polls."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from airflow_provider_openai_run.types.outcome import Outcome

if TYPE_CHECKING:
    import contextvars
    from collections.abc import Callable

    from airflow_provider_openai_run.polling.policy import Decision, RunPoller


class Subscription:
    """
    The decisions about one run that is polled.

    :param run_poller: decides when to poll the run, and when to stop.
    :param on_close: called when the subscriber closes the subscription.
    """

    __slots__ = ("_error", "_events", "_expiry", "_on_close", "_reader", "demand", "is_open", "run_poller")

    def __init__(self, run_poller: RunPoller, on_close: Callable[[Subscription], object]) -> None:
        self.run_poller = run_poller
        #: Whether the run must still be polled.
        self.is_open = True
        #: How many polls a second it counts for, see ``Pacer``.
        self.demand = 0.0
        self._on_close = on_close
        self._events: tuple[Decision, ...] = ()
        self._error: BaseException | None = None
        self._reader: asyncio.Future[None] | None = None
        self._expiry: asyncio.TimerHandle | None = None

    @property
    def is_last_poll(self) -> bool:
        """Whether the next poll is the one at the deadline."""
        return self.run_poller.is_last_poll

    async def next_event(self) -> Decision:
        """
        Wait for the next decision that is an outcome or has messages for the log, and return it.

        :raises BaseException: the unexpected error that ended the polling of this run.
        """
        while not self._events:
            if self._error is not None:
                raise self._error
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        first, *rest = self._events
        self._events = tuple(rest)
        return first

    def publish(self, decision: Decision) -> None:
        """
        Pass a decision to the subscriber, unless it has nothing to report.

        :param decision: an outcome is the last one.
        """
        if isinstance(decision, Outcome):
            self._stop()
        elif not decision.log_messages:
            return
        self._events = (*self._events, decision)
        self._wake_reader()

    def fail(self, error: BaseException) -> None:
        """Stop polling, and raise an unexpected error to the subscriber."""
        self._stop()
        self._error = error
        self._wake_reader()

    def close(self) -> None:
        """Stop polling; the last subscriber of a connection closes its poller. May be called twice."""
        self._stop()
        self._on_close(self)

    def expire_at(
        self, loop_time: float, expire: Callable[[Subscription], None], context: contextvars.Context
    ) -> None:
        """
        Schedule a call for when the run's deadline has passed.

        :param loop_time: seconds of the event loop's clock.
        :param expire: called with this subscription, unless polling has stopped by then.
        :param context: the context of the call, shared by all subscriptions to save memory.
        """
        self._expiry = asyncio.get_running_loop().call_at(loop_time, expire, self, context=context)

    def _stop(self) -> None:
        self.is_open = False
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None

    def _wake_reader(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
