"""Airflow's asset state stores as a trigger gets them, in memory."""

from __future__ import annotations

import asyncio
import copy
from typing import Any


class AssetStore:
    """
    The store of one asset.

    ``entries`` are its values by key. ``fault`` is raised by each call; with ``is_silent`` no call returns.
    """

    def __init__(self) -> None:
        self.entries: dict[str, Any] = {}
        self.fault: Exception | None = None
        self.is_silent = False
        self.writes = 0

    async def aget(self, key: str, default: Any = None) -> Any:
        await self._apply_fault()
        return copy.deepcopy(self.entries.get(key, default))

    async def aset(self, key: str, value: Any) -> None:
        await self._apply_fault()
        self.writes += 1
        self.entries[key] = copy.deepcopy(value)

    async def _apply_fault(self) -> None:
        if self.is_silent:
            await asyncio.Event().wait()
        if self.fault is not None:
            raise self.fault


class AssetStores:
    """The stores of all assets that a trigger updates, in the form in which Airflow passes them."""

    def __init__(self, **by_name: AssetStore) -> None:
        self._by_name = by_name
        self._by_uri: dict[str, AssetStore] = {}
