"""Subscriptions to runs of an API in memory, for tests in virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

from airflow_provider_openai_run.api.registry import run_ref
from airflow_provider_openai_run.polling.options import PollOptions
from airflow_provider_openai_run.polling.policy import RunPoller
from airflow_provider_openai_run.triggerer import connection_poller
from airflow_provider_openai_run.triggerer.connection_poller import subscribe
from airflow_provider_openai_run.triggerer.subscription import Subscription
from airflow_provider_openai_run.types.outcome import Outcome
from tests.triggerer.api_in_memory import ApiInMemory, Reply
from tests.triggerer.virtual_time import EPOCH, VirtualLoop

RATE_LIMITED: Reply = (429, {"retry-after": "3600"}, b"{}")
FAILING: Reply = (503, {}, b"")
#: How many seconds after its deadline a wait ends if its last poll has not returned.
EXPIRY_GRACE = 10.0


def loop_time() -> float:
    """Return the seconds of the virtual clock."""
    return asyncio.get_running_loop().time()


def now() -> float:
    """Return the epoch seconds of the virtual clock."""
    return EPOCH + loop_time()


def subscribe_to_run(
    api: ApiInMemory,
    run_id: str = "run",
    *,
    timeout: float | None = None,
    conn_id: str = "conn",
    thread_id: str | None = None,
    **options: Any,
) -> Subscription:
    """
    Subscribe to a run, which is in progress unless the test has set another status.

    :param timeout: the deadline in seconds from now; None for none.
    :param options: further ones of ``PollOptions``.
    """
    api.status.setdefault(run_id, "in_progress")
    deadline = None if timeout is None else now() + timeout
    defaults = {"poll_interval": 5.0, "max_poll_interval": 5.0, "max_consecutive_failures": 10**6}
    poll_options = PollOptions(started_at=now(), deadline=deadline, **{**defaults, **options})
    return subscribe(conn_id, RunPoller(run_ref(run_id, thread_id=thread_id), poll_options))


async def outcome_of(subscription: Subscription) -> Outcome:
    """Wait for the outcome, close the subscription, and return the outcome."""
    try:
        while not isinstance(decision := await subscription.next_event(), Outcome):
            pass
        return decision
    finally:
        subscription.close()


async def close_all(subscriptions: list[Subscription]) -> None:
    """Close subscriptions, and wait until their poller is closed."""
    for subscription in subscriptions:
        subscription.close()
    await asyncio.sleep(0.1)


async def assert_all_closed(api: ApiInMemory) -> None:
    """Assert that a second later no task, timer, client, session or poller is left."""
    await asyncio.sleep(1)
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    assert loop.unfinished() == []
    assert api.open == set()
    assert not vars(connection_poller)["_pollers"]
