"""Find the run that a try must continue, or create one; never a second one where that can be avoided."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING

from airflow_provider_openai_run.airflow_errors import fail_without_retry
from airflow_provider_openai_run.api import calls, retries
from airflow_provider_openai_run.api.registry import ref_of
from airflow_provider_openai_run.cancellation import CancelReason, cancel
from airflow_provider_openai_run.exceptions import RunNotFoundError, RunRequestError, ThreadBusyError
from airflow_provider_openai_run.owned_runs.attempts import delay_before
from airflow_provider_openai_run.polling.policy import RunPoller
from airflow_provider_openai_run.triggers.openai_run import OpenAIRunTrigger
from airflow_provider_openai_run.types.outcome import Outcome

if TYPE_CHECKING:
    from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook
    from airflow_provider_openai_run.owned_runs.adapters import ApiAdapter
    from airflow_provider_openai_run.owned_runs.config import OwnedRunConfig, TaskInterface
    from airflow_provider_openai_run.owned_runs.identity import RunIdentity
    from airflow_provider_openai_run.owned_runs.state import TaskRunState
    from airflow_provider_openai_run.types.run import Run
    from airflow_provider_openai_run.types.run_ref import RunRef

#: How often a run may be refused because of an active run that is not listed, before the task fails.
_MAX_BUSY_REFUSALS = 8


class RunResolver:
    """
    Find or create the run of a task.

    A run that is active, waits for something or has completed is continued. One that ended otherwise is what
    a retry is for: the retry creates another.

    :param config: the task's options.
    :param task: the running task.
    :param adapter: the API.
    :param identity: the task instance that owns the run.
    :param state: what earlier tries have left.
    """

    def __init__(
        self,
        config: OwnedRunConfig,
        task: TaskInterface,
        adapter: ApiAdapter,
        identity: RunIdentity,
        state: TaskRunState,
    ) -> None:
        self._config = config
        self._task = task
        self._adapter = adapter
        self._identity = identity
        self._state = state

    @property
    def _hook(self) -> OpenAIRunHook:
        return self._config.hook

    def resolve(self, started_at: float) -> tuple[Run, bool]:
        """
        Return the run of this try, and whether the task owns it.

        :param started_at: when the try began, in epoch seconds.
        :raises ThreadBusyError: if a run of another owner is active on the thread and ``on_active_run`` is
            ``"fail"``.
        :raises RunRequestError: if the API refuses, or its response was lost and no run was created.
        """
        refusals = 0
        self._cancel_given_up()
        while True:
            if run := self.find_existing():
                self._task.log.info("Continuing run %s of an earlier try; it is %s", run.id, run.status)
                return run, True
            if self._config.cancel_on_kill and (orphan := self.find_orphan_before_clear()):
                cancel(lambda: self._hook, ref_of(orphan), CancelReason.TASK_CLEARED)
            blocking = self.find_blocking_run()
            if blocking is None:
                self._config.kill_guard.raise_if_killed()
                try:
                    return self._adapter.create(), True
                except RunRequestError as error:
                    if run := self._find_created(error):
                        return run, True
                    refusals += 1
                    blocking = self._find_after_refusal(error, refusals, started_at)
            if blocking is not None:
                if self._config.on_active_run == "attach" and not self._identity.is_same_task(blocking):
                    self._task.log.info(
                        "Attaching to run %s, which is never cancelled by this task", blocking.id
                    )
                    return blocking, False
                self._wait_for_free_thread(blocking, started_at)

    def find_existing(self) -> Run | None:
        """Return the run that an earlier try created and this one must continue; None if there is none."""
        ref = self._state.record.ref
        if ref is not None:
            run = self._retrieve(ref)
            if run is not None:
                return run if self._is_continued(run) else None
        own = (run for run in self._adapter.list_candidates() if self._identity.matches(run))
        return next((run for run in own if self._is_continued(run)), None)

    def _is_continued(self, run: Run) -> bool:
        is_usable = not run.is_terminal or run.is_successful
        return is_usable and run.id not in self._state.record.abandoned

    def _cancel_given_up(self) -> None:
        """Cancel the run that an earlier try gave up, if that try could not: nothing else would."""
        ref = self._state.record.ref
        if ref is None or ref.run_id not in self._state.record.abandoned:
            return
        run = self._retrieve(ref)
        if run is not None and not run.is_terminal and self._identity.is_same_task(run):
            cancel(lambda: self._hook, ref, CancelReason.GIVEN_UP_BEFORE)

    def find_orphan_before_clear(self) -> Run | None:
        """Return the run that the task created before it was cleared, if it is still active."""
        ref = self._state.before_clear.ref
        if ref is not None:
            run = self._retrieve(ref)
            return None if run is None or run.is_terminal else run
        return next(
            (
                run
                for run in self._adapter.list_candidates()
                if self._identity.is_same_task(run)
                and not self._identity.matches(run)
                and not run.is_terminal
            ),
            None,
        )

    def find_blocking_run(self) -> Run | None:
        """Return the active run that keeps the thread busy; None if a run can be created."""
        return next((run for run in self._adapter.list_candidates() if not run.is_terminal), None)

    def _find_created(self, error: RunRequestError) -> Run | None:
        """Return the run that a request created although its response was lost; None if there is none."""
        if not retries.may_have_created(error):
            return None
        own = (run for run in self._adapter.list_candidates() if self._identity.matches(run))
        run = next((run for run in own if not run.is_terminal), None)
        if run is not None:
            self._task.log.warning("The response was lost, but the run was created: %s", run.id)
            self._state.record_created(ref_of(run))
        return run

    def _find_after_refusal(self, error: RunRequestError, refusals: int, started_at: float) -> Run | None:
        """Return the active run because of which the API refused; None if it is not listed: try again."""
        if not retries.is_thread_busy(error):
            raise self._explain(error) from error
        blocking = self.find_blocking_run()
        if blocking is not None:
            return blocking
        delay = delay_before(refusals, error)
        deadline = self._config.deadline(started_at)
        is_too_late = deadline is not None and time.time() + delay > deadline
        if self._config.on_active_run == "fail" or is_too_late or refusals >= _MAX_BUSY_REFUSALS:
            message = f"The thread has an active run, which its list of runs does not show: {error.message}"
            raise self._busy_error(message, error) from error
        self._task.log.warning("%s. Checking the thread again in %.1f s", error.message.rstrip("."), delay)
        time.sleep(delay)
        return None

    def _busy_error(self, message: str, error: RunRequestError) -> ThreadBusyError:
        return ThreadBusyError(
            message,
            api=self._adapter.api,
            parent_id=self._adapter.parent_id,
            code=error.code,
            request_id=error.request_id,
            http_status=error.http_status,
        )

    def _explain(self, error: RunRequestError) -> Exception:
        if not retries.is_final(error):
            return error
        message = f"No run was created. {error.message}"
        if isinstance(error, RunNotFoundError):
            message += " The assistant, the model or the previous response may be unknown to the API too."
        error.summary = error.message = message
        error.args = (message,)
        return fail_without_retry(error)

    def _wait_for_free_thread(self, blocking: Run, started_at: float) -> None:
        """Wait until the thread is free, deferred if the task is deferrable; or refuse to wait."""
        ref = ref_of(blocking)
        if self._config.on_active_run != "wait" and not self._identity.is_same_task(blocking):
            way_out = "Set on_active_run='wait' to run after it, or 'attach' to follow it."
            message = (
                f"{ref} is active ({blocking.status}), and a thread has one active run at a time. {way_out}"
            )
            raise ThreadBusyError(message, **ref.ids, status=blocking.status)
        self._task.log.info("Waiting until %s, which is active on the thread, has ended", ref)
        options = dataclasses.replace(self._config.poll_options_from(started_at), on_requires_action="wait")
        poller = RunPoller(ref, options)
        decision = (
            self._hook.poll_once(poller) if self._config.deferrable else self._hook.poll_until_done(poller)
        )
        if not isinstance(decision, Outcome):
            self._task.defer(
                # Without progress: the run's page shows the task's own run, not this one.
                OpenAIRunTrigger.from_poller(self._config.conn_id, poller, push_progress=False),
                method_name="execute_on_free_thread",
                kwargs={"started_at": started_at},
                started_at=started_at,
            )
        decision.raise_if_wait_failed()

    def _retrieve(self, ref: RunRef) -> Run | None:
        try:
            return self._hook.execute_call(calls.get_run(ref, include_steps=False), ref)
        except RunNotFoundError:
            return None
