"""Watches for tests in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from airflow_provider_openai_run.api.registry import run_ref
from airflow_provider_openai_run.polling.options import PollOptions
from airflow_provider_openai_run.polling.policy import RunPoller
from airflow_provider_openai_run.triggerer import connection_poller as poller_module
from airflow_provider_openai_run.triggerer.connection_poller import Subscription, watch
from airflow_provider_openai_run.types.outcome import Outcome
from tests.triggerer.api_in_memory import ApiInMemory, Reply
from tests.triggerer.virtual_time import EPOCH, VirtualLoop

#: What the API answers when it is asked too often, and when it fails.
TOO_MANY: Reply = (429, {"retry-after": "3600"}, b"{}")
FAILING: Reply = (503, {}, b"")
#: How long after its deadline a wait is ended by force, in seconds.
OVERDUE = 10.0

Story = Callable[[], Coroutine[Any, Any, None]]


def loop_time() -> float:
    """Seconds of the virtual loop."""
    return asyncio.get_running_loop().time()


async def leave_all(watches: list[Subscription]) -> None:
    """Leave them, and give what that starts a moment."""
    for watched in watches:
        watched.leave()
    await asyncio.sleep(0.1)


def now() -> float:
    """Epoch seconds of the virtual clock."""
    return EPOCH + asyncio.get_running_loop().time()


def watch_run(
    api: ApiInMemory,
    run_id: str = "run",
    *,
    timeout: float | None = None,
    conn_id: str = "conn",
    thread_id: str | None = None,
    **options: Any,
) -> Subscription:
    """Watch a run that is in progress, unless it is something else already; ``timeout`` counts from now."""
    api.status.setdefault(run_id, "in_progress")
    deadline = None if timeout is None else now() + timeout
    pace = {"poll_interval": 5.0, "max_poll_interval": 5.0, "max_consecutive_failures": 10**6}
    chosen = PollOptions(started_at=now(), deadline=deadline, **{**pace, **options})
    return watch(conn_id, RunPoller(run_ref(run_id, thread_id=thread_id), chosen))


async def outcome_of(watched: Subscription) -> Outcome:
    """Wait for the outcome, then leave."""
    try:
        while not isinstance(decision := await watched.news(), Outcome):
            pass
        return decision
    finally:
        watched.leave()


async def assert_nothing_left(api: ApiInMemory) -> None:
    """See that a moment after the last one left all is closed."""
    await asyncio.sleep(1)
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    assert loop.left_over() == []
    assert api.open == set()
    assert not vars(poller_module)["_pollers"]
