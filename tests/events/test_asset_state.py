from __future__ import annotations

import importlib
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import Asset

from airflow_provider_openai_run.events import asset_state
from airflow_provider_openai_run.events.asset_state import AssetState, AssetStateError
from tests.events.asset_stores import AssetStore, AssetStores
from tests.triggerer import virtual_time


async def test_a_written_value_is_read_back() -> None:
    stores = AssetStores(one=AssetStore())
    await AssetState(stores, "key").write({"horizon": 3})
    assert await AssetState(stores, "key").read() == {"horizon": 3}
    assert await AssetState(stores, "other").read() is None


async def test_the_latest_value_of_all_assets_is_returned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, two = AssetStore(), AssetStore()
    times = iter([10.0, 20.0, 30.0])
    monkeypatch.setattr(asset_state, "time", SimpleNamespace(time=lambda: next(times)))
    await AssetState(AssetStores(one=one), "key").write("old")
    await AssetState(AssetStores(two=two), "key").write("new")

    both = AssetState(AssetStores(one=one, two=two), "key")

    assert await both.read() == "new"
    await both.write("newest")
    assert (one.entries["key"]["value"], two.entries["key"]["value"]) == ("newest", "newest")


async def test_a_single_store_is_enough() -> None:
    state = AssetState(AssetStore(), "key")
    await state.write([1])
    assert await state.read() == [1]


async def test_without_a_store_nothing_is_kept() -> None:
    state = AssetState(None, "key")
    assert not state.is_available
    await state.write([1])
    assert await state.read() is None


@pytest.mark.parametrize("rubbish", ["text", 3, [], {"value": 1}])
async def test_values_written_by_others_are_ignored(rubbish: Any) -> None:
    store = AssetStore()
    store.entries["key"] = rubbish
    assert await AssetState(store, "key").read() is None


async def test_store_failures_raise_one_error() -> None:
    store = AssetStore()
    store.fault = OSError("no database")
    with pytest.raises(AssetStateError, match="no database"):
        await AssetState(store, "key").read()
    with pytest.raises(AssetStateError, match="no database"):
        await AssetState(store, "key").write(1)


def test_a_store_that_does_not_reply_times_out() -> None:
    store = AssetStore()
    store.is_silent = True
    with pytest.raises(AssetStateError, match="did not reply"):
        virtual_time.run(AssetState(store, "key").read())


def test_the_stores_of_airflow_are_found() -> None:
    context = importlib.import_module("airflow.sdk.execution_time.context")
    accessors = getattr(context, "AssetStateStoreAccessors", None)
    if accessors is None:
        pytest.skip("Airflow has asset state stores from 3.3 on")
    state = AssetState(accessors(inlets=[Asset("one"), Asset("two")]), "key")
    found = [store.__class__ for store in vars(state)["_stores"]]
    assert found == [context.AssetStateStoreAccessor] * 2
