"""The XCom that a waiting task pushes for the run's page at each change of the run's status.

A small, bounded JSON object: the run's attributes, and its statuses with the time at which each was read.
"""

from __future__ import annotations

import json
import logging
import time
from typing import TYPE_CHECKING, Any

from airflow_provider_openai_run import task_xcoms
from airflow_provider_openai_run.api.parsing import dict_or_none, list_or_none
from airflow_provider_openai_run.types.json import Json
from airflow_provider_openai_run.types.outcome import Outcome
from airflow_provider_openai_run.types.redaction import redact
from airflow_provider_openai_run.types.run import BATCH_ATTRIBUTES, Run
from airflow_provider_openai_run.types.status import RunState, classify_status
from airflow_provider_openai_run.types.storable import bounded_text

if TYPE_CHECKING:
    from airflow_provider_openai_run.exceptions import OpenAIRunError
    from airflow_provider_openai_run.polling.policy import Decision
    from airflow_provider_openai_run.task_xcoms import RunningTask, TaskInstanceKey

log = logging.getLogger(__name__)

#: The XCom key.
PROGRESS_KEY = "openai_run_progress"

_ATTRIBUTES = (
    "id",
    "api",
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
    *BATCH_ATTRIBUTES,
)
_MAX_CHARACTERS = 20_000
_MAX_STATUSES = 50


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
    Return the JSON object to push now.

    :param before: what was pushed before; ignored if it is about another run or has another shape.
    :param status: the run's status.
    :param at: when the status was read, in epoch seconds.
    :param run: the run, if it was retrieved.
    :param request_id: the id of the request that returned the status.
    :param reason: why the run ended without success, in the API's words.
    :param error: the error that ended the wait although the run has not ended.
    """
    previous = dict_or_none(before) or {}
    previous_run = dict_or_none(previous.get("run")) or {}
    if run is not None and previous_run.get("id") not in (None, run.id):
        previous, previous_run = {}, {}
    attributes = _bounded(run) if run is not None else {**previous_run, "status": status}
    statuses = list_or_none(previous.get("statuses")) or []
    if status is not None and not (statuses and _status_of(statuses[-1]) == status):
        statuses = [*statuses, {"status": bounded_text(status), "at": round(at, 3)}]
    value: dict[str, Json] = {
        "run": attributes,
        "statuses": statuses[-_MAX_STATUSES:],
        "polled_at": round(at, 3),
    }
    if request_id is not None:
        value["request_id"] = bounded_text(request_id)
    if reason is not None:
        value["reason"] = _truncate(reason)
    if error is not None:
        value["error"] = {"type": type(error).__name__, "message": _truncate(error.message)}
    return value


def _status_of(entry: Json) -> Json:
    return entry.get("status") if isinstance(entry, dict) else None


def _bounded(run: Run) -> dict[str, Json]:
    """Return the run's attributes, without large values and without its input."""
    attributes = {name: value for name in _ATTRIBUTES if (value := getattr(run, name)) is not None}
    for name in ("usage", "last_error"):
        if name in attributes:
            attributes[name] = attributes[name].to_xcom()
    if "last_error" in attributes:
        message = attributes["last_error"].get("message")
        attributes["last_error"]["message"] = None if message is None else redact(message)
    return {name: _limit_size(value) for name, value in attributes.items()}


def _limit_size(value: Json) -> Json:
    if isinstance(value, str):
        return _truncate(value)
    size = len(json.dumps(value))
    if size <= _MAX_CHARACTERS:
        return value
    value_type = value.get("type") if isinstance(value, dict) else None
    if isinstance(value_type, list | dict):
        value_type = None
    elif isinstance(value_type, str):
        value_type = bounded_text(value_type)
    return {"type": value_type, "left_out": f"{size} characters are too many to push while the task waits"}


def _truncate(text: str) -> str:
    return bounded_text(text, _MAX_CHARACTERS)


def payload_for(decision: Decision, before: Json, at: float) -> dict[str, Json] | None:
    """
    Return the JSON object to push for a decision; None if nothing must be pushed.

    An outcome without the run is pushed only if it has the reason why the wait or the run failed.

    :param decision: the decision after a poll.
    :param before: what was pushed before.
    :param at: when the poll returned, in epoch seconds.
    """
    if isinstance(decision, Outcome):
        is_success = decision.error is None and classify_status(decision.status) is RunState.SUCCEEDED
        if decision.run is None and is_success:
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


def last_request(progress: Json) -> Json:
    """
    Return when a run was last seen to require an action, as it was pushed; None if its status is another.

    :param progress: what was pushed, of any JSON type.
    """
    statuses = list_or_none((dict_or_none(progress) or {}).get("statuses")) or []
    for entry in reversed(statuses):
        status = _status_of(entry)
        if isinstance(entry, dict) and isinstance(status, str):
            is_request = classify_status(status) is RunState.NEEDS_ACTION
            return entry.get("at") if is_request else None
    return None


def push(decision: Decision, ti: RunningTask, *, is_first: bool = False) -> None:
    """
    Push the progress on a worker; a failure is only logged.

    :param decision: the decision after a poll.
    :param ti: the running task instance.
    :param is_first: whether this try has pushed none yet, so that there is none to continue.
    """
    if payload_for(decision, None, time.time()) is None:
        return
    try:
        before = None if is_first else task_xcoms.pull_own(ti, PROGRESS_KEY)
        ti.xcom_push(key=PROGRESS_KEY, value=payload_for(decision, before, time.time()))
    except Exception as error:  # noqa: BLE001 - an XCom backend may raise anything, and only the page reads it
        log.warning("The progress XCom could not be set, so the run's page is not updated: %s", error)


async def push_async(decision: Decision, ti: TaskInstanceKey, *, may_skip: bool = True) -> bool:
    """
    Push the progress in the triggerer; a failure is only logged.

    The triggers of an event loop push one at a time. An outcome does not wait for the others: it is not
    pushed then, because the event of a run's end must not be delayed for the page.

    :param decision: the decision after a poll.
    :param ti: the task instance that is deferred.
    :param may_skip: whether an outcome may be left out then: a worker pushes it too.
    :return: whether the next push may succeed: Airflow can set XComs here (3.3 and later) and did not fail.
    """
    if payload_for(decision, None, time.time()) is None:
        return True
    xcom = await task_xcoms.async_xcom()
    if xcom is None:
        return False
    if may_skip and task_xcoms.is_busy() and isinstance(decision, Outcome):
        return True
    reason = await task_xcoms.write_in_turn(lambda: _write(xcom, decision, ti))
    if reason is None:
        return True
    log.warning("The progress XCom could not be set, so the run's page is not updated: %s", reason)
    return False


async def _write(xcom: Any, decision: Decision, ti: TaskInstanceKey) -> None:  # noqa: ANN401 - Airflow's class
    at = time.time()
    ids = task_xcoms.own_ids(ti)
    before = await xcom.aget_one(key=PROGRESS_KEY, **ids)
    await xcom.aset(PROGRESS_KEY, payload_for(decision, before, at), **ids)
