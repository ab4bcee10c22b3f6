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


async def test_what_was_written_is_read_again() -> None:
    stores = AssetStores(one=AssetStore())
    await AssetState(stores, "key").write({"horizon": 3})
    assert await AssetState(stores, "key").read() == {"horizon": 3}
    assert await AssetState(stores, "other").read() is None


async def test_all_assets_of_a_trigger_remember_and_the_latest_counts(
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
    assert (one.held["key"]["value"], two.held["key"]["value"]) == ("newest", "newest")


async def test_a_lone_store_will_do() -> None:
    memory = AssetState(AssetStore(), "key")
    await memory.write([1])
    assert await memory.read() == [1]


async def test_without_a_store_nothing_lasts() -> None:
    memory = AssetState(None, "key")
    assert not memory.lasts
    await memory.write([1])
    assert await memory.read() is None


@pytest.mark.parametrize("rubbish", ["text", 3, [], {"value": 1}])
async def test_what_others_have_written_is_not_taken_for_its_own(rubbish: Any) -> None:
    store = AssetStore()
    store.held["key"] = rubbish
    assert await AssetState(store, "key").read() is None


async def test_trouble_with_the_store_has_one_name() -> None:
    store = AssetStore()
    store.trouble = OSError("no database")
    with pytest.raises(AssetStateError, match="no database"):
        await AssetState(store, "key").read()
    with pytest.raises(AssetStateError, match="no database"):
        await AssetState(store, "key").write(1)


def test_an_airflow_that_does_not_answer_is_not_waited_for_for_ever() -> None:
    store = AssetStore()
    store.is_silent = True
    with pytest.raises(AssetStateError, match="did not answer"):
        virtual_time.run(AssetState(store, "key").read())


def test_the_stores_that_airflow_hands_over_are_found() -> None:
    context = importlib.import_module("airflow.sdk.execution_time.context")
    accessors = getattr(context, "AssetStateStoreAccessors", None)
    if accessors is None:
        pytest.skip("Airflow has asset state stores from 3.3 on")
    memory = AssetState(accessors(inlets=[Asset("one"), Asset("two")]), "key")
    found = [store.__class__ for store in vars(memory)["_stores"]]
    assert found == [context.AssetStateStoreAccessor] * 2
