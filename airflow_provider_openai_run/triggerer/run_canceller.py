"""
Cancel the runs of a deferred task that a user has ended; and only then.

Airflow calls ``on_kill`` of a trigger that was taken from its triggerer. On Airflow 3.3.0 to 3.3.2 that also
happens when a slow triggerer lost its triggers to another one, while the tasks are still deferred, or resume
because the other one has sent the event. So the task's state is read first. Airflow also interrupts
``on_kill`` once a second. So the work is done in a task of its own, which only the end of the triggerer
interrupts.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from airflow_provider_openai_run.api import calls
from airflow_provider_openai_run.api.calls import execute_call_async
from airflow_provider_openai_run.api.http import parse_or_raise
from airflow_provider_openai_run.api.retries import is_retried
from airflow_provider_openai_run.cancellation import CancelReason, logging_result
from airflow_provider_openai_run.exceptions import RunRequestError
from airflow_provider_openai_run.triggerer.connection_poller import open_ad_hoc_requests
from airflow_provider_openai_run.triggerer.task_states import has_ended

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_openai_run.api.base import Request
    from airflow_provider_openai_run.task_xcoms import TaskInstanceKey
    from airflow_provider_openai_run.triggerer.ad_hoc_requests import AdHocRequests
    from airflow_provider_openai_run.types.json import Json
    from airflow_provider_openai_run.types.run import Run
    from airflow_provider_openai_run.types.run_ref import RunRef

#: How long to ask Airflow for the task's state, and how long to try to cancel the run, in seconds.
STATE_TIMEOUT = 120.0
CANCEL_TIMEOUT = 300.0
#: The first and the longest pause between two tries, in seconds.
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 15.0

#: How many runs of a task are cancelled at a time, and how long to try, in seconds.
_MAX_CANCELS = 16
_CANCEL_ALL_TIMEOUT = 1800.0

_under_way: set[asyncio.Task[None]] = set()


async def cancel_if_task_ended(
    conn_id: str, ref: RunRef, task_instance: TaskInstanceKey | None, logger: logging.Logger
) -> None:
    """
    Cancel a run if its task has ended; for ``on_kill`` of a trigger.

    What was begun is finished although Airflow interrupts the caller. If Airflow cannot say whether the task
    has ended, the run is not cancelled, and the log says so.

    :param conn_id: the OpenAI connection.
    :param ref: the run.
    :param task_instance: the task; None cancels without asking.
    :param logger: the trigger's own, which writes to the task's log.
    """
    await cancel_all_if_task_ended(conn_id, [ref], task_instance, logger)


async def cancel_all_if_task_ended(
    conn_id: str, refs: Sequence[RunRef], task_instance: TaskInstanceKey | None, logger: logging.Logger
) -> None:
    """
    Cancel the runs of a task if it has ended; see :func:`cancel_if_task_ended`.

    :param conn_id: the OpenAI connection.
    :param refs: the runs; some are cancelled at a time, as fast as the connection's rate limiter allows.
    :param task_instance: the task; None cancels without asking.
    :param logger: the trigger's own, which writes to the task's log.
    """
    if not refs:
        return
    work = asyncio.create_task(_cancel_if_task_ended(conn_id, refs, task_instance, logger))
    _under_way.add(work)
    work.add_done_callback(_under_way.discard)
    await asyncio.shield(work)


async def _cancel_if_task_ended(
    conn_id: str, refs: Sequence[RunRef], task_instance: TaskInstanceKey | None, logger: logging.Logger
) -> None:
    what = str(refs[0]) if len(refs) == 1 else f"{len(refs)} runs"
    try:
        if task_instance is not None and not await _has_ended(task_instance, what, logger):
            return
        requests = open_ad_hoc_requests(conn_id)
        try:
            if len(refs) == 1:
                await _cancel_one(requests, refs[0], logger)
            else:
                await _cancel_all(requests, refs, logger)
        finally:
            requests.close()
    except asyncio.CancelledError:
        logger.warning("The triggerer stopped before it could cancel %s, which may still be running", what)
        raise


async def _cancel_one(requests: AdHocRequests, ref: RunRef, logger: logging.Logger) -> None:
    with logging_result(ref, CancelReason.USER_ENDED_TASK, logger) as result:
        async with asyncio.timeout(CANCEL_TIMEOUT):
            result.run = await _cancel(requests, ref)


async def _cancel_all(requests: AdHocRequests, refs: Sequence[RunRef], logger: logging.Logger) -> None:
    """Cancel many runs, with one line in the log for all that were cancelled, and one for the others."""
    slots = asyncio.Semaphore(_MAX_CANCELS)

    async def cancel(ref: RunRef) -> Run:
        async with slots:
            return await _cancel(requests, ref)

    tasks = [asyncio.create_task(cancel(ref)) for ref in refs]
    try:
        await asyncio.wait(tasks, timeout=_CANCEL_ALL_TIMEOUT)
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    failed = [(ref, each) for ref, each in zip(refs, results, strict=True) if isinstance(each, BaseException)]
    reason = CancelReason.USER_ENDED_TASK.description
    logger.info("Cancelled %s of %s runs: %s", len(refs) - len(failed), len(refs), reason)
    if failed:
        ref, error = failed[0]
        message = (
            "Could not cancel %s of %s runs, which may still be running and use tokens; the first, %s: %s"
        )
        logger.warning(message, len(failed), len(refs), ref, getattr(error, "message", type(error).__name__))


async def _has_ended(task_instance: TaskInstanceKey, what: str, logger: logging.Logger) -> bool:
    pause = _FIRST_PAUSE
    try:
        async with asyncio.timeout(STATE_TIMEOUT):
            while True:
                try:
                    is_ended = await has_ended(task_instance)
                    break
                except Exception as error:  # noqa: BLE001 - Airflow may raise anything while its database is away
                    logger.info("Airflow does not say whether the task was ended, asking it again: %s", error)
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, _LONGEST_PAUSE)
    except TimeoutError:
        message = "Airflow did not say whether the task was ended, so %s was not cancelled and may be running"
        logger.warning(message, what)
        return False
    if not is_ended:
        logger.info(
            "The task continues elsewhere, in another triggerer or on a worker; %s was not cancelled", what
        )
    return is_ended


async def _cancel(requests: AdHocRequests, ref: RunRef) -> Run:
    async def send(request: Request) -> dict[str, Json]:
        response = await requests.send(request, ref)
        return parse_or_raise(response, request, ref, now=time.time(), base_url=requests.base_url)

    pause = _FIRST_PAUSE
    while True:
        try:
            return await execute_call_async(calls.cancel_unless_ended(ref), send)
        except RunRequestError as error:
            if not is_retried(error, "cancel"):
                raise
            await asyncio.sleep(max(pause, error.retry_after or 0.0))
            pause = min(2 * pause, _LONGEST_PAUSE)
