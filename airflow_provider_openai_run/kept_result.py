"""The XCom in which a trigger keeps a run that has ended, until the task resumes.

The API may have deleted the run by then: a response with ``store=False`` is gone ten minutes after its end,
and a task can wait longer than that for a slot of its pool. A task that finds the run here sends no request
at all.
"""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any

from airflow_provider_openai_run import task_xcoms
from airflow_provider_openai_run.api.registry import api_of
from airflow_provider_openai_run.types.run import Run

if TYPE_CHECKING:
    from airflow_provider_openai_run.task_xcoms import TaskInstanceKey
    from airflow_provider_openai_run.types.outcome import Outcome

log = logging.getLogger(__name__)

#: The XCom key.
RESULT_KEY = "openai_run_result"

#: A larger run is not kept, in characters of JSON.
MAX_CHARACTERS = 1_000_000

#: How many seconds the event of a run's end may wait until the run is kept; the XComs of other triggers come
#: first.
_KEEP_TIMEOUT = 60.0


async def keep(outcome: Outcome, ti: TaskInstanceKey) -> bool:
    """
    Keep the run of an outcome, in the triggerer.

    Not kept are runs whose steps are a list of their own, which a poll does not read; runs beyond a million
    characters; and any run before Airflow 3.3, where triggers cannot set XComs. Then the task retrieves the
    run from the API.

    :param outcome: how the wait ended.
    :param ti: the task instance that is deferred.
    :return: whether the run is kept.
    """
    run = outcome.run
    if run is None or outcome.error is not None or api_of(outcome.ref).capabilities.lists_steps:
        return False
    xcom = await task_xcoms.async_xcom()
    if xcom is None:
        return False
    value = run.to_xcom()
    size = len(json.dumps(value))
    if size > MAX_CHARACTERS:
        log.info("%s is not kept until the task resumes: %s characters are too many", outcome.ref, size)
        return False
    ids = task_xcoms.own_ids(ti)
    try:
        async with asyncio.timeout(_KEEP_TIMEOUT):
            reason = await task_xcoms.write_in_turn(lambda: xcom.aset(RESULT_KEY, value, **ids))
    except TimeoutError:
        reason = f"not set within {_KEEP_TIMEOUT:g} s"
    if reason is not None:
        log.warning("%s could not be kept until the task resumes: %s", outcome.ref, reason)
    return reason is None


def take(outcome: Outcome, ti: Any) -> Run | None:  # noqa: ANN401 - Airflow's own
    """
    Return the run that a trigger has kept, on a worker, and delete the XCom.

    :param outcome: how the wait ended.
    :param ti: the running task instance.
    :return: None if there is no such run, or it cannot be read: then the API has it.
    """
    if not outcome.is_kept:
        return None
    ref = outcome.ref
    try:
        value = task_xcoms.pull_own(ti, RESULT_KEY)
        run = Run.from_xcom(value) if isinstance(value, dict) else None
    except Exception as error:  # noqa: BLE001 - an XCom backend may raise anything
        log.warning("%s is retrieved again: what the trigger has kept cannot be read: %s", ref, error)
        return None
    try:
        from airflow.sdk.execution_time.xcom import XCom

        XCom.delete(key=RESULT_KEY, **task_xcoms.own_ids(ti))
    except Exception as error:  # noqa: BLE001 - likewise
        log.warning("The XCom %s could not be deleted: %s", RESULT_KEY, error)
    is_expected = run is not None and (run.id, run.status) == (ref.run_id, outcome.status)
    return run if is_expected else None
