"""The requests of a connection that wait to be sent."""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

from airflow_provider_openai_run.polling.pacer import Pacer
from airflow_provider_openai_run.triggerer.subscription import Subscription

if TYPE_CHECKING:
    import asyncio

    from airflow_provider_openai_run.api.base import Request
    from airflow_provider_openai_run.api.http import ApiResponse
    from airflow_provider_openai_run.types.run_ref import RunRef

#: How many entries of closed subscriptions may stay in the schedule, beside one for each open one.
_MAX_CLOSED_ENTRIES = 64


class PollUser(Protocol):
    """A user of a connection whose polls are spread."""

    demand: float


@dataclass(slots=True, eq=False)
class QueuedRequest:
    """
    A request whose sender waits.

    :param request: the request.
    :param ref: the run that it is about, for error messages; None before the run has an id.
    :param turn: is given the task that sends the request, once it is sent.
    """

    request: Request
    ref: RunRef | None
    turn: asyncio.Future[asyncio.Task[ApiResponse]]

    @property
    def is_open(self) -> bool:
        """Whether the sender still waits for it to be sent."""
        return not self.turn.done()

    @property
    def is_last_poll(self) -> bool:
        """Whether there is no time to spread it."""
        return False


QueueEntry: TypeAlias = Subscription | QueuedRequest


class RequestQueue:
    """
    Polls, the most overdue first and spread over their intervals, and other requests in order.

    The two take turns, so that many requests of one kind do not delay the other.
    """

    def __init__(self) -> None:
        self._pacer = Pacer()
        self._polls: list[tuple[float, int, QueueEntry]] = []
        self._others: deque[tuple[float, QueuedRequest]] = deque()
        self._order = itertools.count()
        self._was_poll_last = False

    def __len__(self) -> int:
        return len(self._polls) + len(self._others)

    def set_demand(self, user: PollUser, polls_per_second: float) -> None:
        """Set how often a user polls; 0 once it has left."""
        self._pacer.change_demand(polls_per_second - user.demand)
        user.demand = polls_per_second

    def add_poll(self, entry: QueueEntry, due: float) -> None:
        """Add a poll, which may be sent from a time on."""
        heapq.heappush(self._polls, (due, next(self._order), entry))

    def add_other(self, entry: QueuedRequest, now: float) -> None:
        """Add a request that may be sent at once."""
        self._others.append((now, entry))

    def ready_at(self) -> float:
        """Return when the next entry may be sent, which may be in the past; infinity if there is none."""
        return min(self._poll_ready_at(), self._other_ready_at())

    def pop(self, now: float) -> QueueEntry:
        """Remove the next entry, which is ready, and return it."""
        is_poll_ready, is_other_ready = self._poll_ready_at() <= now, self._other_ready_at() <= now
        self._was_poll_last = is_poll_ready and not (is_other_ready and self._was_poll_last)
        if not self._was_poll_last:
            return self._others.popleft()[1]
        self._pacer.on_sent(now)
        return heapq.heappop(self._polls)[2]

    def drop_closed(self, users: int) -> None:
        """Remove closed entries once they outnumber the open ones, of which there is one for each user."""
        if len(self._polls) > 2 * users + _MAX_CLOSED_ENTRIES:
            self._polls = [entry for entry in self._polls if entry[2].is_open]
            heapq.heapify(self._polls)

    def clear(self) -> None:
        """Remove all entries."""
        self._polls.clear()
        self._others.clear()

    def _poll_ready_at(self) -> float:
        while self._polls and not self._polls[0][2].is_open:
            heapq.heappop(self._polls)
        if not self._polls:
            return math.inf
        due, _, entry = self._polls[0]
        # There is no time to spread the polls at a deadline.
        return due if entry.is_last_poll else max(due, self._pacer.ready_at())

    def _other_ready_at(self) -> float:
        while self._others and not self._others[0][1].is_open:
            self._others.popleft()
        return self._others[0][0] if self._others else math.inf
