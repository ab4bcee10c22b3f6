"""Airflow's asset state stores as a trigger sees them, in memory."""

from __future__ import annotations

import asyncio
import copy
from typing import Any


class AssetStore:
    """The store of one asset."""

    def __init__(self) -> None:
        self.held: dict[str, Any] = {}
        self.trouble: Exception | None = None
        self.is_silent = False
        self.writes = 0

    async def aget(self, key: str, default: Any = None) -> Any:
        await self._bear()
        return copy.deepcopy(self.held.get(key, default))

    async def aset(self, key: str, value: Any) -> None:
        await self._bear()
        self.writes += 1
        self.held[key] = copy.deepcopy(value)

    async def _bear(self) -> None:
        if self.is_silent:
            await asyncio.Event().wait()
        if self.trouble is not None:
            raise self.trouble


class AssetStores:
    """The stores of all assets that a trigger updates, as Airflow hands them over."""

    def __init__(self, **by_name: AssetStore) -> None:
        self._by_name = by_name
        self._by_uri: dict[str, AssetStore] = {}
