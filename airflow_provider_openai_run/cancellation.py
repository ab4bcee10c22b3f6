"""Cancel a run that a task has created: who does it, why, and how.

Cancelling is best effort: a failure is logged, and never hides the error for which the run is cancelled.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING

from airflow_provider_openai_run.api import calls
from airflow_provider_openai_run.exceptions import OpenAIRunError, RunRequestError
from airflow_provider_openai_run.types.status import RunState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook
    from airflow_provider_openai_run.types.run import Run
    from airflow_provider_openai_run.types.run_ref import RunRef

log = logging.getLogger(__name__)

#: The XCom that holds the reason, a value of :class:`CancelReason`, of a task that has cancelled its run.
CANCEL_REASON_KEY = "cancel_reason"

#: How long cancelling may take in a task that is being killed, in seconds: Airflow allows five.
WORKER_KILL_TIMEOUT = 4.0


class CancelReason(StrEnum):
    """Who cancelled a run, and why."""

    USER_ENDED_TASK = "user_ended_task"
    WORKER_KILLED = "worker_killed"
    TASK_CLEARED = "task_cleared"
    GIVEN_UP_BEFORE = "given_up_before"
    TIMEOUT = "timeout"
    EXECUTION_TIMEOUT = "execution_timeout"
    STALLED = "stalled"
    NO_HUMAN_INPUT = "no_human_input"
    WRONG_HUMAN_INPUT = "wrong_human_input"
    REQUIRES_ACTION = "requires_action"
    UNANSWERABLE_REQUEST = "unanswerable_request"
    TOOL_FAILED = "tool_failed"
    TOOL_ENDED_TASK = "tool_ended_task"
    MAX_TOOL_ROUNDS = "max_tool_rounds"
    TOKEN_BUDGET = "token_budget"  # noqa: S105 - not a password

    @property
    def description(self) -> str:
        """The reason as a clause, for the log and the run's page."""
        return _DESCRIPTIONS[self]


_DESCRIPTIONS = {
    CancelReason.USER_ENDED_TASK: "a user marked the deferred task failed or success, or cleared it",
    CancelReason.WORKER_KILLED: "a user ended the running task, or its worker was shut down",
    CancelReason.TASK_CLEARED: "the task was cleared, and creates another run",
    CancelReason.GIVEN_UP_BEFORE: "an earlier try gave it up, and could not cancel it then",
    CancelReason.TIMEOUT: "the task's timeout passed (cancel_on_timeout=True)",
    CancelReason.EXECUTION_TIMEOUT: "the task's execution_timeout passed (cancel_on_timeout=True)",
    CancelReason.STALLED: "it did not change for stalled_after (cancel_on_timeout=True)",
    CancelReason.NO_HUMAN_INPUT: "no person responded before the timeout (cancel_on_timeout=True)",
    CancelReason.WRONG_HUMAN_INPUT: "the answers of a person did not fit what it waits for",
    CancelReason.REQUIRES_ACTION: "it requires an action, and on_requires_action is 'fail'",
    CancelReason.UNANSWERABLE_REQUEST: "it requires an action that this task cannot perform",
    CancelReason.TOOL_FAILED: "a function of tool_handlers failed",
    CancelReason.TOOL_ENDED_TASK: "a function of tool_handlers ended the task",
    CancelReason.MAX_TOOL_ROUNDS: "it used up max_tool_rounds",
    CancelReason.TOKEN_BUDGET: "it used up its token_budget",
}


def cancel(get_hook: Callable[[], OpenAIRunHook], ref: RunRef, reason: CancelReason) -> bool:
    """
    Cancel a run from a worker.

    :param get_hook: returns the hook; a signal may have come while its module was being imported.
    :param ref: the run.
    :param reason: why. ``WORKER_KILLED`` means that this is called from the handler of a signal, where no
        connection of the interrupted code can be used.
    :return: False if the run may still be running.
    """
    with logging_result(ref, reason, log) as result:
        hook = get_hook()
        if reason is CancelReason.WORKER_KILLED:
            result.run = hook.cancel_run_from_signal_handler(ref, timeout=WORKER_KILL_TIMEOUT)
        else:
            result.run = hook.execute_call(calls.cancel_unless_ended(ref), ref)
    return result.is_cancelled


class CancelResult:
    """Whether a run was cancelled, or has ended."""

    #: The run after its cancellation; None if it may still be running.
    run: Run | None = None

    @property
    def is_cancelled(self) -> bool:
        """Whether the run is being cancelled, or has ended."""
        return self.run is not None


@contextmanager
def logging_result(ref: RunRef, reason: CancelReason, logger: logging.Logger) -> Iterator[CancelResult]:
    """
    Log what becomes of the cancel that the block attempts; whatever it raises is logged and not raised.

    :param ref: the run.
    :param reason: why.
    :param logger: where.
    """
    result = CancelResult()
    try:
        yield result
    except RunRequestError as error:
        message = "Could not cancel %s (%s), which may still be running and use tokens: %s"
        logger.warning(message, ref, reason.description, error.message)
    except Exception:  # the task ends in any case
        message = "Could not cancel %s (%s): it may still be running and use tokens"
        logger.exception(message, ref, reason.description)
    else:
        run = result.run
        if run is not None and run.is_terminal and run.state is not RunState.CANCELLED:
            message = "%s was not cancelled (%s): it has ended as %s"
            logger.info(message, ref, reason.description, run.status)
        else:
            logger.info("Cancelled %s: %s", ref, reason.description)


class KillGuard:
    """The run that must be cancelled if Airflow kills the running task; and whether it has."""

    def __init__(self) -> None:
        self.was_killed = False
        self._ref: RunRef | None = None

    def watch(self, ref: RunRef | None) -> None:
        """
        Set the run to cancel.

        :param ref: the run; None cancels nothing.
        """
        self._ref = ref

    def kill(self, get_hook: Callable[[], OpenAIRunHook]) -> None:
        """
        Cancel the run; for ``on_kill`` of the operator.

        :param get_hook: returns the hook.
        """
        self.was_killed = True
        if self._ref is not None:
            cancel(get_hook, self._ref, CancelReason.WORKER_KILLED)

    def raise_if_killed(self) -> None:
        """
        Keep a task that was killed from spending more: Airflow lets it run on until it dies.

        :raises OpenAIRunError: if it was killed.
        """
        if self.was_killed:
            raise OpenAIRunError("The task was killed: it creates no run and submits no output any more")
