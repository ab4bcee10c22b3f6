"""
This package's trigger without the replay transport: each poll is sent by one shared client of the SDK.

A process of the benchmark runs triggers of one class only, so each class may replace the transport for all.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import openai
from airflow.triggers.base import TriggerEvent

from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook
from airflow_provider_openai_run.triggers._lazy_import import import_off_loop
from airflow_provider_openai_run.triggers.openai_run import OpenAIRunTrigger

_PACKAGE = "airflow_provider_openai_run"
_aget_conn = OpenAIRunHook.aget_conn


class SharedSdkClientTrigger(OpenAIRunTrigger):
    """Poll with the connection's client as it is."""

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait for the end of the run."""
        await _without_replay()
        async for event in super().run():
            yield event


class AioHttpSdkClientTrigger(OpenAIRunTrigger):
    """Poll with the connection's client on the SDK's aiohttp transport."""

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait for the end of the run."""
        await _without_replay()
        setattr(OpenAIRunHook, "aget_conn", _client_on_aiohttp)  # noqa: B010 - mypy refuses the assignment
        async for event in super().run():
            yield event


async def _without_replay() -> None:
    poller = await import_off_loop(f"{_PACKAGE}.triggerer.connection_poller")
    sdk_client = await import_off_loop(f"{_PACKAGE}.triggerer.sdk_client")
    vars(poller)["ReplayTransport"] = sdk_client.SdkClient


async def _client_on_aiohttp(hook: OpenAIRunHook) -> openai.AsyncOpenAI:
    client = await _aget_conn(hook)
    return client.copy(http_client=openai.DefaultAioHttpClient())
