"""The XComs of a task's own: read by its worker, and set by its trigger.

Airflow sets the XComs of all triggers of a triggerer one after the other, and answers their other requests in
between. So one trigger of an event loop sets an XCom at a time.
"""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import ModuleType

    from airflow_provider_openai_run.types.json import Json

#: How many seconds the triggerer may take to set an XCom before the wait goes on without it. The first one
#: takes longest, since the triggerer builds Airflow's API for it: beyond 10 s on a busy machine.
_XCOM_TIMEOUT = 30.0

#: The XCom to which a task pushes the URL of its run before it waits, so that the link shows while it does.
LINK_KEY = "_link_OpenAIRunLink"

_MODULE = "airflow.sdk.execution_time.xcom"
_imported: dict[str, ModuleType] = {}
_writes: set[asyncio.Task[None]] = set()
_locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()


class TaskInstanceKey(Protocol):
    """The ids of a task instance, as a trigger has them."""

    dag_id: str
    task_id: str
    run_id: str
    map_index: int


class RunningTask(Protocol):
    """The part of a running task instance that is used to read and push XComs."""

    @property
    def task_id(self) -> str:
        """The id of the task."""

    @property
    def map_index(self) -> int | None:
        """The index of a mapped task instance."""

    def xcom_pull(self, *, key: str, task_ids: str, map_indexes: int | None) -> Json:
        """Read an XCom."""

    def xcom_push(self, key: str, value: Json) -> None:
        """Set an XCom."""


def pull_own(ti: RunningTask, key: str) -> Json:
    """
    Return an XCom that the task itself has set, on a worker; None if there is none.

    :param ti: the running task instance.
    :param key: the key of the XCom.
    """
    return ti.xcom_pull(key=key, task_ids=ti.task_id, map_indexes=ti.map_index)


def own_ids(ti: TaskInstanceKey) -> dict[str, Any]:
    """Return the arguments with which Airflow's XCom class finds the XComs of a task instance."""
    return {"dag_id": ti.dag_id, "task_id": ti.task_id, "run_id": ti.run_id, "map_index": ti.map_index}


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
