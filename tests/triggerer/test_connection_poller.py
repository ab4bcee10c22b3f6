from __future__ import annotations

import asyncio
import contextvars
import itertools
import threading
import tracemalloc
from typing import Any

import pytest

from airflow_provider_openai_run.triggerer import connection_poller as poller_module
from airflow_provider_openai_run.types.outcome import Outcome
from tests.triggerer import virtual_time
from tests.triggerer.api_in_memory import ApiInMemory
from tests.triggerer.subscriptions import (
    assert_nothing_left,
    leave_all,
    loop_time,
    outcome_of,
    watch_run,
)


def test_the_end_of_a_run_is_delivered_once_and_then_all_is_closed(api: ApiInMemory) -> None:
    async def story() -> None:
        watched = watch_run(api)
        await asyncio.sleep(20)
        api.status["run"] = "completed"
        outcome = await outcome_of(watched)
        assert (outcome.status, outcome.error) == ("completed", None)
        assert not watched.is_open
        await assert_nothing_left(api)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1000):
                await watched.news()

    virtual_time.run(story())


def test_a_change_of_status_is_news_and_a_mere_look_is_none(api: ApiInMemory) -> None:
    async def story() -> None:
        watched = watch_run(api)
        assert "in_progress" in (await watched.news()).log_messages[0].text
        asked = len(api.asked)
        news = asyncio.ensure_future(watched.news())
        await asyncio.sleep(60)
        assert not news.done()
        assert len(api.asked) > asked + 5
        api.status["run"] = "requires_action"
        assert "requires_action" in (await news).log_messages[0].text
        watched.leave()

    virtual_time.run(story())


def test_first_polls_are_spread_over_a_second(api: ApiInMemory) -> None:
    async def story() -> None:
        api.latency = 0.001
        watches = [watch_run(api, f"run_{number}") for number in range(400)]
        began = loop_time()
        await asyncio.sleep(1.5)
        asked = sorted(one.at - began for one in api.asked)
        assert len({one.run_id for one in api.asked}) == 400
        for quarter in range(4):
            assert 60 < sum(quarter / 4 <= at < (quarter + 1) / 4 for at in asked) < 140
        await leave_all(watches)

    virtual_time.run(story())


def test_each_run_is_asked_about_at_its_interval(api: ApiInMemory) -> None:
    async def story() -> None:
        watches = [watch_run(api, f"run_{number}") for number in range(50)]
        await asyncio.sleep(100)
        for number in range(50):
            times = [one.at for one in api.asked if one.run_id == f"run_{number}"]
            gaps = [after - before for before, after in itertools.pairwise(times)]
            assert all(4.5 <= gap <= 5.5 for gap in gaps)
            assert len(gaps) > 15
        await leave_all(watches)

    virtual_time.run(story())


def test_a_few_requests_at_once_do_as_long_as_the_api_is_quick(api: ApiInMemory) -> None:
    async def story() -> None:
        api.latency = 0.02
        watches = [watch_run(api, f"run_{number}") for number in range(500)]
        await asyncio.sleep(30)
        assert api.most_under_way <= 13
        await leave_all(watches)

    virtual_time.run(story())


def test_a_slow_api_makes_polls_late_and_not_many(api: ApiInMemory) -> None:
    async def story() -> None:
        api.latency = 4.0
        watches = [watch_run(api, f"run_{number}") for number in range(300)]
        await asyncio.sleep(300)
        assert api.most_under_way <= 64
        asked = [one for one in api.asked if one.at > loop_time() - 200]
        assert len(asked) > 0.9 * 200 * 64 / 4
        for number in range(300):
            times = [one.at for one in asked if one.run_id == f"run_{number}"]
            assert times, "nobody is left out"
            assert all(after - before > 4.0 for before, after in itertools.pairwise(times))
        await leave_all(watches)

    virtual_time.run(story())


def test_one_that_leaves_in_the_middle_of_a_request_hurts_no_other(api: ApiInMemory) -> None:
    async def story() -> None:
        watches = [watch_run(api, f"run_{number}") for number in range(20)]
        outcomes = [asyncio.ensure_future(outcome_of(one)) for one in watches]
        await api.asked_for.wait()
        asked_first = api.asked[0].run_id
        outcomes[int(asked_first[4:])].cancel()
        await asyncio.sleep(1)
        for run_id in api.status:
            api.status[run_id] = "failed"
        results = await asyncio.gather(*outcomes, return_exceptions=True)
        assert sum(isinstance(one, Outcome) and one.status == "failed" for one in results) == 19
        assert sum(isinstance(one, asyncio.CancelledError) for one in results) == 1
        await assert_nothing_left(api)

    virtual_time.run(story())


def test_the_last_one_out_closes_and_who_comes_later_begins_anew(api: ApiInMemory) -> None:
    async def story() -> None:
        for round_number in (1, 2, 3):
            first, second = watch_run(api, "first"), watch_run(api, "second")
            await asyncio.sleep(20)
            first.leave()
            await asyncio.sleep(20)
            assert api.open
            assert api.asked[-1].run_id == "second"
            second.leave()
            await assert_nothing_left(api)
            assert api.look_ups == round_number
            asked = len(api.asked)
            await asyncio.sleep(20)
            assert len(api.asked) == asked

    virtual_time.run(story())


def test_who_comes_while_it_closes_gets_a_watcher_that_works(api: ApiInMemory) -> None:
    async def story() -> None:
        leaving = watch_run(api, "leaving")
        await asyncio.sleep(3)
        leaving.leave()
        coming = watch_run(api, "coming")
        leaving.leave()
        await asyncio.sleep(0)
        leaving.leave()
        api.status["coming"] = "completed"
        assert (await outcome_of(coming)).status == "completed"
        await assert_nothing_left(api)

    virtual_time.run(story())


def test_one_that_leaves_twice_takes_no_other_along(api: ApiInMemory) -> None:
    async def story() -> None:
        left, staying = watch_run(api, "left"), watch_run(api, "staying")
        left.leave()
        left.leave()
        await asyncio.sleep(3)
        api.status["staying"] = "completed"
        assert (await outcome_of(staying)).status == "completed"

    virtual_time.run(story())


def test_each_connection_has_a_watcher_of_its_own(api: ApiInMemory) -> None:
    async def story() -> None:
        watches = [watch_run(api, conn_id=conn_id) for conn_id in ("one", "two")]
        await asyncio.sleep(3)
        assert api.look_ups == 2
        watches[0].leave()
        api.status["run"] = "completed"
        assert (await outcome_of(watches[1])).status == "completed"
        await assert_nothing_left(api)

    virtual_time.run(story())


def test_the_event_loop_of_another_thread_has_watchers_of_its_own(api: ApiInMemory) -> None:
    met = threading.Barrier(2, timeout=10)
    statuses: list[str | None] = []

    async def story(run_id: str) -> None:
        watched = watch_run(api, run_id)
        await asyncio.sleep(10)
        met.wait()
        api.status[run_id] = "completed"
        statuses.append((await outcome_of(watched)).status)

    def live(run_id: str) -> None:
        virtual_time.run(story(run_id))

    threads = [threading.Thread(target=live, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert statuses == ["completed", "completed"]
    assert api.look_ups == 2


def test_nothing_of_the_trigger_that_began_it_is_inherited(api: ApiInMemory) -> None:
    current_task = contextvars.ContextVar("current_task", default="nobody's")
    seen: set[str] = set()

    def look(_: str) -> None:
        seen.add(current_task.get())

    async def story() -> None:
        api.trouble = look
        look_up = api.look_up

        async def looking_up(conn_id: str) -> Any:
            look(conn_id)
            return await look_up(conn_id)

        api.look_up = looking_up  # type: ignore[method-assign]
        current_task.set("the first trigger's")
        first = watch_run(api, "first", timeout=30)
        current_task.set("the second trigger's")
        second = watch_run(api, "second")
        assert (await outcome_of(first)).error is not None
        second.leave()
        await assert_nothing_left(api)

    virtual_time.run(story())
    assert seen == {"nobody's"}


def test_ten_thousand_that_come_and_go_leave_nothing_in_the_schedule(api: ApiInMemory) -> None:
    async def story() -> None:
        api.headers = {"openai-poll-after-ms": "3600000"}
        staying = watch_run(api, "staying")
        for _ in range(50):
            watches = [watch_run(api, f"run_{number}") for number in range(200)]
            await asyncio.sleep(1.5)
            await leave_all(watches)
        (watcher,) = vars(poller_module)["_pollers"].values()
        assert len(watcher._schedule) <= 100
        assert len(watcher._watches) == 1
        staying.leave()
        await assert_nothing_left(api)

    virtual_time.run(story())


def test_a_waiting_run_takes_less_than_three_kilobytes(api: ApiInMemory) -> None:
    runs = 2000

    async def story() -> None:
        api.latency = 0.0
        first = watch_run(api)
        api.status |= {f"run_{number}": "in_progress" for number in range(runs)}
        await asyncio.sleep(10)
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        watches = [watch_run(api, f"run_{number}", timeout=10_000) for number in range(runs)]
        for watched in watches:
            await watched.news()
        api.asked.clear()
        api.served.clear()
        taken = (tracemalloc.get_traced_memory()[0] - before) / runs
        tracemalloc.stop()
        assert taken < 3000
        await leave_all([first, *watches])

    virtual_time.run(story())
