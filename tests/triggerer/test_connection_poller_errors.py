from __future__ import annotations

import asyncio
import itertools

import pytest

from airflow_provider_openai_run.api.http import ApiResponse
from airflow_provider_openai_run.exceptions import RunAuthenticationError, RunWaitTimeoutError
from airflow_provider_openai_run.polling.policy import Decision, RunPoller
from airflow_provider_openai_run.types.outcome import Outcome
from tests.triggerer import virtual_time
from tests.triggerer.api_in_memory import ApiInMemory, Reply
from tests.triggerer.subscriptions import (
    FAILING,
    OVERDUE,
    TOO_MANY,
    assert_nothing_left,
    leave_all,
    loop_time,
    outcome_of,
    watch_run,
)


def test_some_requests_that_stall_do_not_hold_up_the_others(api: ApiInMemory) -> None:
    async def story() -> None:
        watches = [watch_run(api, f"run_{number}") for number in range(100)]
        await asyncio.sleep(10)
        api.trouble = lambda run_id: "stall" if int(run_id[4:]) < 20 else None
        for run_id in api.status:
            api.status[run_id] = "completed"
        outcomes = [asyncio.ensure_future(outcome_of(one)) for one in watches]
        await asyncio.sleep(15)
        assert sum(one.done() for one in outcomes) == 80
        api.trouble = lambda _: None
        await asyncio.gather(*outcomes)
        await assert_nothing_left(api)

    virtual_time.run(story())


def test_an_unforeseen_error_is_that_of_one_run_alone(
    api: ApiInMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = RunPoller.on_response

    def answered_badly(wait: RunPoller, answer: ApiResponse, at: float, *, base_url: str = "") -> Decision:
        if wait.ref.run_id == "bad":
            raise ZeroDivisionError
        return answered(wait, answer, at, base_url=base_url)

    monkeypatch.setattr(RunPoller, "on_response", answered_badly)

    async def story() -> None:
        good, bad = watch_run(api, "good"), watch_run(api, "bad")
        with pytest.raises(ZeroDivisionError):
            await outcome_of(bad)
        api.status["good"] = "completed"
        assert (await outcome_of(good)).status == "completed"
        await assert_nothing_left(api)

    virtual_time.run(story())


def test_a_poll_that_somebody_cancels_is_made_up_for(api: ApiInMemory) -> None:
    async def story() -> None:
        watched = watch_run(api)
        outcome = asyncio.ensure_future(outcome_of(watched))
        await api.asked_for.wait()
        for task in asyncio.all_tasks() - {asyncio.current_task(), outcome}:
            task.cancel()
        api.status["run"] = "completed"
        await asyncio.sleep(3)
        assert outcome.result().status == "completed"

    virtual_time.run(story())


@pytest.mark.parametrize("trouble", [None, FAILING, TOO_MANY, "cut", "stall"])
@pytest.mark.parametrize("runs", [1, 40])
def test_a_deadline_holds_whatever_the_api_does(
    api: ApiInMemory, trouble: Reply | str | None, runs: int
) -> None:
    async def story() -> None:
        api.trouble = lambda _: trouble
        watches = [watch_run(api, f"run_{number}", timeout=100) for number in range(runs)]
        deadline = loop_time() + 100
        for outcome in await asyncio.gather(*map(outcome_of, watches)):
            assert isinstance(outcome.error, RunWaitTimeoutError)
        assert deadline <= loop_time() <= deadline + (0.5 if trouble is None else OVERDUE + 0.5)
        await assert_nothing_left(api)

    virtual_time.run(story())


def test_a_deadline_holds_while_airflow_does_not_answer_for_the_connection(api: ApiInMemory) -> None:
    async def story() -> None:
        api.look_up_takes = 10_000
        watched = watch_run(api, timeout=100)
        deadline = loop_time() + 100
        outcome = await outcome_of(watched)
        assert isinstance(outcome.error, RunWaitTimeoutError)
        assert loop_time() <= deadline + OVERDUE + 0.5
        assert "'conn'" in str(outcome.error)
        assert api.look_ups == 1, "a look-up under way is waited for, not begun again"
        # What it opens in the end is closed, though nobody wants it any more.
        await asyncio.sleep(10_000)
        await assert_nothing_left(api)

    virtual_time.run(story())


def test_a_connection_that_comes_late_is_used_as_soon_as_it_is_there(api: ApiInMemory) -> None:
    async def story() -> None:
        api.look_up_takes = 200
        api.status["run"] = "completed"
        assert (await outcome_of(watch_run(api))).status == "completed"
        assert loop_time() < 1000 + 350
        assert api.look_ups == 1
        await assert_nothing_left(api)

    virtual_time.run(story())


def test_a_deadline_that_passed_while_nobody_watched_leaves_time_for_a_look(api: ApiInMemory) -> None:
    async def story() -> None:
        api.status["run"] = "completed"
        assert (await outcome_of(watch_run(api, timeout=-3600))).status == "completed"
        api.status["other"] = "in_progress"
        outcome = await outcome_of(watch_run(api, "other", timeout=-3600))
        assert isinstance(outcome.error, RunWaitTimeoutError)
        assert outcome.status == "in_progress"

    virtual_time.run(story())


def test_an_answer_that_comes_after_the_forced_end_is_not_delivered(api: ApiInMemory) -> None:
    async def story() -> None:
        api.latency = 25.0
        watched, other = watch_run(api, timeout=1), watch_run(api, "other")
        api.status["run"] = "completed"
        while not isinstance(decision := await watched.news(), Outcome):
            pass
        assert isinstance(decision.error, RunWaitTimeoutError)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                await watched.news()
        await leave_all([watched, other])

    virtual_time.run(story())


def test_an_outage_costs_one_probe_at_a_time_and_all_learn_of_its_end(api: ApiInMemory) -> None:
    async def story() -> None:
        watches = [watch_run(api, f"run_{number}") for number in range(300)]
        await asyncio.sleep(30)
        api.trouble = lambda _: "cut"
        await asyncio.sleep(10)
        began, api.most_under_way = loop_time(), 0
        await asyncio.sleep(600)
        probes = sorted(one.at for one in api.asked if one.at >= began)
        assert api.most_under_way == 1
        assert 600 / 31 - 1 <= len(probes) <= 30
        assert max(after - before for before, after in itertools.pairwise(probes)) <= 31
        api.trouble = lambda _: None
        ended = loop_time()
        await asyncio.sleep(45)
        assert len({one.run_id for one in api.asked if one.at > ended}) == 300
        await leave_all(watches)

    virtual_time.run(story())


def test_retry_after_holds_every_run_of_the_connection_and_no_other(api: ApiInMemory) -> None:
    async def story() -> None:
        watches = [watch_run(api, f"run_{number}") for number in range(100)]
        other = watch_run(api, "other", conn_id="other")
        await asyncio.sleep(30)
        refused: Reply = (429, {"retry-after": "60"}, b"{}")
        answers = iter([refused])
        api.trouble = lambda run_id: None if run_id == "other" else next(answers, None)
        await asyncio.sleep(1)
        began = loop_time()
        await asyncio.sleep(50)
        assert {one.run_id for one in api.asked if one.at > began} == {"other"}
        await asyncio.sleep(30)
        assert len({one.run_id for one in api.asked if one.at > began}) > 90
        await leave_all([*watches, other])

    virtual_time.run(story())


def test_a_missing_connection_fails_each_wait_by_name(api: ApiInMemory) -> None:
    async def story() -> None:
        api.airflow_key = None
        watches = [watch_run(api, f"run_{number}") for number in range(5)]
        for outcome in await asyncio.gather(*map(outcome_of, watches)):
            assert isinstance(outcome.error, RunAuthenticationError)
            assert "'conn'" in str(outcome.error)
        await assert_nothing_left(api)

    virtual_time.run(story())


def test_a_key_that_is_rotated_fails_nobody_and_is_looked_up_once(api: ApiInMemory) -> None:
    async def story() -> None:
        watches = [watch_run(api, f"run_{number}") for number in range(300)]
        await asyncio.sleep(30)
        api.key = api.airflow_key = "two"
        await asyncio.sleep(10)
        assert api.look_ups == 2
        for run_id in api.status:
            api.status[run_id] = "completed"
        for outcome in await asyncio.gather(*map(outcome_of, watches)):
            assert outcome.status == "completed"
        await assert_nothing_left(api)

    virtual_time.run(story())


def test_a_key_that_is_refused_for_good_is_not_looked_up_for_each_run(api: ApiInMemory) -> None:
    async def story() -> None:
        watches = [watch_run(api, f"run_{number}") for number in range(300)]
        await asyncio.sleep(30)
        api.key = "another"
        for outcome in await asyncio.gather(*map(outcome_of, watches)):
            assert isinstance(outcome.error, RunAuthenticationError)
        assert api.look_ups < 10
        await assert_nothing_left(api)

    virtual_time.run(story())


def test_a_connection_that_cannot_be_looked_up_again_is_kept_as_long_as_it_works(api: ApiInMemory) -> None:
    async def story() -> None:
        watched = watch_run(api)
        await asyncio.sleep(30)
        api.airflow_key = None
        await asyncio.sleep(3600)
        assert watched.is_open
        assert api.look_ups > 10
        api.status["run"] = "completed"
        assert (await outcome_of(watched)).status == "completed"
        await assert_nothing_left(api)

    virtual_time.run(story())


def test_the_sdk_looks_once_a_minute_and_aiohttp_the_rest_of_the_time(api: ApiInMemory) -> None:
    async def story() -> None:
        watches = [watch_run(api, f"run_{number}") for number in range(20)]
        await asyncio.sleep(600)
        by_sdk = [one.at for one in api.asked if one.by == "sdk"]
        assert len(by_sdk) == 10
        assert len(api.asked) > 2_000
        await leave_all(watches)

    virtual_time.run(story())
