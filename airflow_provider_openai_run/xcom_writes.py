"""XComs that triggers set, one trigger of an event loop at a time.

Airflow sets the XComs of all triggers of a triggerer one after the other, and answers their other requests in
between.
"""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import ModuleType

#: How many seconds the triggerer may take to set an XCom before the wait goes on without it. The first one
#: takes longest, since the triggerer builds Airflow's API for it: beyond 10 s on a busy machine.
_XCOM_TIMEOUT = 30.0

_MODULE = "airflow.sdk.execution_time.xcom"
_imported: dict[str, ModuleType] = {}
_writes: set[asyncio.Task[None]] = set()
_locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()


async def async_xcom() -> Any:  # noqa: ANN401 - Airflow's class; older versions lack its async methods
    """Return Airflow's XCom class; None if triggers cannot set XComs, as before Airflow 3.3."""
    if _MODULE not in _imported:
        # In a thread: an XCom backend may import much.
        _imported[_MODULE] = await asyncio.to_thread(import_module, _MODULE)
    xcom = _imported[_MODULE].XCom
    return xcom if hasattr(xcom, "aset") else None


def is_busy() -> bool:
    """Return whether another trigger of this event loop is setting an XCom."""
    return _lock().locked()


async def write_in_turn(write: Callable[[], Awaitable[None]]) -> str | None:
    """
    Set an XCom once no other trigger does; a failure is returned.

    :param write: sets it.
    :return: why it was not set; None if it was.
    """
    async with _lock():
        # In a task of its own, so that neither a missing reply nor an error delays or ends the wait.
        task = asyncio.create_task(_run(write))
        _writes.add(task)
        task.add_done_callback(_writes.discard)
        await asyncio.wait({task}, timeout=_XCOM_TIMEOUT)
    if not task.done():
        return f"no reply from Airflow within {_XCOM_TIMEOUT:g} s"
    error = asyncio.CancelledError() if task.cancelled() else task.exception()
    return None if error is None else str(error) or type(error).__name__


async def _run(write: Callable[[], Awaitable[None]]) -> None:
    await write()


def _lock() -> asyncio.Lock:
    return _locks.setdefault(asyncio.get_running_loop(), asyncio.Lock())
