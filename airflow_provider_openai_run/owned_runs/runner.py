"""The one owner of a run that a task creates: from finding or creating it to its result."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from airflow.providers.common.compat.sdk import AirflowException, AirflowTaskTimeout

from airflow_provider_openai_run.airflow_errors import fail_without_retry
from airflow_provider_openai_run.api import calls
from airflow_provider_openai_run.api.registry import api_of, author_ids, ref_of
from airflow_provider_openai_run.cancellation import CANCEL_REASON_KEY, CancelReason, cancel
from airflow_provider_openai_run.exceptions import (
    AnswerFormatError,
    OpenAIRunError,
    RunRequestError,
    RunWaitTimeoutError,
)
from airflow_provider_openai_run.owned_runs.human_input import HumanInput
from airflow_provider_openai_run.owned_runs.identity import RunIdentity
from airflow_provider_openai_run.owned_runs.resolver import RunResolver
from airflow_provider_openai_run.owned_runs.results import RunResults, timeout_error
from airflow_provider_openai_run.owned_runs.rounds import build_round
from airflow_provider_openai_run.owned_runs.state import Continuation, TaskRunState
from airflow_provider_openai_run.owned_runs.tool_round import RoundFailedError, ToolRound
from airflow_provider_openai_run.owned_runs.tools import pending_calls
from airflow_provider_openai_run.polling.policy import PollAgain, RunPoller
from airflow_provider_openai_run.triggers.openai_run import OpenAIOwnedRunTrigger, OpenAIRunTrigger
from airflow_provider_openai_run.types.json import Json
from airflow_provider_openai_run.types.outcome import Outcome
from airflow_provider_openai_run.types.run import Run
from airflow_provider_openai_run.types.status import RunState, classify_status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook
    from airflow_provider_openai_run.owned_runs.config import OwnedRunConfig, TaskInterface
    from airflow_provider_openai_run.owned_runs.human_form import HumanInputForm
    from airflow_provider_openai_run.types.run_ref import RunRef

#: The attributes of a run that has ended, or where to continue.
Progress: TypeAlias = dict[str, Json] | Continuation


class OwnedRunRunner:
    """
    Take the run of a task from its creation to its result; the one owner of its state.

    ::

        resolve ─► announce ─► poll ─► defer ─► poll … ─► push everything, return or raise
                                ▲         requires an action: a person (parked), then functions
                                └─────────────────────────── submit ◄───────────────────┘

    :param config: the task's options.
    :param task: the running task.
    """

    def __init__(self, config: OwnedRunConfig, task: TaskInterface) -> None:
        self._config = config
        self._task = task
        self._identity = RunIdentity.of(task.context)
        self._state = TaskRunState(task.context, self._identity)
        self._adapter = config.new_adapter(config.get_hook, self._identity, self._state)
        self._adapter.restore()
        self._resolver = RunResolver(config, task, self._adapter, self._identity, self._state)
        self._results = RunResults(config, task, self._adapter)
        self._current: Continuation | None = None

    @property
    def _hook(self) -> OpenAIRunHook:
        return self._config.hook

    def start(self, started_at: float) -> dict[str, Json]:
        """
        Find or create the run, and take it to its end if ``wait_for_completion`` is set.

        :param started_at: when the try began, in epoch seconds.
        :return: the attributes of the run, and ``answer``.
        """
        with self._cancelling_on_execution_timeout():
            run, is_owned = self._resolver.resolve(started_at)
            continuation = Continuation(
                **ref_of(run).ids,
                started_at=started_at,
                is_owned=is_owned,
                tokens_used=self._state.record.tokens_used,
                rounds=self._state.record.rounds,
                run_ids=(run.id,),
            )
            self._announce(continuation)
            if not self._config.wait_for_completion:
                return {**run.to_xcom(), "answer": None, "refusal": None}
            progress: Progress = continuation
            is_complete = run.is_terminal and run.steps is not None
            if is_complete and not api_of(continuation.ref).capabilities.lists_steps:
                # It was created complete, and may not be stored, so it is not retrieved again.
                progress = self._advance(
                    run, Outcome.from_run(run, continuation.ref, secrets=self._hook.secrets), continuation
                )
            return self._run_to_completion(progress)

    def resume(self, continuation: Continuation, outcome: Outcome | None) -> dict[str, Json]:
        """
        Continue after a deferral.

        :param continuation: where.
        :param outcome: how the wait has ended; None continues to wait.
        """
        with self._cancelling_on_execution_timeout():
            return self._run_to_completion(
                continuation if outcome is None else self._on_event(outcome, continuation)
            )

    def resume_answered(
        self, continuation: Continuation, form: HumanInputForm, event: dict[str, Any]
    ) -> dict[str, Json]:
        """
        Continue after a person has answered, rightly or wrongly.

        :param continuation: where.
        :param form: what the person saw.
        :param event: what Airflow resumed the task with.
        """
        continuation = HumanInput(self._config, self._task).read(event, form, continuation)
        return self.resume(continuation, Outcome(ref=continuation.ref, status="requires_action"))

    def _on_event(self, outcome: Outcome, continuation: Continuation) -> Progress:
        """Return the attributes if the run has ended, else where to continue."""
        self._follow(continuation)
        if outcome.error is not None:
            reason = self._config.timeout_reason(continuation.started_at)
            reason = CancelReason.STALLED if outcome.has_stalled else reason
            raise self._wait_failed(outcome.error, continuation, reason)
        run = self._task.take_kept_run(outcome)
        if run is not None:
            # The reason in the event is masked already, and needs no hook.
            return self._advance(run, outcome, continuation)
        self._show_link(continuation)
        run = self._retrieve(continuation.ref)
        has_ended_since = run.is_terminal and not classify_status(outcome.status).is_terminal
        if run.status == outcome.status or has_ended_since:
            outcome = Outcome.from_run(run, continuation.ref, outcome.request_id, secrets=self._hook.secrets)
        return self._advance(run, outcome, continuation)

    def human_input_timed_out(self, continuation: Continuation) -> OpenAIRunError:
        """
        Return the error for a request that no person has responded to in time.

        :param continuation: where the task stands.
        """
        message = f"No person responded in time to what {continuation.ref} waits for."
        error = RunWaitTimeoutError(message, **continuation.ref.ids)
        return self._wait_failed(error, continuation, CancelReason.NO_HUMAN_INPUT)

    def deferral_timed_out(self) -> None:
        """Cancel the run after Airflow itself has ended the deferral."""
        self._cancel_own(self._config.timeout_reason(time.time()))

    def _cancel_own(self, reason: CancelReason, known: RunRef | None = None) -> None:
        """Cancel the run of the task if it is active, whichever try created it; else the known one."""
        try:
            run = self._resolver.find_existing()
        except RunRequestError as error:
            message = "Could not find out which run to cancel (%s): %s"
            self._task.log.warning(message, reason.description, error.message)
            return
        if run is None and known is not None:
            self._cancel(known, reason)
        elif run is not None and not run.is_terminal:
            self._cancel(ref_of(run), reason)

    def _run_to_completion(self, progress: Progress) -> dict[str, Json]:
        while isinstance(progress, Continuation):
            self._follow(progress)
            poller = RunPoller(progress.ref, self._config.poll_options_from(progress.started_at))
            outcome = self._poll(poller)
            if outcome is None:
                self._defer(poller, progress)
            progress = self._on_event(outcome, progress)
        return progress

    def _poll(self, poller: RunPoller) -> Outcome | None:
        """Poll the run, once if the task is deferrable; return None if the wait is not over."""
        while True:
            decision = self._hook.poll_once(poller)
            self._task.push_progress(decision)
            if isinstance(decision, Outcome):
                return decision
            if self._config.deferrable:
                return None
            time.sleep(max(0.0, decision.at - time.time()))

    def _defer(self, poller: RunPoller, continuation: Continuation) -> NoReturn:
        may_cancel = continuation.is_owned and self._config.cancel_on_kill
        trigger_class = OpenAIOwnedRunTrigger if may_cancel else OpenAIRunTrigger
        self._task.log.info("Deferring until %s has ended or requires an action", poller.ref)
        self._task.defer(
            trigger_class.from_poller(
                self._config.conn_id,
                poller,
                push_progress=self._config.push_progress,
                keep_result=self._config.keep_result,
            ),
            method_name="execute_complete",
            kwargs={"continuation": continuation.to_json()},
            started_at=continuation.started_at,
        )

    def _announce(self, continuation: Continuation) -> None:
        """Push the ids and the link of a run before it is waited for."""
        self._follow(continuation)
        self._show_link(continuation, push=True)
        self._task.push_xcoms(author_ids(continuation.ref))

    def _show_link(self, continuation: Continuation, *, push: bool = False) -> None:
        self._task.show_link(self._hook.run_url(continuation.ref), push=push)

    def _follow(self, continuation: Continuation) -> None:
        """Make a run the one that is cancelled if the task is killed."""
        self._current = continuation
        guard, ref = self._config.kill_guard, continuation.ref
        may_cancel = continuation.is_owned and self._config.cancel_on_kill
        guard.watch(ref if may_cancel else None)
        if guard.was_killed and may_cancel:
            # The task was killed while it had no run to cancel.
            self._cancel(ref, CancelReason.WORKER_KILLED)

    def _retrieve(self, ref: RunRef) -> Run:
        return self._hook.execute_call(calls.get_run(ref, include=self._config.include), ref)

    def _advance(self, run: Run, outcome: Outcome, continuation: Continuation) -> Progress:
        state = classify_status(outcome.status)
        requires_action = self._requires_action(run, state)
        if requires_action and self._config.on_requires_action in ("answer", "fail"):
            return self._answer(run, continuation)
        if not requires_action and not state.is_terminal:
            return continuation
        if state.is_terminal and state is not RunState.SUCCEEDED:
            raise self._results.failure(run, outcome, continuation)
        try:
            return self._results.success(run, continuation)
        except AnswerFormatError:
            self._state.abandon(run.id)
            raise

    def _requires_action(self, run: Run, state: RunState) -> bool:
        if run.state is RunState.NEEDS_ACTION:
            return not state.is_terminal
        has_successor = api_of(ref_of(run)).capabilities.answers_in_successor
        return has_successor and run.is_successful and bool(pending_calls(run))

    def _answer(self, run: Run, continuation: Continuation) -> Continuation:
        """Answer the calls of one round, and return where to continue."""
        tokens_used = self._adapter.tokens_used(run) or 0
        tool_round = ToolRound(self._config, self._task, run, continuation)
        try:
            tool_round.check(continuation.tokens_used + tokens_used)
            # A function can take long, and a parked task has no trigger that would push it.
            self._task.push_progress(PollAgain(time.time(), run=run))
            # Before any function is called: the task is resumed in another process.
            tool_round.wait_for_people()
            outputs, approvals = tool_round.outputs(), tool_round.approvals()
        except RoundFailedError as failed:
            error = self._give_up(run, continuation, failed.error, failed.reason)
            raise error if failed.may_retry else fail_without_retry(error) from failed.__cause__
        except AirflowException:
            self._cancel(continuation.ref, CancelReason.TOOL_ENDED_TASK)
            raise
        self._config.kill_guard.raise_if_killed()
        successor = self._adapter.submit(run, outputs, approvals)
        self._task.push_round(
            build_round(
                run,
                tool_round.pending,
                {**outputs, **approvals},
                answered_by_person=[call.id for call in tool_round.for_people],
                secrets=self._hook.secrets,
            )
        )
        is_same_run = successor.id == run.id
        continuation = continuation.next_round(successor, tokens_used=0 if is_same_run else tokens_used)
        self._state.update(
            **continuation.ref.ids, tokens_used=continuation.tokens_used, rounds=continuation.rounds
        )
        if not is_same_run:
            self._announce(continuation)
        return continuation

    def _give_up(
        self, run: Run, continuation: Continuation, error: OpenAIRunError, reason: CancelReason
    ) -> OpenAIRunError:
        """Push everything, cancel the run, and return the error with the run's ids and status."""
        ref = continuation.ref
        self._results.push_all(run, continuation)
        self._state.abandon(run.id)
        is_cancelled = continuation.is_owned and not run.is_terminal and self._cancel(ref, reason)
        return type(error)(
            f"{error.summary} The run was cancelled." if is_cancelled else error.summary,
            **ref.ids,
            status=run.status,
            run_left_running=not run.is_terminal and not is_cancelled,
        )

    def _wait_failed(
        self, error: OpenAIRunError, continuation: Continuation, reason: CancelReason
    ) -> OpenAIRunError:
        """Return the error of a wait; after a timeout, cancel the run if allowed, and push everything."""
        if not isinstance(error, RunWaitTimeoutError):
            return error
        is_cancelled = False
        if continuation.is_owned and self._config.cancel_on_timeout:
            is_cancelled = self._cancel(continuation.ref, reason)
            self._state.abandon(continuation.run_id)
        try:
            self._results.push_all(self._retrieve(continuation.ref), continuation)
        except RunRequestError as request_error:
            message = "Could not retrieve %s after the timeout: %s"
            self._task.log.warning(message, continuation.ref, request_error.message)
        return timeout_error(error, continuation.ref, is_cancelled=is_cancelled)

    def _cancel(self, ref: RunRef, reason: CancelReason) -> bool:
        """Cancel a run, and push why; return False if it may still be running."""
        is_cancelled = cancel(lambda: self._hook, ref, reason)
        if is_cancelled:
            self._task.push_xcoms({CANCEL_REASON_KEY: reason.value})
        return is_cancelled

    @contextmanager
    def _cancelling_on_execution_timeout(self) -> Iterator[None]:
        """Cancel the run at Airflow's ``execution_timeout``, and keep ``on_kill`` from doing it as a kill."""
        try:
            yield
        except AirflowTaskTimeout:
            current, self._current = self._current, None
            self._config.kill_guard.watch(None)
            if self._config.cancel_on_timeout and (current is None or current.is_owned):
                self._cancel_own(CancelReason.EXECUTION_TIMEOUT, current.ref if current else None)
            raise
