from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from airflow_provider_openai_run.api.registry import api_of, run_ref
from airflow_provider_openai_run.polling.options import PollOptions
from airflow_provider_openai_run.polling.policy import RunPoller
from airflow_provider_openai_run.triggerer.request_queue import QueuedRequest, QueueEntry, RequestQueue
from airflow_provider_openai_run.triggerer.subscription import Subscription
from tests.triggerer import virtual_time


def subscription(number: int) -> Subscription:
    return Subscription(RunPoller(run_ref(f"run_{number}"), PollOptions(started_at=0.0)), lambda _: None)


def request() -> QueuedRequest:
    ref = run_ref("run")
    return QueuedRequest(api_of(ref).retrieve(ref), ref, asyncio.get_running_loop().create_future())


def in_loop(test: Callable[[RequestQueue], None]) -> None:
    async def run() -> None:
        test(RequestQueue())

    virtual_time.run(run())


def drain(queue: RequestQueue, now: float) -> list[QueueEntry]:
    entries = []
    while (ready_at := queue.ready_at()) < float("inf"):
        now = max(now, ready_at)
        entries.append(queue.pop(now))
    return entries


def test_the_most_overdue_poll_is_first() -> None:
    def test(queue: RequestQueue) -> None:
        polls = [subscription(number) for number in range(5)]
        for number in (3, 0, 4, 1, 2):
            queue.add_poll(polls[number], float(number))
        assert drain(queue, 100.0) == polls

    in_loop(test)


@pytest.mark.parametrize("polls", [1, 10])
def test_polls_and_other_requests_take_turns(polls: int) -> None:
    def test(queue: RequestQueue) -> None:
        queue.set_demand(subscription(0), 1e6)
        for number in range(polls):
            queue.add_poll(subscription(number), 0.0)
        requests = [request() for _ in range(10)]
        for one in requests:
            queue.add_other(one, 0.0)
        entries = drain(queue, 100.0)
        assert [one for one in entries if isinstance(one, QueuedRequest)] == requests
        alternating = [isinstance(one, Subscription) for one in entries[: 2 * polls]]
        assert alternating == [True, False] * polls

    in_loop(test)


def test_other_requests_do_not_wait_for_polls_that_are_spread() -> None:
    def test(queue: RequestQueue) -> None:
        for number in range(100):
            queue.add_poll(subscription(number), 0.0)
        now = 100.0
        while queue.ready_at() <= now:
            queue.pop(now)
        queue.add_other(one := request(), now)
        assert queue.ready_at() == now
        assert queue.pop(now) is one

    in_loop(test)


def test_what_has_closed_is_not_sent() -> None:
    def test(queue: RequestQueue) -> None:
        closed, open_poll, left, waiting = subscription(0), subscription(1), request(), request()
        for entry in (closed, open_poll):
            queue.add_poll(entry, 0.0)
        for other in (left, waiting):
            queue.add_other(other, 0.0)
        closed.close()
        left.turn.cancel()
        assert drain(queue, 100.0) == [open_poll, waiting]
        assert len(queue) == 0

    in_loop(test)
