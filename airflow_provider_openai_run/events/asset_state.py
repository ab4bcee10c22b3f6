"""Values that a trigger keeps in Airflow's asset state store over restarts: on Airflow 3.3 and later."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.sdk.exceptions import AirflowRuntimeError

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from airflow_provider_openai_run.types.json import Json

T = TypeVar("T")

#: How many seconds Airflow may take to reply. A triggerer that is stopping does not reply at all.
_STORE_TIMEOUT = 10.0

#: What the store raises if it cannot be read or written at present.
_STORE_ERRORS = (AirflowRuntimeError, TimeoutError, OSError)


class AssetStateError(Exception):
    """Airflow's asset state store could not be read or written."""


class AssetState:
    """
    One value, stored with each of the assets that a trigger updates.

    Equal asset watchers share one trigger, so there may be several assets.

    :param stores: Airflow's accessors of the asset state stores; None before 3.3.
    :param key: the name of the value in the stores.
    """

    def __init__(self, stores: object, key: str) -> None:
        by_asset = {**getattr(stores, "_by_name", {}), **getattr(stores, "_by_uri", {})}
        alone = [] if stores is None else [stores]
        self._stores: list[Any] = list(by_asset.values()) or alone
        self._key = key

    @property
    def is_available(self) -> bool:
        """Whether there is a store to write to."""
        return bool(self._stores)

    async def read(self) -> Json:
        """
        Return the value that was written last; None if there is none.

        :raises AssetStateError: if a store cannot be read.
        """
        entries = [await _reply_to(store.aget(self._key)) for store in self._stores]
        written = [entry for entry in entries if isinstance(entry, dict) and "written_at" in entry]
        latest = max(written, key=lambda entry: float(entry["written_at"]), default=None)
        return None if latest is None else latest.get("value")

    async def write(self, value: Json) -> None:
        """
        Store a value.

        :param value: plain JSON.
        :raises AssetStateError: if a store cannot be written.
        """
        entry = {"written_at": time.time(), "value": value}
        for store in self._stores:
            await _reply_to(store.aset(self._key, entry))


async def _reply_to(call: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(_STORE_TIMEOUT):
            return await call
    except _STORE_ERRORS as error:
        raise AssetStateError(str(error) or f"Airflow did not reply within {_STORE_TIMEOUT:g} s") from error
