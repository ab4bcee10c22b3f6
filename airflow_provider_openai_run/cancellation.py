"""Ending a run as well as one can: whatever goes wrong is logged and hides no other error."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from airflow_provider_openai_run.api import calls
from airflow_provider_openai_run.api.retries import may_have_ended
from airflow_provider_openai_run.exceptions import RunRequestError

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook
    from airflow_provider_openai_run.types.run_ref import RunRef

log = logging.getLogger(__name__)

#: How long a task that is being killed may take to cancel its run, in seconds: Airflow gives it five.
SECONDS_WHEN_KILLED = 4.0

#: How long a trigger may take, in seconds: Airflow gives it thirty.
SECONDS_IN_THE_TRIGGERER = 25.0


def cancel(hook: OpenAIRunHook, ref: RunRef, why: str) -> None:
    """
    Cancel a run.

    :param hook: where.
    :param ref: the run.
    :param why: for the log.
    """
    try:
        run = hook.execute_call(calls.cancel_run(ref), ref)
    except RunRequestError as error:
        log_failure(error, ref)
    except Exception:  # a failed cancel must not hide what it was cancelled for
        log.exception("Could not cancel %s: it may still go on and use tokens", ref)
    else:
        log.info("Cancelled %s (%s); it is %s", ref, why, run.status)


def cancel_on_worker_kill(get_hook: Callable[[], OpenAIRunHook], ref: RunRef) -> None:
    """
    Cancel a run from the handler of the signal that ends the task.

    :param get_hook: gives the hook; the signal may have come while its module was imported.
    :param ref: the run.
    """
    try:
        get_hook().cancel_run_from_signal_handler(ref, timeout=SECONDS_WHEN_KILLED)
    except RunRequestError as error:
        log_failure(error, ref)
    except Exception:  # the task ends all the same
        log.exception("Could not cancel %s: it may still go on and use tokens", ref)
    else:
        log.info("Cancelled %s: its task was killed", ref)


async def cancel_on_kill_async(conn_id: str, ref: RunRef, logger: logging.Logger) -> None:
    """
    Cancel a run whose deferred task was ended by a user.

    :param conn_id: the OpenAI connection.
    :param ref: the run.
    :param logger: the trigger's own, which writes into the task's log.
    """
    hook = await asyncio.to_thread(_new_hook, conn_id)
    try:
        async with asyncio.timeout(SECONDS_IN_THE_TRIGGERER):
            await hook.execute_call_async(calls.cancel_run(ref), ref)
    except RunRequestError as error:
        log_failure(error, ref, logger)
    except Exception:  # the task has ended all the same
        logger.exception("Could not cancel %s: it may still go on and use tokens", ref)
    else:
        logger.info("Cancelled %s: a user ended its task", ref)


def _new_hook(conn_id: str) -> OpenAIRunHook:
    from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook

    return OpenAIRunHook(conn_id)


def log_failure(error: RunRequestError, ref: RunRef, logger: logging.Logger = log) -> None:
    """
    Log that a run could not be cancelled; a run that has ended need not be.

    :param error: the API's answer.
    :param ref: the run.
    :param logger: where.
    """
    if may_have_ended(error):
        logger.info(
            "%s was not cancelled; it has ended, or is being cancelled already: %s", ref, error.message
        )
    else:
        logger.warning("Could not cancel %s, which may still go on and use tokens: %s", ref, error.message)
