"""One round of calls: whether they can be answered, and the answers of people and functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_openai_run.cancellation import CancelReason
from airflow_provider_openai_run.exceptions import (
    HumanInputAnswerError,
    HumanInputRequestError,
    OpenAIRunError,
    RunRequiresActionError,
    TokenBudgetSpentError,
    ToolCallError,
)
from airflow_provider_openai_run.owned_runs.human_input import HumanInput
from airflow_provider_openai_run.owned_runs.tools import ToolRunner, call_names, pending_calls
from airflow_provider_openai_run.types.storable import storable_text

if TYPE_CHECKING:
    from airflow_provider_openai_run.owned_runs.config import OwnedRunConfig, TaskInterface
    from airflow_provider_openai_run.owned_runs.state import Continuation
    from airflow_provider_openai_run.types.required_action import PendingCall
    from airflow_provider_openai_run.types.run import Run


class RoundFailedError(Exception):
    """
    A round that this task cannot answer; the run must be given up.

    :param error: what the task fails with.
    :param reason: why the run is cancelled.
    :param may_retry: whether a retry of the task may succeed.
    """

    def __init__(self, error: OpenAIRunError, reason: CancelReason, *, may_retry: bool = True) -> None:
        super().__init__(error.message)
        self.error = error
        self.reason = reason
        self.may_retry = may_retry


class ToolRound:
    """
    The calls that a run waits for at one time, and their answers.

    :param config: the task's options.
    :param task: the running task.
    :param run: the run.
    :param continuation: where the task stands.
    """

    def __init__(
        self, config: OwnedRunConfig, task: TaskInterface, run: Run, continuation: Continuation
    ) -> None:
        self._config = config
        self._continuation = continuation
        self._human_input = HumanInput(config, task)
        self.pending = pending_calls(run)
        #: Those that people answer.
        self.for_people = tuple(filter(self._human_input.is_for_person, self.pending))

    def check(self, tokens_used: int) -> None:
        """
        Check that the task can answer all calls, and that it may.

        :param tokens_used: by all rounds up to now.
        :raises RoundFailedError: if not.
        """
        config, ref, rounds = self._config, self._continuation.ref, self._continuation.rounds
        unanswerable = [call for call in self.pending if not self._is_answerable(call)]
        must_fail = config.on_requires_action == "fail"
        if must_fail or unanswerable or not self.pending:
            names = call_names(unanswerable or self.pending) or "an action that it does not name"
            reason = CancelReason.REQUIRES_ACTION if must_fail else CancelReason.UNANSWERABLE_REQUEST
            message = f"{ref} waits for {names}, which this task does not answer"
            raise RoundFailedError(RunRequiresActionError(message), reason)
        if rounds >= config.max_tool_rounds:
            message = f"{ref} waits for tool outputs again after {rounds} rounds (max_tool_rounds)"
            raise RoundFailedError(ToolCallError(message), CancelReason.MAX_TOOL_ROUNDS)
        if config.token_budget is not None and tokens_used >= config.token_budget:
            message = f"{ref} has used {tokens_used} tokens of a token_budget of {config.token_budget}"
            error = TokenBudgetSpentError(message)
            raise RoundFailedError(error, CancelReason.TOKEN_BUDGET, may_retry=False)

    def _is_answerable(self, call: PendingCall) -> bool:
        if self._human_input.is_for_person(call):
            return self._human_input.can_request()
        return call.kind == "function" and call.name in self._config.tool_handlers

    def wait_for_people(self) -> None:
        """
        Park the task unless people have answered all calls that they must answer.

        :raises RoundFailedError: if they cannot be requested to, or their answers did not fit too often.
        """
        continuation = self._continuation
        if all(map(continuation.is_answered, self.for_people)):
            return
        try:
            self._human_input.wait_for(self.for_people, continuation)
        except HumanInputRequestError as error:
            # Airflow would show a retry the same.
            raise RoundFailedError(error, CancelReason.UNANSWERABLE_REQUEST, may_retry=False) from error
        except HumanInputAnswerError as error:
            raise RoundFailedError(error, CancelReason.WRONG_HUMAN_INPUT) from error

    def approvals(self) -> dict[str, bool]:
        """Return what people have decided, by call id."""
        answers = ((call.id, self._continuation.approval_of(call)) for call in self.pending)
        return {call_id: answer for call_id, answer in answers if answer is not None}

    def outputs(self) -> dict[str, str]:
        """
        Return the outputs of all functions by call id: those of people, and those of ``tool_handlers``.

        :raises RoundFailedError: if a function fails, and its error must not be submitted.
        :raises AirflowException: that a function has raised.
        """
        config = self._config
        tools = ToolRunner(config.tool_handlers, config.tools, config.on_tool_error)
        outputs: dict[str, str] = {}
        try:
            for call in self.pending:
                if call.kind == "function":
                    by_person = self._continuation.output_of(call)
                    outputs[call.id] = storable_text(tools.output(call) if by_person is None else by_person)
        except ToolCallError as error:
            raise RoundFailedError(error, CancelReason.TOOL_FAILED) from error
        return outputs
