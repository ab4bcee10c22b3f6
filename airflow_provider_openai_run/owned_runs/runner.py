"""Following a run that a task has made: waiting, answering what it asks for, telling what came of it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NoReturn

from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_openai_run.airflow_errors import fail_without_retry
from airflow_provider_openai_run.api import calls
from airflow_provider_openai_run.api.registry import api_of, author_ids, ref_of
from airflow_provider_openai_run.cancellation import cancel
from airflow_provider_openai_run.exceptions import (
    AnswerFormatError,
    OpenAIRunError,
    RunRequestError,
    RunRequiresActionError,
    RunWaitTimeoutError,
    TokenBudgetSpentError,
    ToolCallError,
)
from airflow_provider_openai_run.links.openai_run import LINK_KEY
from airflow_provider_openai_run.owned_runs import human_input, results
from airflow_provider_openai_run.owned_runs.identity import RunIdentity
from airflow_provider_openai_run.owned_runs.state import TaskRunState
from airflow_provider_openai_run.owned_runs.tools import ToolRunner, pending_calls
from airflow_provider_openai_run.polling.policy import RunPoller
from airflow_provider_openai_run.triggers.openai_run import OpenAIOwnedRunTrigger, OpenAIRunTrigger
from airflow_provider_openai_run.types.outcome import Outcome
from airflow_provider_openai_run.types.status import RunState, classify_status

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_openai_run.operators._owned_run import OwnedRunOperator
    from airflow_provider_openai_run.owned_runs.continuation import Continuation
    from airflow_provider_openai_run.owned_runs.tools import PendingToolCall
    from airflow_provider_openai_run.types.run import Json, Run
    from airflow_provider_openai_run.types.run_ref import RunRef


class OwnedRunRunner:
    """
    Follows the run of a task.

    ::

        make ─► remember, push ids ─► look ─► defer ─► look …
                                       │ ended: push everything, succeed or fail
                                       └ asks: a person (parked), then functions ─► submit ─► look …

    :param task: the task.
    :param context: of its running.
    """

    def __init__(self, task: OwnedRunOperator, context: Context) -> None:
        self._task = task
        self._context = context
        self._hook = task.hook
        self.runs = task.runs()
        self.mark = RunIdentity.of(context)
        self.memory = TaskRunState(context, self.mark)
        self.runs.recall(self.memory)

    def begin(self, progress: Continuation) -> None:
        """Leave the ids and the link in XCom, before anything is waited for."""
        self._follow(progress)
        self._push(author_ids(progress.ref))
        if link := self._task.link:
            self._push({"link": link, LINK_KEY: link})

    def _follow(self, progress: Continuation) -> None:
        self._task.followed = progress
        if self._task.was_killed and progress.owned and self._task.cancel_on_kill:
            cancel(self._hook, progress.ref, "its task was killed when it could not cancel")
        self._task.link = self._hook.run_url(progress.ref) or ""

    def until_the_end(self, progress: Continuation) -> dict[str, Json]:
        """Wait for the run, answer what it asks for, and give its attributes and its answer at the end."""
        while True:
            self._follow(progress)
            wait = self._wait(progress)
            task, context = self._task, self._context
            outcome = (
                task.poll_once(wait, context) if task.deferrable else task.poll_until_done(wait, context)
            )
            if outcome is None:
                self._defer(wait, progress)
            came_to = self.after(outcome, progress)
            if isinstance(came_to, dict):
                return came_to
            progress = came_to

    def from_the_start(self, run: Run, progress: Continuation) -> dict[str, Json]:
        """Do the same with a run as it was made: what has ended by then may not be stored to be looked at."""
        if run.is_terminal and not api_of(progress.ref).capabilities.lists_steps:
            came_to = self._come_to(run, Outcome.from_run(run, progress.ref), progress)
            if isinstance(came_to, dict):
                return came_to
            progress = came_to
        return self.until_the_end(progress)

    def after(self, outcome: Outcome, progress: Continuation) -> dict[str, Json] | Continuation:
        """Give the attributes if the run has ended, or the progress with which to wait again."""
        self._follow(progress)
        if outcome.error is not None:
            raise self._waited_in_vain(outcome.error, progress)
        run = self._retrieve(progress.ref)
        if run.status == outcome.status or (
            run.is_terminal and not classify_status(outcome.status).is_terminal
        ):
            outcome = Outcome.from_run(run, progress.ref, outcome.request_id)
        return self._come_to(run, outcome, progress)

    def _come_to(self, run: Run, outcome: Outcome, progress: Continuation) -> dict[str, Json] | Continuation:
        asks = self._asks(run, outcome)
        if asks and self._task.on_requires_action in ("answer", "fail"):
            return self._answer(run, progress)
        if asks or classify_status(outcome.status).is_terminal:
            return self._finish(run, outcome, progress)
        return progress

    def _asks(self, run: Run, outcome: Outcome) -> bool:
        if run.state is RunState.NEEDS_ACTION:
            return not classify_status(outcome.status).is_terminal
        can_ask = api_of(ref_of(run)).capabilities.answers_in_successor
        return can_ask and run.is_successful and bool(pending_calls(run))

    def _retrieve(self, ref: RunRef) -> Run:
        return self._hook.execute_call(calls.get_run(ref), ref)

    def _wait(self, progress: Continuation) -> RunPoller:
        return RunPoller(progress.ref, self._task.poll_options_from(progress.started_at))

    def _defer(self, wait: RunPoller, progress: Continuation) -> NoReturn:
        task = self._task
        may_cancel = progress.owned and task.cancel_on_kill
        kind = OpenAIOwnedRunTrigger if may_cancel else OpenAIRunTrigger
        task.log.info("Deferring until %s has ended or asks for something", wait.ref)
        task.defer(
            trigger=kind.for_wait(task.conn_id, wait, publish=task.do_xcom_push),
            method_name="execute_complete",
            kwargs={"progress": progress.to_json()},
            timeout=self.left(progress.started_at),
        )

    def left(self, started_at: float) -> timedelta | None:
        """Give how long Airflow may let the task be deferred: longer than the trigger will."""
        return self._task.deferral_timeout(started_at)

    def _answer(self, run: Run, progress: Continuation) -> Continuation:
        calls = pending_calls(run)
        self._check_answerable(run, calls, progress)
        for call in calls:
            if self._is_for_a_person(call) and call.id not in progress.answers:
                deadline = self._task.deadline(progress.started_at)
                human_input.ask(self._context, call, progress, deadline=deadline)
        outputs = self._outputs(run, calls, progress)
        approvals = {call.id: bool(progress.answers[call.id]) for call in calls if call.kind == "approval"}
        self._task.refuse_if_killed()
        following = self.runs.answer(run, outputs, approvals, self.mark, self.memory)
        spent = 0 if following.id == run.id else self.runs.spent(run) or 0
        came_to = progress.on(following, spent=spent)
        self.memory.set(run_id=came_to.run_id, spent=came_to.spent, round=came_to.round)
        if following.id != run.id:
            self.begin(came_to)
        return came_to

    def _outputs(
        self, run: Run, calls: tuple[PendingToolCall, ...], progress: Continuation
    ) -> dict[str, str]:
        task = self._task
        box = ToolRunner(task.tool_handlers, task.tools, task.on_tool_error)
        try:
            return {
                call.id: str(progress.answers[call.id]) if call.id in progress.answers else box.output(call)
                for call in calls
                if call.kind == "function"
            }
        except ToolCallError as error:
            raise self._give_up(run, progress, error) from error
        except AirflowException:
            cancel(self._hook, progress.ref, "a tool's function ended the task")
            raise

    def _check_answerable(self, run: Run, calls: tuple[PendingToolCall, ...], progress: Continuation) -> None:
        task = self._task
        left_over = [call for call in calls if not self._is_answered_here(call)]
        spent = progress.spent + (self.runs.spent(run) or 0)
        if task.on_requires_action == "fail" or left_over or not calls:
            names = ", ".join(map(str, left_over or calls)) or "an action that it does not name"
            message = f"{progress.ref} asks for {names}, which nobody here answers"
            raise self._give_up(run, progress, RunRequiresActionError(message))
        if progress.round >= task.max_tool_rounds:
            message = f"{progress.ref} asks again after {progress.round} rounds, the max_tool_rounds"
            raise self._give_up(run, progress, ToolCallError(message))
        if task.token_budget is not None and spent >= task.token_budget:
            message = f"{progress.ref} has used {spent} tokens of a token_budget of {task.token_budget}"
            raise fail_without_retry(self._give_up(run, progress, TokenBudgetSpentError(message)))

    def _is_answered_here(self, call: PendingToolCall) -> bool:
        if self._is_for_a_person(call):
            return human_input.can_be_asked()
        return call.kind == "function" and call.name in self._task.tool_handlers

    def _is_for_a_person(self, call: PendingToolCall) -> bool:
        return call.kind == "approval" or (call.kind == "function" and call.name in self._task.human_tools)

    def _give_up(self, run: Run, progress: Continuation, error: OpenAIRunError) -> OpenAIRunError:
        """Push what there is, cancel the run, and give the error with the run's facts."""
        error.api, error.run_id, error.parent_id = (
            progress.ref.api,
            progress.ref.run_id,
            progress.ref.parent_id,
        )
        error.status = run.status
        self._push_facts(run, progress, None)
        self.memory.give_up(run.id)
        if progress.owned and not run.is_terminal:
            cancel(self._hook, progress.ref, error.message)
        return error

    def _waited_in_vain(self, error: OpenAIRunError, progress: Continuation) -> OpenAIRunError:
        if not isinstance(error, RunWaitTimeoutError):
            return error
        if progress.owned and self._task.cancel_on_timeout:
            cancel(self._hook, progress.ref, "cancel_on_timeout")
            self.memory.give_up(progress.run_id)
            said = error.message.partition("The run itself was left")[0]
            error = RunWaitTimeoutError(
                f"{said}The run was told to end.",
                **progress.ref.ids,
                status=error.status,
                request_id=error.request_id,
            )
        try:
            self._push_facts(self._retrieve(progress.ref), progress, None)
        except RunRequestError as trouble:
            self._task.log.warning("Could not retrieve %s at the end: %s", progress.ref, trouble.message)
        return error

    def timed_out_with_a_person(self, progress: Continuation) -> OpenAIRunError:
        """Give the error for a call that no person has answered in time."""
        message = f"Nobody answered what {progress.ref} asks for in time. The run itself was left"
        error = RunWaitTimeoutError(f"{message} as it is.", **progress.ref.ids)
        return self._waited_in_vain(error, progress)

    def _finish(self, run: Run, outcome: Outcome, progress: Continuation) -> dict[str, Json]:
        is_good = (
            not classify_status(outcome.status).is_terminal
            or classify_status(outcome.status) is RunState.SUCCEEDED
        )
        if not is_good:
            self._push_facts(run, progress, None)
            step = run.failing_step
            why = f": {step.last_error}" if step and step.last_error else ""
            more = f"Its failing step is {step.id} ({step.type}, {step.status}){why}. " if step else ""
            raise outcome.ended_error(f"{more}A retry of the task makes another run.")
        text = self.runs.text(run) if run.is_successful else None
        model = self._task.answer_model
        try:
            answer = text if model is None or not run.is_successful else results.parsed(text, model, run)
        except AnswerFormatError:
            self._push_facts(run, progress, text)
            self.memory.give_up(run.id)
            raise
        self._push({"token_usage": self._count(run, progress)})
        return {**run.to_xcom(), "answer": answer}

    def _count(self, run: Run, progress: Continuation) -> dict[str, Json]:
        spent = self.runs.spent(run)
        usage = results.token_usage(self._context, run, progress, self.runs.name, spent)
        results.count(usage, run)
        return usage

    def _push_facts(self, run: Run, progress: Continuation, answer: Json) -> None:
        """Push all that Airflow would push if the task did not fail, and the tokens used."""
        attributes = {**run.to_xcom(), "answer": answer}
        each = attributes if self._task.multiple_outputs else {}
        self._push({**each, "return_value": attributes, "token_usage": self._count(run, progress)})

    def _push(self, values: dict[str, Json]) -> None:
        if self._task.do_xcom_push:
            for key, value in values.items():
                self._context["ti"].xcom_push(key=key, value=value)
