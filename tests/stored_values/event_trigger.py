"""The values that an event trigger stores: its arguments, its events, and its checkpoint."""

from __future__ import annotations

import asyncio
import json
from importlib import import_module
from typing import Any

from airflow_provider_openai_run.sandbox import Sandbox
from airflow_provider_openai_run.triggers.openai_run_event import OpenAIRunEventTrigger
from tests.events.asset_stores import AssetStore
from tests.fake_clock import FakeClock

#: The name of the scenario.
EVENT_TRIGGER = "event_trigger"
THREAD_ID = "thread_watched"
#: Airflow has state stores of assets from 3.3 on.
HAS_ASSET_STATE = hasattr(OpenAIRunEventTrigger(thread_id=THREAD_ID), "asset_state_store")

#: Enough seconds for some listings of the thread.
_SECONDS = 60


def record_event_trigger(sandbox: Sandbox, clock: FakeClock) -> dict[str, Any]:
    """Run an event trigger on a thread with an ended and an active run, and return what it has stored."""
    sandbox.create_thread(THREAD_ID)
    ended = sandbox.create_run(THREAD_ID, script="instant")["id"]
    sandbox.create_run(THREAD_ID, script="in_progress")
    trigger = OpenAIRunEventTrigger(
        thread_id=THREAD_ID, include_past=True, poll_interval=5, max_poll_interval=5
    )
    classpath, kwargs = trigger.serialize()
    store = AssetStore()
    started_at = clock.time()
    events = clock.run(events_of(classpath, kwargs, store))
    return {
        "recorded_at": started_at,
        "ids": {"reported": ended},
        "classpath": classpath,
        "trigger_kwargs": kwargs,
        "events": events,
        "asset_state": list(store.entries.items()),
        "api": {f"/v1/threads/{THREAD_ID}/runs": {"data": sandbox.list_runs(THREAD_ID), "has_more": False}},
    }


async def events_of(classpath: str, kwargs: dict[str, Any], store: AssetStore) -> list[dict[str, Any]]:
    """Return the events that a trigger sends within a minute, loaded as a triggerer does."""
    module, _, name = classpath.rpartition(".")
    trigger = getattr(import_module(module), name)(**kwargs)
    vars(trigger)["asset_state_store"] = store
    payloads = list[dict[str, Any]]()

    async def listen() -> None:
        async for event in trigger.run():
            payloads.append(json.loads(json.dumps(event.payload)))

    listener = asyncio.create_task(listen())
    await asyncio.sleep(_SECONDS)
    listener.cancel()
    await asyncio.gather(listener, return_exceptions=True)
    return payloads
