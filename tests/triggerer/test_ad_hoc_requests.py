from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import pytest

from airflow_provider_openai_run.api.base import Request
from airflow_provider_openai_run.api.registry import api_of, run_ref
from airflow_provider_openai_run.exceptions import RunRequestError
from airflow_provider_openai_run.triggerer.connection_poller import open_ad_hoc_requests
from tests.triggerer import virtual_time
from tests.triggerer.api_in_memory import ApiInMemory, Reply
from tests.triggerer.simulated_api import TokenBucket
from tests.triggerer.subscriptions import assert_all_closed, close_all, loop_time, subscribe_to_run

REFUSED: Reply = (429, {"retry-after": "1"}, b"{}")


def cancel_request(api: ApiInMemory, number: int) -> Request:
    api.status["cancel"] = "cancelled"
    return api_of(ref := run_ref(f"resp_{number}")).cancel(ref)


async def send_until_accepted(api: ApiInMemory, number: int, deadline: float) -> float:
    """Send a cancel request as the canceller of runs does, and return when it got through."""
    requests = open_ad_hoc_requests("conn")
    try:
        while loop_time() < deadline:
            response = await requests.send(cancel_request(api, number), run_ref(f"resp_{number}"))
            if response.http_status == 200:
                return loop_time()
            await asyncio.sleep(1)
        raise TimeoutError
    finally:
        requests.close()


def run_with_polls(api: ApiInMemory, work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine while 300 runs are polled every 5 s."""

    async def scenario() -> None:
        subscriptions = [subscribe_to_run(api, f"run_{number}") for number in range(300)]
        await asyncio.sleep(60)
        await work
        await close_all(subscriptions)
        await assert_all_closed(api)

    virtual_time.run(scenario())


def test_a_thousand_cancels_go_through_at_once_while_polls_go_on(api: ApiInMemory) -> None:
    async def cancel_all() -> None:
        began = loop_time()
        ended = await asyncio.gather(
            *(send_until_accepted(api, number, began + 60) for number in range(1000))
        )
        assert max(ended) - began <= 10
        polls = [one for one in api.requests if one.run_id != "cancel" and began <= one.at <= max(ended)]
        assert len(polls) >= 0.8 * 60 * (max(ended) - began)

    run_with_polls(api, cancel_all())


def test_under_a_limit_cancels_and_polls_share_the_rate(api: ApiInMemory) -> None:
    limit = TokenBucket(16)
    api.fault = lambda _: None if limit.takes(loop_time()) else REFUSED

    async def cancel_all() -> None:
        began, requests = loop_time(), len(api.requests)
        ended = await asyncio.gather(
            *(send_until_accepted(api, number, began + 300) for number in range(1000))
        )
        seconds = max(ended) - began
        assert seconds <= 1000 / (16 * 0.4)
        polls = [one for one in api.requests[requests:] if one.run_id != "cancel"]
        assert len(polls) >= 0.4 * 16 * seconds * 0.9

    run_with_polls(api, cancel_all())


async def poll_repeatedly(api: ApiInMemory, number: int) -> None:
    """Poll every 5 s, as a feed of a thread does."""
    ref = run_ref(f"resp_{number}")
    api.status[ref.run_id] = "in_progress"
    requests = open_ad_hoc_requests("conn")
    requests.set_poll_interval(5.0)
    try:
        while True:
            with suppress(RunRequestError):
                await requests.send(api_of(ref).retrieve(ref), ref, is_poll=True)
            await asyncio.sleep(5.0 - 0.5 * random.random())
    finally:
        requests.close()


def test_polls_of_feeds_are_spread_after_an_outage(api: ApiInMemory) -> None:
    async def scenario() -> None:
        polls = [asyncio.create_task(poll_repeatedly(api, number)) for number in range(200)]
        await asyncio.sleep(30)
        api.fault = lambda _: "cut"
        await asyncio.sleep(60)
        api.fault = lambda _: None
        ended = loop_time()
        await asyncio.sleep(90)
        times = [one.at for one in api.requests if one.at > ended]
        per_second = Counter(int(at - ended) for at in times)
        assert max(per_second.values()) <= 1.7 * 200 / 5
        assert len({one.run_id for one in api.requests if one.at > ended}) == 200
        for poll in polls:
            poll.cancel()
        await assert_all_closed(api)

    virtual_time.run(scenario())


def test_a_request_whose_sender_left_is_not_sent(api: ApiInMemory) -> None:
    async def scenario() -> None:
        subscription = subscribe_to_run(api)
        await asyncio.sleep(3)
        api.fault = lambda _: (429, {"retry-after": "60"}, b"{}")
        await asyncio.sleep(6)
        api.fault = lambda _: None
        leaving, staying = open_ad_hoc_requests("conn"), open_ad_hoc_requests("conn")
        left = leaving.send(cancel_request(api, 1), run_ref("resp_1"))
        response = staying.send(cancel_request(api, 2), run_ref("resp_2"))
        await asyncio.sleep(1)
        leaving.close()
        assert (await response).http_status == 200
        assert left.cancelled()
        assert sum(one.run_id == "cancel" for one in api.requests) == 1
        staying.close()
        subscription.close()
        await assert_all_closed(api)

    virtual_time.run(scenario())


def test_a_request_without_a_response_raises_and_frees_its_place(api: ApiInMemory) -> None:
    async def scenario() -> None:
        requests = open_ad_hoc_requests("conn")
        for _ in range(100):
            api.fault = lambda _: "cut"
            with pytest.raises(RunRequestError):
                await requests.send(cancel_request(api, 1), run_ref("resp_1"))
        api.fault = lambda _: None
        assert (await requests.send(cancel_request(api, 1), run_ref("resp_1"))).http_status == 200
        requests.close()
        await assert_all_closed(api)

    virtual_time.run(scenario())
