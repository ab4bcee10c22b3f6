from __future__ import annotations

import asyncio
import itertools
import tracemalloc
from typing import Any

import pytest

from airflow_provider_openai_run.polling.options import PollOptions
from airflow_provider_openai_run.polling.policy import Decision, RunPoller
from airflow_provider_openai_run.triggerer import connection_poller
from airflow_provider_openai_run.triggerer.subscription_group import SubscriptionGroup
from airflow_provider_openai_run.types.outcome import Outcome
from airflow_provider_openai_run.types.run_ref import RunRef
from tests.triggerer import virtual_time
from tests.triggerer.api_in_memory import ApiInMemory
from tests.triggerer.subscriptions import assert_all_closed

EPOCH = virtual_time.EPOCH


def pollers(api: ApiInMemory, count: int, *, timeout: float = 3600.0, **options: Any) -> list[RunPoller]:
    now = EPOCH + asyncio.get_running_loop().time()
    shared = PollOptions(started_at=now, deadline=now + timeout, **options)
    run_ids = [f"run_{number}" for number in range(count)]
    api.status.update(dict.fromkeys(run_ids, "in_progress"))
    return [RunPoller(RunRef("responses", run_id), shared) for run_id in run_ids]


async def decisions_of(group: SubscriptionGroup, seconds: float) -> list[tuple[int, Decision]]:
    decisions = list[tuple[int, Decision]]()
    end = asyncio.get_running_loop().time() + seconds
    while (left := end - asyncio.get_running_loop().time()) > 0:
        decisions += await group.next_decisions(left)
    return decisions


def outcomes_in(decisions: list[tuple[int, Decision]]) -> dict[int, Outcome]:
    return {index: decision for index, decision in decisions if isinstance(decision, Outcome)}


def test_one_reader_gets_the_decisions_about_all_runs(api: ApiInMemory) -> None:
    async def scenario() -> None:
        group = SubscriptionGroup("openai_default")
        await group.add(pollers(api, 250))
        first = await decisions_of(group, 20)
        assert sorted(index for index, _ in first) == list(range(250))
        api.status["run_7"] = "completed"
        later = await decisions_of(group, 30)
        assert {index: outcome.status for index, outcome in outcomes_in(later).items()} == {7: "completed"}
        polled = sum(request.run_id == "run_7" for request in api.requests)
        await decisions_of(group, 60)
        assert sum(request.run_id == "run_7" for request in api.requests) == polled
        group.close()
        await assert_all_closed(api)

    virtual_time.run(scenario())


def test_the_last_run_closes_the_poller(api: ApiInMemory) -> None:
    async def scenario() -> None:
        group = SubscriptionGroup("openai_default")
        await group.add(pollers(api, 3))
        api.status.update(dict.fromkeys(api.status, "completed"))
        assert len(outcomes_in(await decisions_of(group, 60))) == 3
        assert not vars(connection_poller)["_pollers"]
        group.close()
        await assert_all_closed(api)

    virtual_time.run(scenario())


def test_nothing_is_returned_after_the_time_out(api: ApiInMemory) -> None:
    async def scenario() -> None:
        group = SubscriptionGroup("openai_default")
        await group.add(pollers(api, 1, poll_interval=100.0))
        await decisions_of(group, 10)
        assert await group.next_decisions(5) == []
        group.close()

    virtual_time.run(scenario())


def test_runs_whose_last_poll_has_no_reply_end_after_the_deadline(api: ApiInMemory) -> None:
    async def scenario() -> None:
        group = SubscriptionGroup("openai_default")
        await group.add(pollers(api, 250, timeout=60))
        await decisions_of(group, 30)
        api.fault = lambda _: "stall"
        outcomes = outcomes_in(await decisions_of(group, 41))
        assert len(outcomes) == 250
        assert all(type(outcome.error).__name__ == "RunWaitTimeoutError" for outcome in outcomes.values())
        group.close()
        await assert_all_closed(api)

    virtual_time.run(scenario())


def test_an_unexpected_error_is_raised_to_the_reader(
    api: ApiInMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("a bug")

    monkeypatch.setattr(RunPoller, "on_response", broken)

    async def scenario() -> None:
        group = SubscriptionGroup("openai_default")
        await group.add(pollers(api, 2))
        with pytest.raises(RuntimeError, match="a bug"):
            await decisions_of(group, 20)
        group.close()

    virtual_time.run(scenario())


def test_a_run_costs_less_than_two_kilobytes(api: ApiInMemory) -> None:
    count = 3000

    async def scenario() -> float:
        group = SubscriptionGroup("openai_default")
        shared = iter(pollers(api, count, poll_interval=60.0))
        refs = [poller.ref for poller in itertools.islice(shared, count)]
        options = PollOptions(started_at=EPOCH + 1000, deadline=EPOCH + 5000, poll_interval=60.0)
        tracemalloc.start()
        await group.add(RunPoller(ref, options) for ref in refs)
        await decisions_of(group, 200)
        api.requests.clear()
        api.sent_statuses.clear()
        used, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(api.status) == count
        group.close()
        return used / count

    assert virtual_time.run(scenario()) < 2000
