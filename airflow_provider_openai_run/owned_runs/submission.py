"""Submitting tool outputs, as the making of what comes of it."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from airflow_provider_openai_run.api import calls
from airflow_provider_openai_run.api.registry import api_of
from airflow_provider_openai_run.exceptions import ToolCallError
from airflow_provider_openai_run.owned_runs.adapters import ApiAdapter, AssistantsAdapter, ResponsesAdapter
from airflow_provider_openai_run.owned_runs.tools import pending_calls
from airflow_provider_openai_run.types.status import RunState

if TYPE_CHECKING:
    from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook
    from airflow_provider_openai_run.owned_runs.identity import RunIdentity
    from airflow_provider_openai_run.owned_runs.state import TaskRunState
    from airflow_provider_openai_run.types.run import Json, Run
    from airflow_provider_openai_run.types.run_ref import RunRef

log = logging.getLogger(__name__)

#: What a response does not hand on to the one that follows it.
_HANDED_ON = ("model", "tools", "instructions")


class Submission:
    """
    What is handed to a run.

    :param hook: where.
    :param ref: the run that asks.
    :param outputs: ``[{"tool_call_id": …, "output": …}]``.
    :param approvals: ``[{"tool_call_id": …, "approve": …}]``.
    :param params: of a response that follows.
    """

    def __init__(
        self,
        hook: OpenAIRunHook,
        ref: RunRef,
        *,
        outputs: list[Json],
        approvals: list[Json],
        params: dict[str, Json],
    ) -> None:
        self._hook = hook
        self._ref = ref
        self._outputs = {one["tool_call_id"]: _text(one["output"]) for one in outputs}
        self._approvals = {one["tool_call_id"]: bool(one["approve"]) for one in approvals}
        self._params = params
        self._runs: ApiAdapter = (
            ResponsesAdapter(hook, params)
            if api_of(ref).capabilities.answers_in_successor
            else AssistantsAdapter(hook, ref.parent_id, {})
        )
        self.name = self._runs.name

    def recall(self, memory: TaskRunState) -> None:
        """Take up nothing: the run that asks says whether it was answered."""

    def known(self) -> list[Run]:
        """Give nothing: the run that asks is known."""
        return []

    def make(self, mark: RunIdentity, memory: TaskRunState) -> Run:
        """
        Submit; a run that does not ask any more has been answered by an earlier try.

        :raises ToolCallError: if the outputs are not those that are asked for, before anything is sent.
        """
        ref = self._ref
        asking = self._hook.execute_call(calls.get_run(ref), ref)
        asked = {call.id for call in pending_calls(asking)}
        if not api_of(ref).capabilities.answers_in_successor and asking.state is not RunState.NEEDS_ACTION:
            log.info("%s does not ask for anything; it is %s", ref, asking.status)
            return asking
        given = set(self._outputs) | set(self._approvals)
        if given != asked:
            message = f"{ref} asks for {sorted(asked)}; tool_outputs and approvals are for {sorted(given)}"
            raise ToolCallError(message, **ref.ids, status=asking.status)
        if api_of(ref).capabilities.answers_in_successor:
            handed_on = {name: getattr(asking, name) for name in _HANDED_ON if getattr(asking, name)}
            self._runs = ResponsesAdapter(self._hook, {**handed_on, **self._params})
        return self._runs.answer(asking, self._outputs, self._approvals, mark, memory)

    def answer(
        self,
        run: Run,
        outputs: dict[str, str],
        approvals: dict[str, bool],
        mark: RunIdentity,
        memory: TaskRunState,
    ) -> Run:
        """Hand over what the run asks for afterwards."""
        return self._runs.answer(run, outputs, approvals, mark, memory)

    def text(self, run: Run) -> str | None:
        """Give what the run has answered."""
        return self._runs.text(run)

    def spent(self, run: Run) -> int | None:
        """Give the tokens the run has used so far."""
        return self._runs.spent(run)


def _text(output: Json) -> str:
    return output if isinstance(output, str) else json.dumps(output, ensure_ascii=False, allow_nan=False)
