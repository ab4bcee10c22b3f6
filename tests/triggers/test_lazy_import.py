"""Modules are imported in a thread, and never returned before they are complete."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from airflow_provider_openai_run.triggers import _lazy_import
from airflow_provider_openai_run.triggers._lazy_import import import_off_loop

NAME = "slow_module_for_test"
SOURCE = """
import threading

importer = threading.current_thread()
threading.slow_module_events["started"].set()
threading.slow_module_events["release"].wait(10)
complete = True
"""


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[dict[str, threading.Event]]:
    """A module whose import stops half-way until ``release`` is set."""
    (tmp_path / f"{NAME}.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(_lazy_import, "_imported", {})
    events = {"started": threading.Event(), "release": threading.Event()}
    monkeypatch.setattr(threading, "slow_module_events", events, raising=False)
    yield events
    sys.modules.pop(NAME, None)


async def test_a_module_is_imported_in_a_thread(events: dict[str, threading.Event]) -> None:
    events["release"].set()

    module = await import_off_loop(NAME)

    assert module.complete
    assert module.importer is not threading.current_thread()
    assert await import_off_loop(NAME) is module


async def test_a_module_that_another_thread_imports_is_awaited(
    events: dict[str, threading.Event],
) -> None:
    other = threading.Thread(target=import_module, args=(NAME,))
    other.start()
    assert events["started"].wait(10)
    assert not hasattr(sys.modules[NAME], "complete")

    importing = asyncio.create_task(import_off_loop(NAME))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not importing.done()
    events["release"].set()

    assert (await importing).complete
    other.join(10)


async def test_a_failed_import_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_lazy_import, "_imported", {})
    for _ in range(2):
        with pytest.raises(ModuleNotFoundError):
            await import_off_loop("no_such_module_for_test")

    assert _lazy_import._imported == {}
