"""The two baseline triggers: one that does nothing, and the shortest possible polling loop."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import aiohttp
from airflow.providers.common.compat.connection import get_async_connection
from airflow.triggers.base import BaseTrigger, TriggerEvent


class DoNothingTrigger(BaseTrigger):
    """A trigger that never fires, to measure Airflow's own cost of a trigger.

    :param number: number of the run, which is not polled.
    """

    def __init__(self, *, number: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.number = number

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments."""
        return f"{__name__}.DoNothingTrigger", {"number": self.number}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait for ever."""
        await asyncio.Event().wait()
        yield TriggerEvent({})


class BareLoopTrigger(BaseTrigger):
    """The shortest loop with the same polls: one session for all triggers, a GET, the status, a sleep.

    The polls of all triggers are spread evenly over the interval. A failed request is retried after the
    interval.

    :param conn_id: ID of the connection, which is read once for all triggers.
    :param run_id: ID of the response to wait for.
    :param poll_interval: seconds.
    """

    _session: asyncio.Task[aiohttp.ClientSession] | None = None

    def __init__(self, *, conn_id: str, run_id: str, poll_interval: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.conn_id = conn_id
        self.run_id = run_id
        self.poll_interval = poll_interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments."""
        arguments = {"conn_id": self.conn_id, "run_id": self.run_id, "poll_interval": self.poll_interval}
        return f"{__name__}.BareLoopTrigger", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll until the response has completed."""
        cls = type(self)
        if cls._session is None:
            cls._session = asyncio.create_task(_open_session(self.conn_id))
        session = await asyncio.shield(cls._session)
        await asyncio.sleep(random.uniform(0, self.poll_interval))
        while await self._status(session) != "completed":  # noqa: ASYNC110 - polling is what it is for
            await asyncio.sleep(self.poll_interval)
        yield TriggerEvent({"run_id": self.run_id, "status": "completed"})

    async def _status(self, session: aiohttp.ClientSession) -> str | None:
        with suppress(aiohttp.ClientError):
            async with session.get(f"responses/{self.run_id}", raise_for_status=True) as response:
                return str(json.loads(await response.read())["status"])
        return None


async def _open_session(conn_id: str) -> aiohttp.ClientSession:
    connection = await get_async_connection(conn_id)
    headers = {"Authorization": f"Bearer {connection.password}"}
    return aiohttp.ClientSession(base_url=f"{connection.host}/", headers=headers)
