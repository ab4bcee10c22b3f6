"""Triggers that follow one thread share one listing, and no trouble ends it."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest

from airflow_provider_openai_run.api.base import Request
from airflow_provider_openai_run.api.calls import ApiCall
from airflow_provider_openai_run.events import thread_feed
from airflow_provider_openai_run.events.thread_feed import FeedReader, Look, News, follow
from airflow_provider_openai_run.exceptions import RunAuthenticationError, RunNotFoundError, RunRequestError
from airflow_provider_openai_run.polling.backoff import PollBackoff
from airflow_provider_openai_run.triggerer import connection_poller as poller_module
from tests.events.thread_in_memory import ThreadInMemory
from tests.triggerer import virtual_time
from tests.triggerer.subscriptions import outcome_of, watch_run
from tests.triggerer.virtual_time import VirtualLoop

THREAD_ID = "thread_1"
STEADY = PollBackoff(5.0, 5.0)


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadInMemory]:
    random.seed(3)
    api = ThreadInMemory()
    api.install(monkeypatch)
    yield api
    # What a failed test left must not fail the next.
    vars(poller_module)["_pollers"].clear()
    vars(thread_feed)["_listings"].clear()


def play(api: ThreadInMemory, story: Coroutine[Any, Any, None]) -> None:
    async def to_the_end() -> None:
        await story
        await asyncio.sleep(1)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        assert loop.left_over() == []
        assert api.open == set()
        assert not vars(poller_module)["_pollers"]
        assert not vars(thread_feed)["_listings"]

    virtual_time.run(to_the_end())


def listed() -> ApiCall[list[str]]:
    body = yield Request("GET", f"/threads/{THREAD_ID}/runs", query={"limit": "100", "order": "desc"})
    return [run["id"] for run in body["data"]]


def retrieved(run_id: str) -> ApiCall[str]:
    body = yield Request("GET", f"/threads/{THREAD_ID}/runs/{run_id}")
    return str(body["status"])


async def look(follower: FeedReader) -> Look:
    news = await follower.news()
    assert isinstance(news, Look)
    return news


def test_followers_of_one_thread_share_its_listing(api: ThreadInMemory) -> None:
    api.status["run_1"] = "completed"

    async def story() -> None:
        followers = [follow("conn", THREAD_ID, STEADY) for _ in range(10)]
        for _ in range(5):
            for follower in followers:
                assert await (await look(follower)).carry_out(listed()) == ["run_1"]
        assert len(api.looks) == 5
        assert api.look_ups == 1
        for follower in followers:
            follower.leave()

    play(api, story())


def test_the_most_eager_follower_sets_the_pace(api: ThreadInMemory) -> None:
    async def story() -> None:
        slow, quick = (
            follow("conn", THREAD_ID, PollBackoff(60.0, 60.0)),
            follow("conn", THREAD_ID, PollBackoff(2.0, 2.0)),
        )
        await asyncio.sleep(100)
        quick.leave()
        count = len(api.looks)
        assert 45 <= count <= 60
        await asyncio.sleep(600)
        assert 9 <= len(api.looks) - count <= 13
        slow.leave()

    play(api, story())


def test_whoever_joins_looks_at_once(api: ThreadInMemory) -> None:
    async def story() -> None:
        first = follow("conn", THREAD_ID, PollBackoff(600.0, 600.0))
        await look(first)
        await asyncio.sleep(300)
        second = follow("conn", THREAD_ID, PollBackoff(600.0, 600.0))
        async with asyncio.timeout(1):
            await look(second)
        first.leave()
        second.leave()

    play(api, story())


def test_a_thread_on_which_nothing_happens_is_looked_at_less_and_less(api: ThreadInMemory) -> None:
    async def story() -> None:
        follower = follow("conn", THREAD_ID, PollBackoff(5.0, 60.0))
        await asyncio.sleep(7200)
        idle = api.looks[-1] - api.looks[-2]
        assert 54 <= idle <= 61
        api.status["run_1"] = "in_progress"
        await asyncio.sleep(80)
        gaps = [later - earlier for earlier, later in itertools.pairwise(api.looks)]
        assert min(gaps[-5:]) < 6
        follower.leave()

    play(api, story())


def test_a_question_about_a_look_is_asked_once_whoever_asks(api: ThreadInMemory) -> None:
    api.status["run_1"] = "in_progress"

    async def story() -> None:
        followers = [follow("conn", THREAD_ID, STEADY) for _ in range(3)]
        looks = [await look(follower) for follower in followers]
        answers = await asyncio.gather(*(one.carry_out(retrieved("run_1")) for one in looks))
        assert answers == ["in_progress"] * 3
        assert [asked.run_id for asked in api.asked].count("run_1") == 1
        for follower in followers:
            follower.leave()

    play(api, story())


def test_a_follower_that_leaves_takes_no_answer_from_the_others(api: ThreadInMemory) -> None:
    api.status["run_1"] = "in_progress"

    async def story() -> None:
        first, second = (follow("conn", THREAD_ID, STEADY) for _ in range(2))
        leaving = asyncio.create_task((await look(first)).carry_out(retrieved("run_1")))
        staying = asyncio.create_task((await look(second)).carry_out(retrieved("run_1")))
        await asyncio.sleep(0.05)
        leaving.cancel()
        first.leave()
        assert await staying == "in_progress"
        second.leave()

    play(api, story())


def test_an_operation_may_bear_that_something_is_not_there(api: ThreadInMemory) -> None:
    def borne() -> ApiCall[str]:
        try:
            return (yield from retrieved("run_9"))
        except RunNotFoundError:
            return "gone"

    async def story() -> None:
        follower = follow("conn", THREAD_ID, STEADY)
        seen = await look(follower)
        assert await seen.carry_out(borne()) == "gone"
        with pytest.raises(RunNotFoundError):
            await seen.carry_out(retrieved("run_9"))
        follower.leave()
        with pytest.raises(RunRequestError, match="nobody follows"):
            await seen.carry_out(retrieved("run_1"))

    play(api, story())


def test_an_answer_that_does_not_come_is_not_waited_for_for_ever(api: ThreadInMemory) -> None:
    async def story() -> None:
        follower = follow("conn", THREAD_ID, STEADY)
        seen = await look(follower)
        api.trouble = lambda _: (429, {"retry-after": "3000"}, b"{}")
        await asyncio.sleep(10)
        before = asyncio.get_running_loop().time()
        with pytest.raises(RunRequestError, match="not done within 120 s") as error:
            await seen.carry_out(retrieved("run_1"))
        assert error.value.is_retryable
        assert asyncio.get_running_loop().time() - before < 121
        follower.leave()

    play(api, story())


@pytest.mark.parametrize(
    "trouble", ["cut", "stall", (500, {}, b""), (429, {}, b"{}"), (200, {}, b"<html>"), (200, {}, b"{}")]
)
def test_what_may_pass_is_told_and_asked_again_soon(api: ThreadInMemory, trouble: Any) -> None:
    async def story() -> None:
        follower = follow("conn", THREAD_ID, STEADY)
        await look(follower)
        api.trouble = lambda _: trouble
        news = await follower.news()
        assert isinstance(news, RunRequestError)
        assert news.is_retryable
        assert "the runs of thread thread_1" in str(news)
        await asyncio.sleep(1000)
        api.trouble = lambda _: None
        healed_at = asyncio.get_running_loop().time()
        while isinstance(await follower.news(), RunRequestError):
            pass
        assert asyncio.get_running_loop().time() - healed_at < 70
        follower.leave()

    play(api, story())


def test_what_somebody_must_mend_is_asked_again_more_and_more_slowly(api: ThreadInMemory) -> None:
    api.key = "another"

    async def story() -> None:
        follower = follow("conn", THREAD_ID, STEADY)
        news = await follower.news()
        assert isinstance(news, RunAuthenticationError)
        assert not news.is_retryable
        await asyncio.sleep(3600)
        # A refused request goes once more, with the connection looked up anew.
        gaps = [later - earlier for earlier, later in itertools.pairwise(api.looks)]
        assert 270 <= max(gaps) <= 301
        assert len(api.looks) < 50
        api.airflow_key = "another"
        async with asyncio.timeout(301):
            while isinstance(await follower.news(), RunRequestError):
                pass
        follower.leave()

    play(api, story())


def test_a_rate_limit_holds_the_listing_too(api: ThreadInMemory) -> None:
    async def story() -> None:
        follower = follow("conn", THREAD_ID, STEADY)
        await look(follower)
        api.trouble = lambda _: (429, {"retry-after": "100"}, b"{}")
        await follower.news()
        api.trouble = lambda _: None
        count = len(api.looks)
        await asyncio.sleep(95)
        assert len(api.looks) == count
        await asyncio.sleep(10)
        assert len(api.looks) > count
        follower.leave()

    play(api, story())


def test_waits_and_listings_of_a_connection_share_its_client(api: ThreadInMemory) -> None:
    async def story() -> None:
        follower = follow("conn", THREAD_ID, STEADY)
        watched = watch_run(api, "run_1", thread_id=THREAD_ID)
        await look(follower)
        api.status["run_1"] = "completed"
        assert (await outcome_of(watched)).status == "completed"
        await look(follower)
        assert api.look_ups == 1
        follower.leave()

    play(api, story())


def test_an_unforeseen_error_reaches_every_follower(
    api: ThreadInMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    class BrokenError(Exception):
        pass

    def broken(*_: Any, **__: Any) -> None:
        raise BrokenError

    async def story() -> None:
        followers = [follow("conn", THREAD_ID, STEADY) for _ in range(2)]
        with monkeypatch.context() as patched:
            patched.setattr(thread_feed, "parse_or_raise", broken)
            for follower in followers:
                with pytest.raises(BrokenError):
                    await follower.news()
                follower.leave()

    play(api, story())


def test_a_follower_that_does_not_listen_hears_of_the_latest_look_only(api: ThreadInMemory) -> None:
    async def story() -> None:
        follower = follow("conn", THREAD_ID, STEADY)
        await asyncio.sleep(60)
        api.status["run_1"] = "completed"
        await asyncio.sleep(10)
        assert await (await look(follower)).carry_out(listed()) == ["run_1"]
        waiting: asyncio.Task[News] = asyncio.create_task(follower.news())
        await asyncio.sleep(0)
        assert not waiting.done()
        await waiting
        follower.leave()
        follower.leave()

    play(api, story())


def test_who_follows_anew_as_the_last_one_leaves_is_served(api: ThreadInMemory) -> None:
    async def story() -> None:
        for _ in range(3):
            old = follow("conn", THREAD_ID, STEADY)
            await look(old)
            old.leave()
            new = follow("conn", THREAD_ID, STEADY)
            await asyncio.sleep(0)
            other = follow("conn", THREAD_ID, STEADY)
            await look(new)
            await look(other)
            assert len(vars(thread_feed)["_listings"]) == 1
            new.leave()
            other.leave()

    play(api, story())
