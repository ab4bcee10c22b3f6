"""The start of a try: which run it is to follow, and what to do about a thread that is busy."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_provider_openai_run.airflow_errors import fail_without_retry
from airflow_provider_openai_run.api.registry import ref_of
from airflow_provider_openai_run.cancellation import cancel
from airflow_provider_openai_run.exceptions import RunRequestError, ThreadBusyError
from airflow_provider_openai_run.owned_runs.making import RunMaker
from airflow_provider_openai_run.polling.policy import RunPoller
from airflow_provider_openai_run.triggers.openai_run import OpenAIRunTrigger
from airflow_provider_openai_run.types.outcome import Outcome
from airflow_provider_openai_run.types.run_ref import RunRef

if TYPE_CHECKING:
    from airflow_provider_openai_run.operators._owned_run import OwnedRunOperator
    from airflow_provider_openai_run.owned_runs.runner import OwnedRunRunner
    from airflow_provider_openai_run.types.run import Run

#: Refusals of a request that would meet it again.
_NOT_FOUND = 404
_REFUSALS = frozenset({400, _NOT_FOUND, 422})


class RunResolver:
    """
    Finds the run that a try is to follow.

    :param task: the task.
    :param following: what comes afterwards.
    :param started_at: when the try began, in epoch seconds.
    """

    def __init__(self, task: OwnedRunOperator, following: OwnedRunRunner, started_at: float) -> None:
        self._task = task
        self._following = following
        self._started_at = started_at
        self._making = RunMaker(task.hook, following.runs, following.mark, following.memory)

    def find_or_make(self) -> tuple[Run, bool]:
        """Give the run, and whether the task has made it."""
        making, log = self._making, self._task.log
        while True:
            if run := making.own():
                log.info("Going on with run %s, which an earlier try has made; it is %s", run.id, run.status)
                return run, True
            if self._task.cancel_on_kill and (left_behind := making.left_behind()):
                cancel(self._task.hook, ref_of(left_behind), "the task was cleared")
            other = making.in_the_way()
            if other is None:
                return self._make(), True
            if self._task.on_active_run == "attach" and not making.is_its_own(other):
                log.info("Following run %s, which is active on the thread; it is not cancelled", other.id)
                return other, False
            self._wait_for_the_end_of(other)

    def cancel_own(self, why: str, followed: RunRef | None = None) -> None:
        """
        Cancel the run that the task has made, if it is still active.

        :param why: for the log.
        :param followed: the run that the task is known to have made, for where nothing is remembered.
        """
        run = self._making.own()
        if run is None and followed is not None:
            cancel(self._task.hook, followed, why)
        elif run is not None and not run.is_terminal:
            cancel(self._task.hook, ref_of(run), why)

    def _make(self) -> Run:
        self._task.refuse_if_killed()
        try:
            return self._making.make()
        except RunRequestError as error:
            if error.http_status not in _REFUSALS:
                raise
            error.message = f"No run was made. {error.message}"
            if error.http_status == _NOT_FOUND:
                error.message += " An assistant, a model or a previous response may be unknown there too."
            raise fail_without_retry(error) from error

    def _wait_for_the_end_of(self, other: Run) -> None:
        """Wait, deferred if the task may be; or refuse to."""
        task, ref = self._task, ref_of(other)
        if task.on_active_run != "wait" and not self._making.is_its_own(other):
            way_out = "Set on_active_run='wait' to run after it, or 'attach' to follow it."
            message = (
                f"{ref} is active ({other.status}), and a thread has one active run at a time. {way_out}"
            )
            raise ThreadBusyError(message, **ref.ids, status=other.status)
        task.log.info("Waiting for the end of %s, which keeps the thread busy", ref)
        options = task.poll_options_from(self._started_at)
        wait = RunPoller(ref, replace(options, started_at=time.time(), on_requires_action="wait"))
        decision = task.hook.poll_once(wait) if task.deferrable else task.hook.poll_until_done(wait)
        if not isinstance(decision, Outcome):
            task.defer(
                # The page shows the task's own run, not this one.
                trigger=OpenAIRunTrigger.for_wait(task.conn_id, wait, publish=False),
                method_name="execute_on_free_thread",
                kwargs={"started_at": self._started_at},
                timeout=self._following.left(self._started_at),
            )
        if decision.error is not None:
            raise decision.error
