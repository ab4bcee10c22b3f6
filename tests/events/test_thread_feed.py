"""Triggers that follow one thread share one listing, and no fault ends it."""

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
from airflow_provider_openai_run.events.thread_feed import FeedReader, FeedUpdate, Snapshot, open_reader
from airflow_provider_openai_run.exceptions import RunAuthenticationError, RunNotFoundError, RunRequestError
from airflow_provider_openai_run.polling.backoff import PollBackoff
from airflow_provider_openai_run.triggerer import connection_poller
from tests.events.thread_in_memory import ThreadInMemory
from tests.triggerer import virtual_time
from tests.triggerer.subscriptions import outcome_of, subscribe_to_run
from tests.triggerer.virtual_time import VirtualLoop

THREAD_ID = "thread_1"
STEADY = PollBackoff(5.0, 5.0)


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadInMemory]:
    random.seed(3)
    api = ThreadInMemory()
    api.install(monkeypatch)
    yield api
    # What a failed test has left open must not affect the next one.
    vars(connection_poller)["_pollers"].clear()
    vars(thread_feed)["_feeds"].clear()


def play(api: ThreadInMemory, scenario: Coroutine[Any, Any, None]) -> None:
    async def run_scenario() -> None:
        await scenario
        await asyncio.sleep(1)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        assert loop.unfinished() == []
        assert api.open == set()
        assert not vars(connection_poller)["_pollers"]
        assert not vars(thread_feed)["_feeds"]

    virtual_time.run(run_scenario())


def listed() -> ApiCall[list[str]]:
    body: dict[str, Any] = yield Request(
        "GET", f"/threads/{THREAD_ID}/runs", query={"limit": "100", "order": "desc"}
    )
    return [run["id"] for run in body["data"]]


def retrieved(run_id: str) -> ApiCall[str]:
    body = yield Request("GET", f"/threads/{THREAD_ID}/runs/{run_id}")
    return str(body["status"])


async def next_snapshot(reader: FeedReader) -> Snapshot:
    update = await reader.next_update()
    assert isinstance(update, Snapshot)
    return update


def test_readers_of_one_thread_share_its_listing(api: ThreadInMemory) -> None:
    api.status["run_1"] = "completed"

    async def scenario() -> None:
        readers = [open_reader("conn", THREAD_ID, STEADY) for _ in range(10)]
        for _ in range(5):
            for reader in readers:
                assert await (await next_snapshot(reader)).execute(listed()) == ["run_1"]
        assert len(api.listed_at) == 5
        assert api.lookups == 1
        for reader in readers:
            reader.close()

    play(api, scenario())


def test_the_shortest_interval_of_all_readers_counts(api: ThreadInMemory) -> None:
    async def scenario() -> None:
        slow, quick = (
            open_reader("conn", THREAD_ID, PollBackoff(60.0, 60.0)),
            open_reader("conn", THREAD_ID, PollBackoff(2.0, 2.0)),
        )
        await asyncio.sleep(100)
        quick.close()
        count = len(api.listed_at)
        assert 45 <= count <= 60
        await asyncio.sleep(600)
        assert 9 <= len(api.listed_at) - count <= 13
        slow.close()

    play(api, scenario())


def test_a_new_reader_gets_an_update_at_once(api: ThreadInMemory) -> None:
    async def scenario() -> None:
        first = open_reader("conn", THREAD_ID, PollBackoff(600.0, 600.0))
        await next_snapshot(first)
        await asyncio.sleep(300)
        second = open_reader("conn", THREAD_ID, PollBackoff(600.0, 600.0))
        async with asyncio.timeout(1):
            await next_snapshot(second)
        first.close()
        second.close()

    play(api, scenario())


def test_an_idle_thread_is_listed_less_often(api: ThreadInMemory) -> None:
    async def scenario() -> None:
        reader = open_reader("conn", THREAD_ID, PollBackoff(5.0, 60.0))
        await asyncio.sleep(7200)
        idle = api.listed_at[-1] - api.listed_at[-2]
        assert 54 <= idle <= 61
        api.status["run_1"] = "in_progress"
        await asyncio.sleep(80)
        gaps = [later - earlier for earlier, later in itertools.pairwise(api.listed_at)]
        assert min(gaps[-5:]) < 6
        reader.close()

    play(api, scenario())


def test_equal_requests_about_a_snapshot_are_sent_once(api: ThreadInMemory) -> None:
    api.status["run_1"] = "in_progress"

    async def scenario() -> None:
        readers = [open_reader("conn", THREAD_ID, STEADY) for _ in range(3)]
        snapshots = [await next_snapshot(reader) for reader in readers]
        results = await asyncio.gather(*(one.execute(retrieved("run_1")) for one in snapshots))
        assert results == ["in_progress"] * 3
        assert [request.run_id for request in api.requests].count("run_1") == 1
        for reader in readers:
            reader.close()

    play(api, scenario())


def test_closing_a_reader_does_not_cancel_shared_requests(api: ThreadInMemory) -> None:
    api.status["run_1"] = "in_progress"

    async def scenario() -> None:
        first, second = (open_reader("conn", THREAD_ID, STEADY) for _ in range(2))
        leaving = asyncio.create_task((await next_snapshot(first)).execute(retrieved("run_1")))
        staying = asyncio.create_task((await next_snapshot(second)).execute(retrieved("run_1")))
        await asyncio.sleep(0.05)
        leaving.cancel()
        first.close()
        assert await staying == "in_progress"
        second.close()

    play(api, scenario())


def test_a_call_may_handle_a_missing_run(api: ThreadInMemory) -> None:
    def run_or_gone() -> ApiCall[str]:
        try:
            return (yield from retrieved("run_9"))
        except RunNotFoundError:
            return "gone"

    async def scenario() -> None:
        reader = open_reader("conn", THREAD_ID, STEADY)
        snapshot = await next_snapshot(reader)
        assert await snapshot.execute(run_or_gone()) == "gone"
        with pytest.raises(RunNotFoundError):
            await snapshot.execute(retrieved("run_9"))
        reader.close()
        with pytest.raises(RunRequestError, match="no trigger follows"):
            await snapshot.execute(retrieved("run_1"))

    play(api, scenario())


def test_a_call_without_response_times_out(api: ThreadInMemory) -> None:
    async def scenario() -> None:
        reader = open_reader("conn", THREAD_ID, STEADY)
        snapshot = await next_snapshot(reader)
        api.fault = lambda _: (429, {"retry-after": "3000"}, b"{}")
        await asyncio.sleep(10)
        before = asyncio.get_running_loop().time()
        with pytest.raises(RunRequestError, match="did not finish within 120 s") as error:
            await snapshot.execute(retrieved("run_1"))
        assert error.value.is_retryable
        assert asyncio.get_running_loop().time() - before < 121
        reader.close()

    play(api, scenario())


@pytest.mark.parametrize(
    "fault", ["cut", "stall", (500, {}, b""), (429, {}, b"{}"), (200, {}, b"<html>"), (200, {}, b"{}")]
)
def test_a_retryable_error_is_published_and_retried_soon(api: ThreadInMemory, fault: Any) -> None:
    async def scenario() -> None:
        reader = open_reader("conn", THREAD_ID, STEADY)
        await next_snapshot(reader)
        api.fault = lambda _: fault
        update = await reader.next_update()
        assert isinstance(update, RunRequestError)
        assert update.is_retryable
        assert "the runs of thread thread_1" in str(update)
        await asyncio.sleep(1000)
        api.fault = lambda _: None
        recovered_at = asyncio.get_running_loop().time()
        while isinstance(await reader.next_update(), RunRequestError):
            pass
        assert asyncio.get_running_loop().time() - recovered_at < 70
        reader.close()

    play(api, scenario())


def test_a_permanent_error_is_retried_every_five_minutes(api: ThreadInMemory) -> None:
    api.key = "another"

    async def scenario() -> None:
        reader = open_reader("conn", THREAD_ID, STEADY)
        update = await reader.next_update()
        assert isinstance(update, RunAuthenticationError)
        assert not update.is_retryable
        await asyncio.sleep(3600)
        # A refused request goes once more, with the connection looked up again.
        gaps = [later - earlier for earlier, later in itertools.pairwise(api.listed_at)]
        assert 270 <= max(gaps) <= 301
        assert len(api.listed_at) < 50
        api.airflow_key = "another"
        async with asyncio.timeout(301):
            while isinstance(await reader.next_update(), RunRequestError):
                pass
        reader.close()

    play(api, scenario())


def test_a_rate_limit_pauses_the_feed(api: ThreadInMemory) -> None:
    async def scenario() -> None:
        reader = open_reader("conn", THREAD_ID, STEADY)
        await next_snapshot(reader)
        api.fault = lambda _: (429, {"retry-after": "100"}, b"{}")
        await reader.next_update()
        api.fault = lambda _: None
        count = len(api.listed_at)
        await asyncio.sleep(95)
        assert len(api.listed_at) == count
        await asyncio.sleep(10)
        assert len(api.listed_at) > count
        reader.close()

    play(api, scenario())


def test_waits_and_feeds_of_a_connection_share_its_client(api: ThreadInMemory) -> None:
    async def scenario() -> None:
        reader = open_reader("conn", THREAD_ID, STEADY)
        subscription = subscribe_to_run(api, "run_1", thread_id=THREAD_ID)
        await next_snapshot(reader)
        api.status["run_1"] = "completed"
        assert (await outcome_of(subscription)).status == "completed"
        await next_snapshot(reader)
        assert api.lookups == 1
        reader.close()

    play(api, scenario())


def test_an_unexpected_error_reaches_every_reader(
    api: ThreadInMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    class BrokenError(Exception):
        pass

    def broken(*_: Any, **__: Any) -> None:
        raise BrokenError

    async def scenario() -> None:
        readers = [open_reader("conn", THREAD_ID, STEADY) for _ in range(2)]
        with monkeypatch.context() as patched:
            patched.setattr(thread_feed, "parse_or_raise", broken)
            for reader in readers:
                with pytest.raises(BrokenError):
                    await reader.next_update()
                reader.close()

    play(api, scenario())


def test_a_slow_reader_gets_only_the_latest_update(api: ThreadInMemory) -> None:
    async def scenario() -> None:
        reader = open_reader("conn", THREAD_ID, STEADY)
        await asyncio.sleep(60)
        api.status["run_1"] = "completed"
        await asyncio.sleep(10)
        assert await (await next_snapshot(reader)).execute(listed()) == ["run_1"]
        waiting: asyncio.Task[FeedUpdate] = asyncio.create_task(reader.next_update())
        await asyncio.sleep(0)
        assert not waiting.done()
        await waiting
        reader.close()
        reader.close()

    play(api, scenario())


def test_a_feed_reopens_right_after_its_last_reader_closed(api: ThreadInMemory) -> None:
    async def scenario() -> None:
        for _ in range(3):
            old = open_reader("conn", THREAD_ID, STEADY)
            await next_snapshot(old)
            old.close()
            new = open_reader("conn", THREAD_ID, STEADY)
            await asyncio.sleep(0)
            other = open_reader("conn", THREAD_ID, STEADY)
            await next_snapshot(new)
            await next_snapshot(other)
            assert len(vars(thread_feed)["_feeds"]) == 1
            new.close()
            other.close()

    play(api, scenario())
