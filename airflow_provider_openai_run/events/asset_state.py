"""What a trigger has Airflow remember with the assets it updates, over restarts: on Airflow 3.3 and later."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowRuntimeError

if TYPE_CHECKING:
    from airflow_provider_openai_run.types.run import Json

#: How long to wait for Airflow's answer, in seconds. A triggerer that is stopping gives none.
_PATIENCE = 10.0

#: What comes of a store that cannot be read or written for the moment.
_TROUBLES = (AirflowRuntimeError, TimeoutError, OSError)


class AssetStateError(Exception):
    """Airflow's asset state store could not be read or written."""


class AssetState:
    """
    One value, remembered with each of the assets that a trigger updates.

    Asset watchers that are alike share one trigger, so there may be several assets.

    :param stores: Airflow's accessors of the asset state stores; None before 3.3.
    :param key: the name of the value in the stores.
    """

    def __init__(self, stores: Any, key: str) -> None:
        by_asset = {**getattr(stores, "_by_name", {}), **getattr(stores, "_by_uri", {})}
        self._stores = list(by_asset.values()) or [store for store in [stores] if store is not None]
        self._key = key

    @property
    def lasts(self) -> bool:
        """Whether there is anything to remember with."""
        return bool(self._stores)

    async def read(self) -> Json:
        """
        Give what was written last, None if nothing was.

        :raises AssetStateError: if Airflow cannot tell.
        """
        held = [await _answer(store.aget(self._key)) for store in self._stores]
        written = [value for value in held if isinstance(value, dict) and "written_at" in value]
        latest = max(written, key=lambda value: float(value["written_at"]), default=None)
        return None if latest is None else latest.get("value")

    async def write(self, value: Json) -> None:
        """
        Remember a value.

        :param value: plain JSON.
        :raises AssetStateError: if Airflow cannot.
        """
        held = {"written_at": time.time(), "value": value}
        for store in self._stores:
            await _answer(store.aset(self._key, held))


async def _answer(question: Any) -> Json:
    try:
        async with asyncio.timeout(_PATIENCE):
            return await question
    except _TROUBLES as error:
        raise AssetStateError(str(error) or "Airflow did not answer") from error
