from __future__ import annotations

import asyncio
import itertools

import pytest

from airflow_provider_openai_run.api.http import ApiResponse
from airflow_provider_openai_run.exceptions import (
    ConnectionLookupError,
    InvalidConnectionError,
    RunAuthenticationError,
    RunWaitTimeoutError,
)
from airflow_provider_openai_run.polling.policy import Decision, RunPoller
from airflow_provider_openai_run.types.outcome import Outcome
from tests.triggerer import virtual_time
from tests.triggerer.api_in_memory import ApiInMemory, Reply
from tests.triggerer.subscriptions import (
    EXPIRY_GRACE,
    FAILING,
    RATE_LIMITED,
    assert_all_closed,
    close_all,
    loop_time,
    outcome_of,
    subscribe_to_run,
)

RATE_LIMITED_BRIEFLY: Reply = (429, {"retry-after": "1"}, b"{}")


def test_stalled_requests_do_not_delay_other_runs(api: ApiInMemory) -> None:
    async def scenario() -> None:
        subscriptions = [subscribe_to_run(api, f"run_{number}") for number in range(100)]
        await asyncio.sleep(10)
        api.fault = lambda run_id: "stall" if int(run_id[4:]) < 20 else None
        for run_id in api.status:
            api.status[run_id] = "completed"
        outcomes = [asyncio.ensure_future(outcome_of(one)) for one in subscriptions]
        await asyncio.sleep(15)
        assert sum(one.done() for one in outcomes) == 80
        api.fault = lambda _: None
        await asyncio.gather(*outcomes)
        await assert_all_closed(api)

    virtual_time.run(scenario())


def test_an_unexpected_error_fails_only_its_own_run(
    api: ApiInMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_response = RunPoller.on_response

    def broken_on_response(
        wait: RunPoller, answer: ApiResponse, at: float, *, base_url: str = ""
    ) -> Decision:
        if wait.ref.run_id == "bad":
            raise ZeroDivisionError
        return on_response(wait, answer, at, base_url=base_url)

    monkeypatch.setattr(RunPoller, "on_response", broken_on_response)

    async def scenario() -> None:
        good, bad = subscribe_to_run(api, "good"), subscribe_to_run(api, "bad")
        with pytest.raises(ZeroDivisionError):
            await outcome_of(bad)
        api.status["good"] = "completed"
        assert (await outcome_of(good)).status == "completed"
        await assert_all_closed(api)

    virtual_time.run(scenario())


def test_a_cancelled_poll_is_sent_again(api: ApiInMemory) -> None:
    async def scenario() -> None:
        subscription = subscribe_to_run(api)
        outcome = asyncio.ensure_future(outcome_of(subscription))
        await api.request_received.wait()
        for task in asyncio.all_tasks() - {asyncio.current_task(), outcome}:
            task.cancel()
        api.status["run"] = "completed"
        await asyncio.sleep(3)
        assert outcome.result().status == "completed"

    virtual_time.run(scenario())


@pytest.mark.parametrize("fault", [None, FAILING, RATE_LIMITED, "cut", "stall"])
@pytest.mark.parametrize("runs", [1, 40])
def test_the_deadline_holds_under_every_fault(api: ApiInMemory, fault: Reply | str | None, runs: int) -> None:
    async def scenario() -> None:
        api.fault = lambda _: fault
        subscriptions = [subscribe_to_run(api, f"run_{number}", timeout=100) for number in range(runs)]
        deadline = loop_time() + 100
        for outcome in await asyncio.gather(*map(outcome_of, subscriptions)):
            assert isinstance(outcome.error, RunWaitTimeoutError)
        assert deadline <= loop_time() <= deadline + (0.5 if fault is None else EXPIRY_GRACE + 0.5)
        await assert_all_closed(api)

    virtual_time.run(scenario())


def test_the_deadline_holds_while_the_connection_lookup_hangs(api: ApiInMemory) -> None:
    async def scenario() -> None:
        api.lookup_seconds = 10_000
        subscription = subscribe_to_run(api, timeout=100)
        deadline = loop_time() + 100
        outcome = await outcome_of(subscription)
        assert isinstance(outcome.error, RunWaitTimeoutError)
        assert loop_time() <= deadline + EXPIRY_GRACE + 0.5
        assert "'conn'" in str(outcome.error)
        assert api.lookups == 1, "a lookup under way is awaited, not started again"
        # What it opens in the end is closed, though no subscription is left.
        await asyncio.sleep(10_000)
        await assert_all_closed(api)

    virtual_time.run(scenario())


def test_a_slow_connection_lookup_is_used_when_it_returns(api: ApiInMemory) -> None:
    async def scenario() -> None:
        api.lookup_seconds = 200
        api.status["run"] = "completed"
        assert (await outcome_of(subscribe_to_run(api))).status == "completed"
        assert loop_time() < 1000 + 350
        assert api.lookups == 1
        await assert_all_closed(api)

    virtual_time.run(scenario())


def test_a_deadline_that_has_already_passed_allows_one_poll(api: ApiInMemory) -> None:
    async def scenario() -> None:
        api.status["run"] = "completed"
        assert (await outcome_of(subscribe_to_run(api, timeout=-3600))).status == "completed"
        api.status["other"] = "in_progress"
        outcome = await outcome_of(subscribe_to_run(api, "other", timeout=-3600))
        assert isinstance(outcome.error, RunWaitTimeoutError)
        assert outcome.status == "in_progress"

    virtual_time.run(scenario())


def test_a_response_after_the_expiry_is_discarded(api: ApiInMemory) -> None:
    async def scenario() -> None:
        api.latency = 25.0
        subscription, other = subscribe_to_run(api, timeout=1), subscribe_to_run(api, "other")
        api.status["run"] = "completed"
        while not isinstance(decision := await subscription.next_event(), Outcome):
            pass
        assert isinstance(decision.error, RunWaitTimeoutError)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                await subscription.next_event()
        await close_all([subscription, other])

    virtual_time.run(scenario())


def test_an_outage_is_probed_by_one_request_at_a_time(api: ApiInMemory) -> None:
    async def scenario() -> None:
        subscriptions = [subscribe_to_run(api, f"run_{number}") for number in range(300)]
        await asyncio.sleep(30)
        api.fault = lambda _: "cut"
        await asyncio.sleep(10)
        began, api.max_active = loop_time(), 0
        await asyncio.sleep(600)
        probes = sorted(one.at for one in api.requests if one.at >= began)
        assert api.max_active == 1
        assert 600 / 31 - 1 <= len(probes) <= 30
        assert max(after - before for before, after in itertools.pairwise(probes)) <= 31
        api.fault = lambda _: None
        ended = loop_time()
        await asyncio.sleep(45)
        assert len({one.run_id for one in api.requests if one.at > ended}) == 300
        await close_all(subscriptions)

    virtual_time.run(scenario())


def test_stalled_requests_do_not_delay_the_probe_after_a_429(api: ApiInMemory) -> None:
    async def scenario() -> None:
        subscriptions = [subscribe_to_run(api, f"run_{number}") for number in range(100)]
        await asyncio.sleep(10)
        api.fault = lambda run_id: "stall" if int(run_id[4:]) < 10 else None
        await asyncio.sleep(20)
        replies = iter([RATE_LIMITED_BRIEFLY])
        api.fault = lambda run_id: "stall" if int(run_id[4:]) < 10 else next(replies, None)
        await asyncio.sleep(5)
        began = loop_time()
        await asyncio.sleep(10)
        assert len({one.run_id for one in api.requests if one.at > began}) >= 90
        await close_all(subscriptions)

    virtual_time.run(scenario())


def test_retry_after_pauses_all_runs_of_its_connection_only(api: ApiInMemory) -> None:
    async def scenario() -> None:
        subscriptions = [subscribe_to_run(api, f"run_{number}") for number in range(100)]
        other = subscribe_to_run(api, "other", conn_id="other")
        await asyncio.sleep(30)
        refused: Reply = (429, {"retry-after": "60"}, b"{}")
        replies = iter([refused])
        api.fault = lambda run_id: None if run_id == "other" else next(replies, None)
        await asyncio.sleep(1)
        began = loop_time()
        await asyncio.sleep(50)
        assert {one.run_id for one in api.requests if one.at > began} == {"other"}
        await asyncio.sleep(30)
        assert len({one.run_id for one in api.requests if one.at > began}) > 90
        await close_all([*subscriptions, other])

    virtual_time.run(scenario())


def test_an_invalid_connection_fails_each_wait_and_is_named(api: ApiInMemory) -> None:
    async def scenario() -> None:
        api.airflow_key = ""
        subscriptions = [subscribe_to_run(api, f"run_{number}") for number in range(5)]
        for outcome in await asyncio.gather(*map(outcome_of, subscriptions)):
            assert isinstance(outcome.error, InvalidConnectionError)
            assert "'conn'" in str(outcome.error)
        await assert_all_closed(api)

    virtual_time.run(scenario())


def test_a_connection_that_returns_after_a_minute_fails_no_wait(
    api: ApiInMemory, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")

    async def scenario() -> None:
        api.airflow_key = None
        subscriptions = [subscribe_to_run(api, f"run_{number}") for number in range(300)]
        for run_id in api.status:
            api.status[run_id] = "completed"
        outcomes = [asyncio.ensure_future(outcome_of(one)) for one in subscriptions]
        await asyncio.sleep(60)
        assert api.lookups <= 15
        assert api.requests == []
        api.airflow_key = api.key
        await asyncio.sleep(20)
        assert {one.result().status for one in outcomes} == {"completed"}
        await assert_all_closed(api)

    virtual_time.run(scenario())
    assert [line for line in caplog.messages if "'conn'" in line] == [
        "Airflow does not find connection 'conn'. Looking it up again until it is found",
        "Airflow returned connection 'conn'",
    ]


def test_a_connection_that_stays_away_fails_each_wait(api: ApiInMemory) -> None:
    async def scenario() -> None:
        api.airflow_key = None
        began = loop_time()
        subscriptions = [subscribe_to_run(api, f"run_{number}") for number in range(5)]
        for outcome in await asyncio.gather(*map(outcome_of, subscriptions)):
            assert isinstance(outcome.error, ConnectionLookupError)
            assert "'conn'" in str(outcome.error)
        assert 300 <= loop_time() - began <= 330
        await assert_all_closed(api)

    virtual_time.run(scenario())


def test_a_rotated_key_fails_no_wait_and_has_one_lookup(api: ApiInMemory) -> None:
    async def scenario() -> None:
        subscriptions = [subscribe_to_run(api, f"run_{number}") for number in range(300)]
        await asyncio.sleep(30)
        api.key = api.airflow_key = "two"
        await asyncio.sleep(10)
        assert api.lookups == 2
        for run_id in api.status:
            api.status[run_id] = "completed"
        for outcome in await asyncio.gather(*map(outcome_of, subscriptions)):
            assert outcome.status == "completed"
        await assert_all_closed(api)

    virtual_time.run(scenario())


def test_a_refused_key_causes_few_lookups(api: ApiInMemory) -> None:
    async def scenario() -> None:
        subscriptions = [subscribe_to_run(api, f"run_{number}") for number in range(300)]
        await asyncio.sleep(30)
        api.key = "another"
        for outcome in await asyncio.gather(*map(outcome_of, subscriptions)):
            assert isinstance(outcome.error, RunAuthenticationError)
        assert api.lookups < 10
        await assert_all_closed(api)

    virtual_time.run(scenario())


def test_a_client_is_kept_when_a_later_lookup_fails(api: ApiInMemory) -> None:
    async def scenario() -> None:
        subscription = subscribe_to_run(api)
        await asyncio.sleep(30)
        api.airflow_key = None
        await asyncio.sleep(3600)
        assert subscription.is_open
        assert api.lookups > 10
        api.status["run"] = "completed"
        assert (await outcome_of(subscription)).status == "completed"
        await assert_all_closed(api)

    virtual_time.run(scenario())


def test_the_sdk_sends_one_poll_per_minute_and_aiohttp_the_rest(api: ApiInMemory) -> None:
    async def scenario() -> None:
        subscriptions = [subscribe_to_run(api, f"run_{number}") for number in range(20)]
        await asyncio.sleep(600)
        by_sdk = [one.at for one in api.requests if one.by == "sdk"]
        assert len(by_sdk) == 10
        assert len(api.requests) > 2_000
        await close_all(subscriptions)

    virtual_time.run(scenario())
