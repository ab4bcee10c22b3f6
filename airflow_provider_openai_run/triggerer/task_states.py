"""The states that Airflow has for the tasks of triggers: many tasks with one request."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_openai_run.task_xcoms import TaskInstanceKey

#: States of the task instances of a DAG run; a mapped one is named ``task_index``.
States: TypeAlias = "Mapping[str, str | None]"


#: The states of a task that a user has ended, or has cleared and that has not been scheduled since.
_ENDED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed", None})


async def has_ended(task_instance: TaskInstanceKey) -> bool:
    """
    Return whether Airflow's database says at this time that a task has ended, or waits to start again.

    A task in any other state continues: it is still deferred; or it resumes, because its trigger ran in two
    triggerers and the other one has sent its event; or it was cleared and has started, and its new try
    cancels the run of the one before.

    :param task_instance: the task; one that no longer exists has ended.
    :raises Exception: whatever Airflow raises if it cannot read the state.
    """
    states = await _queue_read(task_instance.dag_id, task_instance.run_id, task_instance.task_id)
    name = task_instance.task_id
    key = name if task_instance.map_index < 0 else f"{name}_{task_instance.map_index}"
    return states.get(key) in _ENDED


class _Read:
    """A request for states that has not been sent yet; further tasks may join it."""

    def __init__(self) -> None:
        self.task_ids: set[str] = set()
        self.result: asyncio.Task[States] | None = None


#: Airflow's call blocks.
_in_thread = asyncio.to_thread
_queued: dict[tuple[asyncio.AbstractEventLoop, str, str], _Read] = {}
_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()


async def _queue_read(dag_id: str, run_id: str, task_id: str) -> States:
    """Read a state with the next request for its DAG run: one under way may have been answered earlier."""
    key = (asyncio.get_running_loop(), dag_id, run_id)
    read = _queued.setdefault(key, _Read())
    read.task_ids.add(task_id)
    if read.result is None:
        read.result = asyncio.create_task(_read(key, read))
    return await asyncio.shield(read.result)


async def _read(key: tuple[asyncio.AbstractEventLoop, str, str], read: _Read) -> States:
    loop, dag_id, run_id = key
    # Airflow's supervisor answers one request at a time.
    async with _turns.setdefault(loop, asyncio.Lock()):
        del _queued[key]
        return await _in_thread(_request_states, dag_id, run_id, sorted(read.task_ids))


def _request_states(dag_id: str, run_id: str, task_ids: list[str]) -> States:
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    states: Any = RuntimeTaskInstance.get_task_states(dag_id=dag_id, run_ids=[run_id], task_ids=task_ids)
    return states.get(run_id) or {}
