from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import openai
import pytest

from airflow_provider_openai_run.sandbox import Sandbox

pytestmark = pytest.mark.filterwarnings("ignore:The Assistants API is deprecated:DeprecationWarning")


@pytest.fixture
async def async_client(sandbox: Sandbox) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        base_url=sandbox.base_url, api_key=sandbox.api_key, max_retries=0
    ) as client:
        yield client


async def test_the_async_sdk_reads_a_run_and_its_steps(
    sandbox: Sandbox, async_client: openai.AsyncOpenAI
) -> None:
    run = sandbox.create_run(script="many_steps")
    sandbox.clock.advance(3)
    runs = async_client.beta.threads.runs
    assert (await runs.retrieve(run["id"], thread_id=run["thread_id"])).status == "completed"
    steps = [step.id async for step in runs.steps.list(run["id"], thread_id=run["thread_id"], limit=10)]
    assert len(set(steps)) == 45


async def test_a_hundred_concurrent_requests_succeed(
    sandbox: Sandbox, async_client: openai.AsyncOpenAI
) -> None:
    made = [sandbox.create_response() for _ in range(30)]
    sandbox.clock.advance(3)
    responses = await asyncio.gather(*(async_client.responses.retrieve(each["id"]) for each in made))
    assert [response.id for response in responses] == [each["id"] for each in made]
    assert {response.status for response in responses} == {"completed"}


async def test_a_stalled_response_does_not_block_other_requests(
    sandbox: Sandbox, async_client: openai.AsyncOpenAI
) -> None:
    response = sandbox.create_response()
    sandbox.faults.add("stalled", times=1)
    hasty = async_client.with_options(timeout=1)
    outcomes = await asyncio.gather(
        *(hasty.responses.retrieve(response["id"]) for _ in range(4)), return_exceptions=True
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["APITimeoutError", *["Response"] * 3]


async def test_a_closed_connection_raises_a_connection_error(
    sandbox: Sandbox, async_client: openai.AsyncOpenAI
) -> None:
    response = sandbox.create_response()
    sandbox.faults.add("cut", times=1)
    with pytest.raises(openai.APIConnectionError):
        await async_client.responses.retrieve(response["id"])
