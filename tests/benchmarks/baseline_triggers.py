"""The two triggers that the others are measured by: one costs nothing itself, the other as little as can
be."""

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
    """Waits for an event that never comes: what Airflow itself costs for a trigger.

    :param number: of the run, which it never asks for.
    """

    def __init__(self, *, number: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.number = number

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Give the class and its arguments."""
        return f"{__name__}.DoNothingTrigger", {"number": self.number}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait."""
        await asyncio.Event().wait()
        yield TriggerEvent({})


class BareLoopTrigger(BaseTrigger):
    """The shortest loop that does the same polls: one session for all, a GET, the status, a sleep.

    Its polls are spread evenly, as those of a good citizen are: all at once they would cost it less, but not
    the loop. Whatever goes wrong with a request, it asks again when the interval is over.

    :param conn_id: the connection, looked up once for all.
    :param run_id: of the response to wait for.
    :param poll_interval: seconds.
    """

    _session: asyncio.Task[aiohttp.ClientSession] | None = None

    def __init__(self, *, conn_id: str, run_id: str, poll_interval: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.conn_id = conn_id
        self.run_id = run_id
        self.poll_interval = poll_interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Give the class and its arguments."""
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
            async with session.get(f"responses/{self.run_id}", raise_for_status=True) as answer:
                return str(json.loads(await answer.read())["status"])
        return None


async def _open_session(conn_id: str) -> aiohttp.ClientSession:
    connection = await get_async_connection(conn_id)
    headers = {"Authorization": f"Bearer {connection.password}"}
    return aiohttp.ClientSession(base_url=f"{connection.host}/", headers=headers)
