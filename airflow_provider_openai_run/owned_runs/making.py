"""Finding the run a task has made already, or making one: never a second one where that can be helped."""

from __future__ import annotations

import dataclasses
import logging
from typing import TYPE_CHECKING

from airflow_provider_openai_run.api.registry import run_ref
from airflow_provider_openai_run.exceptions import RunRequestError
from airflow_provider_openai_run.owned_runs.adapters import find_run

if TYPE_CHECKING:
    from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook
    from airflow_provider_openai_run.owned_runs.adapters import ApiAdapter
    from airflow_provider_openai_run.owned_runs.identity import RunIdentity
    from airflow_provider_openai_run.owned_runs.state import TaskRunState
    from airflow_provider_openai_run.types.run import Run

log = logging.getLogger(__name__)


class RunMaker:
    """
    Finds or makes the run of a task.

    A run of the task is come back to while it is active, waits for something, or has completed. One that
    ended otherwise is what a retry is for: the retry makes another.

    :param hook: where.
    :param runs: what the API offers.
    :param mark: whose the run is.
    :param memory: what earlier tries have left.
    """

    def __init__(
        self, hook: OpenAIRunHook, runs: ApiAdapter, mark: RunIdentity, memory: TaskRunState
    ) -> None:
        self._hook = hook
        self._runs = runs
        self._mark = mark
        self._memory = memory

    def own(self) -> Run | None:
        """Give the run that an earlier try has made and this one is to follow; None if there is none."""
        run_id, thread_id = self._memory.get("run_id"), self._memory.get("thread_id")
        if run_id is not None:
            run = find_run(self._hook, run_ref(run_id, thread_id=thread_id))
            if run is not None:
                run = dataclasses.replace(run, thread_id=thread_id)
                return run if self._is_worth_it(run) else None
        return next(
            (run for run in self._runs.known() if self._mark.is_on(run) and self._is_worth_it(run)), None
        )

    def _is_worth_it(self, run: Run) -> bool:
        is_good = not run.is_terminal or run.is_successful
        return is_good and run.id not in self._memory.get("given_up", [])

    def in_the_way(self) -> Run | None:
        """Give the run that keeps the thread busy; None if a run can be made."""
        return next((run for run in self._runs.known() if not run.is_terminal), None)

    def left_behind(self) -> Run | None:
        """Give the run that the task made before it was cleared, if it is still active."""
        before = self._memory.before_clear
        if before.get("run_id") is None:
            known = self._runs.known()
            mine = (run for run in known if self._mark.is_of_the_same_task(run) and not self._mark.is_on(run))
            return next((run for run in mine if not run.is_terminal), None)
        run = find_run(self._hook, run_ref(before["run_id"], thread_id=before.get("thread_id")))
        if run is None or run.is_terminal:
            return None
        return dataclasses.replace(run, thread_id=before.get("thread_id"))

    def is_its_own(self, run: Run) -> bool:
        """Whether the task made a run, now or before it was cleared."""
        return self._mark.is_of_the_same_task(run)

    def make(self) -> Run:
        """
        Make a run.

        :raises RunRequestError: if the API refuses, or its answer was lost and no run can be found that came
            of the request.
        """
        try:
            return self._runs.make(self._mark, self._memory)
        except RunRequestError as error:
            run = self._made_all_the_same(error)
            if run is None:
                raise
        log.warning("The answer to the request was lost, but the run was made: %s", run.id)
        self._memory.made(run_id=run.id, thread_id=run.thread_id)
        return run

    def _made_all_the_same(self, error: RunRequestError) -> Run | None:
        """Look for the run of a request that may have been done though its answer says otherwise."""
        if error.http_status is not None and error.http_status < 500 and not error.is_retryable:
            return None
        return next(
            (run for run in self._runs.known() if self._mark.is_on(run) and not run.is_terminal), None
        )
