"""What a task that waits leaves in XCom about its run, for the run's page: at each change of its status.

Small and bounded, and plain JSON: what the run is, and which statuses were seen when.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakKeyDictionary

from airflow_provider_openai_run.api.parsing import dict_or_none, list_or_none
from airflow_provider_openai_run.types.outcome import Outcome
from airflow_provider_openai_run.types.redaction import redact
from airflow_provider_openai_run.types.run import Json
from airflow_provider_openai_run.types.status import RunState, classify_status

if TYPE_CHECKING:
    from airflow_provider_openai_run.exceptions import OpenAIRunError
    from airflow_provider_openai_run.polling.policy import Decision
    from airflow_provider_openai_run.types.run import Run

log = logging.getLogger(__name__)

#: The XCom key.
PROGRESS_KEY = "openai_run_progress"

_ATTRIBUTES = (
    "id",
    "thread_id",
    "assistant_id",
    "model",
    "status",
    "object",
    "created_at",
    "started_at",
    "completed_at",
    "failed_at",
    "cancelled_at",
    "expires_at",
    "usage",
    "last_error",
    "required_action",
    "incomplete_details",
    "conversation_id",
    "previous_response_id",
)
_MOST_CHARACTERS = 20_000
_MOST_STATUSES = 50

#: How long the triggerer may take to set an XCom before the wait goes on without, in seconds.
_PATIENCE = 10.0

_under_way: set[asyncio.Task[None]] = set()
_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()


def build_payload(
    before: Json,
    *,
    status: str | None,
    at: float,
    run: Run | None = None,
    request_id: str | None = None,
    reason: str | None = None,
    error: OpenAIRunError | None = None,
) -> dict[str, Json]:
    """
    Give what is to be published now.

    :param before: what was published before; of another run or of another shape, it counts for nothing.
    :param status: the run's.
    :param at: when it was seen, in epoch seconds.
    :param run: the run, if it was retrieved.
    :param request_id: of the answer that said so.
    :param reason: why the run ended without success, in the API's words.
    :param error: why the wait ended although the run did not.
    """
    kept = dict_or_none(before) or {}
    known = dict_or_none(kept.get("run")) or {}
    if run is not None and known.get("id") not in (None, run.id):
        kept, known = {}, {}
    attributes = _bounded(run) if run is not None else {**known, "status": status}
    statuses = list_or_none(kept.get("statuses")) or []
    if status is not None and not (statuses and _status_of(statuses[-1]) == status):
        statuses = [*statuses, {"status": status[:200], "at": round(at, 3)}]
    value: dict[str, Json] = {
        "run": attributes,
        "statuses": statuses[-_MOST_STATUSES:],
        "seen_at": round(at, 3),
    }
    if request_id is not None:
        value["request_id"] = request_id
    if reason is not None:
        value["reason"] = _cut(reason)
    if error is not None:
        value["error"] = {"type": type(error).__name__, "message": _cut(error.message)}
    return value


def _status_of(entry: Json) -> Json:
    return entry.get("status") if isinstance(entry, dict) else None


def _bounded(run: Run) -> dict[str, Json]:
    """Give the run's attributes, without what is large or was told to the model."""
    attributes = {name: value for name in _ATTRIBUTES if (value := getattr(run, name)) is not None}
    for name in ("usage", "last_error"):
        if name in attributes:
            attributes[name] = attributes[name].to_xcom()
    if "last_error" in attributes:
        message = attributes["last_error"].get("message")
        attributes["last_error"]["message"] = None if message is None else redact(message)
    return {name: _small(value) for name, value in attributes.items()}


def _small(value: Json) -> Json:
    if isinstance(value, str):
        return _cut(value)
    size = len(json.dumps(value))
    if size <= _MOST_CHARACTERS:
        return value
    kind = value.get("type") if isinstance(value, dict) else None
    return {"type": kind, "left_out": f"{size} characters are too many to publish while the task waits"}


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}…"


class RunningTask(Protocol):
    """The part of a running task instance that is needed to publish."""

    @property
    def task_id(self) -> str:
        """The task."""

    @property
    def map_index(self) -> int | None:
        """Which one of a mapped task's it is."""

    def xcom_pull(self, *, key: str, task_ids: str, map_indexes: int | None) -> Any:
        """Read an XCom."""

    def xcom_push(self, key: str, value: Any) -> None:
        """Set an XCom."""


class TaskInstanceKey(Protocol):
    """Which task instance a trigger serves."""

    dag_id: str
    task_id: str
    run_id: str
    map_index: int


def payload_for(decision: Decision, before: Json, at: float) -> dict[str, Json] | None:
    """
    Give what is to be published because of a decision; None for nothing.

    An outcome without the run is published only if it tells why the wait ended badly.

    :param decision: what came of a look at the run.
    :param before: what was published before.
    :param at: when, in epoch seconds.
    """
    if isinstance(decision, Outcome):
        is_good = decision.error is None and classify_status(decision.status) is RunState.SUCCEEDED
        if decision.run is None and is_good:
            return None
        return build_payload(
            before,
            status=decision.status,
            at=at,
            run=decision.run,
            request_id=decision.request_id,
            reason=decision.reason,
            error=decision.error,
        )
    if decision.run is None:
        return None
    return build_payload(before, status=decision.run.status, at=at, run=decision.run)


def push(decision: Decision, ti: RunningTask) -> None:
    """
    Publish on a worker what a decision brings; with a warning in place of an error.

    :param decision: what came of a look at the run.
    :param ti: the running task instance.
    """
    if payload_for(decision, None, time.time()) is None:
        return
    try:
        before = ti.xcom_pull(key=PROGRESS_KEY, task_ids=ti.task_id, map_indexes=ti.map_index)
        ti.xcom_push(key=PROGRESS_KEY, value=payload_for(decision, before, time.time()))
    except Exception as error:  # noqa: BLE001 - an XCom backend may raise anything, and this is only for show
        log.warning("The run's page will not show this: %s", error)


async def push_async(decision: Decision, ti: TaskInstanceKey) -> bool:
    """
    Publish in the triggerer what a decision brings; with a warning in place of an error.

    Airflow sets the XComs of all triggers one after the other, and answers their other questions in between:
    so all triggers of an event loop take turns. An outcome does not wait for its turn; it is not published
    then, since an end must not be late for a page.

    :param decision: what came of a look at the run.
    :param ti: the task instance that is deferred.
    :return: whether it is worth trying again: Airflow offers it (from 3.3 on), and it did not fail.
    """
    if payload_for(decision, None, time.time()) is None:
        return True
    xcom: Any = (await asyncio.to_thread(import_module, "airflow.sdk.execution_time.xcom")).XCom
    if not hasattr(xcom, "aset"):
        return False
    turn = _turns.setdefault(asyncio.get_running_loop(), asyncio.Lock())
    if turn.locked() and isinstance(decision, Outcome):
        return True
    async with turn:
        # Apart, so that neither an answer that does not come nor an error can hold up or end the wait.
        task = asyncio.create_task(_set(xcom, decision, ti))
        _under_way.add(task)
        task.add_done_callback(_under_way.discard)
        await asyncio.wait({task}, timeout=_PATIENCE)
    error = task.exception() if task.done() and not task.cancelled() else None
    if task.done() and error is None:
        return True
    log.warning("The run's page will not show changes while the task is deferred: %s", error or "no answer")
    return False


async def _set(xcom: Any, decision: Decision, ti: TaskInstanceKey) -> None:
    at = time.time()
    which = {"dag_id": ti.dag_id, "task_id": ti.task_id, "run_id": ti.run_id, "map_index": ti.map_index}
    before = await xcom.aget_one(key=PROGRESS_KEY, **which)
    await xcom.aset(PROGRESS_KEY, payload_for(decision, before, at), **which)
