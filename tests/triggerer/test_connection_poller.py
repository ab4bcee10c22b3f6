from __future__ import annotations

import asyncio
import contextvars
import itertools
import threading
import tracemalloc
from typing import Any

import pytest

from airflow_provider_openai_run.triggerer import connection_poller
from airflow_provider_openai_run.types.outcome import Outcome
from tests.triggerer import virtual_time
from tests.triggerer.api_in_memory import ApiInMemory
from tests.triggerer.subscriptions import (
    assert_all_closed,
    close_all,
    loop_time,
    outcome_of,
    subscribe_to_run,
)


def test_the_outcome_is_delivered_once_then_all_is_closed(api: ApiInMemory) -> None:
    async def scenario() -> None:
        subscription = subscribe_to_run(api)
        await asyncio.sleep(20)
        api.status["run"] = "completed"
        outcome = await outcome_of(subscription)
        assert (outcome.status, outcome.error) == ("completed", None)
        assert not subscription.is_open
        await assert_all_closed(api)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1000):
                await subscription.next_event()

    virtual_time.run(scenario())


def test_only_a_poll_with_a_new_status_is_an_event(api: ApiInMemory) -> None:
    async def scenario() -> None:
        subscription = subscribe_to_run(api)
        assert "in_progress" in (await subscription.next_event()).log_messages[0].text
        count = len(api.requests)
        event = asyncio.ensure_future(subscription.next_event())
        await asyncio.sleep(60)
        assert not event.done()
        assert len(api.requests) > count + 5
        api.status["run"] = "requires_action"
        assert "requires_action" in (await event).log_messages[0].text
        subscription.close()

    virtual_time.run(scenario())


def test_first_polls_are_spread_over_most_of_an_interval(api: ApiInMemory) -> None:
    async def scenario() -> None:
        api.latency = 0.001
        subscriptions = [subscribe_to_run(api, f"run_{number}") for number in range(400)]
        began = loop_time()
        await asyncio.sleep(4.4)
        requests = sorted(one.at - began for one in api.requests)
        assert len({one.run_id for one in api.requests}) == len(requests) == 400
        for second in range(4):
            assert 60 < sum(second <= at < second + 1 for at in requests) < 140
        await close_all(subscriptions)

    virtual_time.run(scenario())


def test_the_last_polls_before_a_deadline_are_not_spread(api: ApiInMemory) -> None:
    async def scenario() -> None:
        api.latency = 0.001
        subscriptions = [subscribe_to_run(api, f"run_{number}", timeout=100) for number in range(400)]
        deadline = loop_time() + 100
        await asyncio.gather(*map(outcome_of, subscriptions))
        assert loop_time() <= deadline + 0.5
        assert len({one.run_id for one in api.requests if one.at >= deadline}) == 400

    virtual_time.run(scenario())


def test_each_run_is_polled_at_its_interval(api: ApiInMemory) -> None:
    async def scenario() -> None:
        subscriptions = [subscribe_to_run(api, f"run_{number}") for number in range(50)]
        await asyncio.sleep(100)
        for number in range(50):
            times = [one.at for one in api.requests if one.run_id == f"run_{number}"]
            gaps = [after - before for before, after in itertools.pairwise(times)]
            assert all(4.5 <= gap <= 5.5 for gap in gaps)
            assert len(gaps) > 15
        await close_all(subscriptions)

    virtual_time.run(scenario())


def test_few_requests_are_concurrent_while_the_api_is_fast(api: ApiInMemory) -> None:
    async def scenario() -> None:
        api.latency = 0.02
        subscriptions = [subscribe_to_run(api, f"run_{number}") for number in range(500)]
        await asyncio.sleep(30)
        assert api.max_active <= 13
        await close_all(subscriptions)

    virtual_time.run(scenario())


def test_a_slow_api_delays_polls_and_does_not_multiply_them(api: ApiInMemory) -> None:
    async def scenario() -> None:
        api.latency = 4.0
        subscriptions = [subscribe_to_run(api, f"run_{number}") for number in range(300)]
        await asyncio.sleep(300)
        assert api.max_active <= 64
        requests = [one for one in api.requests if one.at > loop_time() - 200]
        assert len(requests) > 0.9 * 200 * 64 / 4
        for number in range(300):
            times = [one.at for one in requests if one.run_id == f"run_{number}"]
            assert times, "each run is polled"
            assert all(after - before > 4.0 for before, after in itertools.pairwise(times))
        await close_all(subscriptions)

    virtual_time.run(scenario())


def test_closing_during_a_request_does_not_affect_other_runs(api: ApiInMemory) -> None:
    async def scenario() -> None:
        subscriptions = [subscribe_to_run(api, f"run_{number}") for number in range(20)]
        outcomes = [asyncio.ensure_future(outcome_of(one)) for one in subscriptions]
        await api.request_received.wait()
        first_run_id = api.requests[0].run_id
        outcomes[int(first_run_id[4:])].cancel()
        await asyncio.sleep(1)
        for run_id in api.status:
            api.status[run_id] = "failed"
        results = await asyncio.gather(*outcomes, return_exceptions=True)
        assert sum(isinstance(one, Outcome) and one.status == "failed" for one in results) == 19
        assert sum(isinstance(one, asyncio.CancelledError) for one in results) == 1
        await assert_all_closed(api)

    virtual_time.run(scenario())


def test_the_last_subscriber_closes_and_a_later_one_reopens(api: ApiInMemory) -> None:
    async def scenario() -> None:
        for round_number in (1, 2, 3):
            first, second = subscribe_to_run(api, "first"), subscribe_to_run(api, "second")
            await asyncio.sleep(20)
            first.close()
            await asyncio.sleep(20)
            assert api.open
            assert api.requests[-1].run_id == "second"
            second.close()
            await assert_all_closed(api)
            assert api.lookups == round_number
            count = len(api.requests)
            await asyncio.sleep(20)
            assert len(api.requests) == count

    virtual_time.run(scenario())


def test_subscribing_while_a_poller_closes_gets_a_working_one(api: ApiInMemory) -> None:
    async def scenario() -> None:
        leaving = subscribe_to_run(api, "leaving")
        await asyncio.sleep(3)
        leaving.close()
        coming = subscribe_to_run(api, "coming")
        leaving.close()
        await asyncio.sleep(0)
        leaving.close()
        api.status["coming"] = "completed"
        assert (await outcome_of(coming)).status == "completed"
        await assert_all_closed(api)

    virtual_time.run(scenario())


def test_closing_twice_does_not_close_another_subscription(api: ApiInMemory) -> None:
    async def scenario() -> None:
        left, staying = subscribe_to_run(api, "left"), subscribe_to_run(api, "staying")
        left.close()
        left.close()
        await asyncio.sleep(3)
        api.status["staying"] = "completed"
        assert (await outcome_of(staying)).status == "completed"

    virtual_time.run(scenario())


def test_each_connection_has_its_own_poller(api: ApiInMemory) -> None:
    async def scenario() -> None:
        subscriptions = [subscribe_to_run(api, conn_id=conn_id) for conn_id in ("one", "two")]
        await asyncio.sleep(3)
        assert api.lookups == 2
        subscriptions[0].close()
        api.status["run"] = "completed"
        assert (await outcome_of(subscriptions[1])).status == "completed"
        await assert_all_closed(api)

    virtual_time.run(scenario())


def test_each_event_loop_has_its_own_pollers(api: ApiInMemory) -> None:
    barrier = threading.Barrier(2, timeout=10)
    statuses: list[str | None] = []

    async def scenario(run_id: str) -> None:
        subscription = subscribe_to_run(api, run_id)
        await asyncio.sleep(10)
        barrier.wait()
        api.status[run_id] = "completed"
        statuses.append((await outcome_of(subscription)).status)

    def live(run_id: str) -> None:
        virtual_time.run(scenario(run_id))

    threads = [threading.Thread(target=live, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert statuses == ["completed", "completed"]
    assert api.lookups == 2


def test_no_context_of_a_trigger_is_inherited(api: ApiInMemory) -> None:
    current_task = contextvars.ContextVar("current_task", default="of no trigger")
    contexts: set[str] = set()

    def record_context(_: str) -> None:
        contexts.add(current_task.get())

    async def scenario() -> None:
        api.fault = record_context
        lookup_connection = api.lookup_connection

        async def recording_lookup(conn_id: str) -> Any:
            record_context(conn_id)
            return await lookup_connection(conn_id)

        api.lookup_connection = recording_lookup  # type: ignore[method-assign]
        current_task.set("the first trigger's")
        first = subscribe_to_run(api, "first", timeout=30)
        current_task.set("the second trigger's")
        second = subscribe_to_run(api, "second")
        assert (await outcome_of(first)).error is not None
        second.close()
        await assert_all_closed(api)

    virtual_time.run(scenario())
    assert contexts == {"of no trigger"}


def test_closed_subscriptions_are_dropped_from_the_schedule(api: ApiInMemory) -> None:
    async def scenario() -> None:
        api.headers = {"openai-poll-after-ms": "3600000"}
        staying = subscribe_to_run(api, "staying")
        for _ in range(50):
            subscriptions = [subscribe_to_run(api, f"run_{number}") for number in range(200)]
            await asyncio.sleep(1.5)
            await close_all(subscriptions)
        (poller,) = vars(connection_poller)["_pollers"].values()
        assert len(poller._queue) <= 100
        assert len(poller._users) == 1
        staying.close()
        await assert_all_closed(api)

    virtual_time.run(scenario())


def test_a_waiting_run_takes_less_than_three_kilobytes(api: ApiInMemory) -> None:
    runs = 2000

    async def scenario() -> None:
        api.latency = 0.0
        first = subscribe_to_run(api)
        api.status |= {f"run_{number}": "in_progress" for number in range(runs)}
        await asyncio.sleep(10)
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        subscriptions = [subscribe_to_run(api, f"run_{number}", timeout=10_000) for number in range(runs)]
        for subscription in subscriptions:
            await subscription.next_event()
        api.requests.clear()
        api.sent_statuses.clear()
        taken = (tracemalloc.get_traced_memory()[0] - before) / runs
        tracemalloc.stop()
        assert taken < 3000
        await close_all([first, *subscriptions])

    virtual_time.run(scenario())
