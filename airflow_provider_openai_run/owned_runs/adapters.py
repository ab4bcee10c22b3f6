"""How runs of each API are created, found again, continued and read."""

from __future__ import annotations

import dataclasses
import json
import logging
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_openai_run.api import calls
from airflow_provider_openai_run.api.assistants import AssistantsApi
from airflow_provider_openai_run.api.registry import api_of, ref_of
from airflow_provider_openai_run.api.responses import ResponsesApi
from airflow_provider_openai_run.api.retries import may_have_created
from airflow_provider_openai_run.exceptions import RunRequestError, ToolCallError
from airflow_provider_openai_run.owned_runs.attempts import attempts_for
from airflow_provider_openai_run.owned_runs.tools import pending_calls
from airflow_provider_openai_run.types.message_content import Answer, read_answer
from airflow_provider_openai_run.types.status import RunState

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook
    from airflow_provider_openai_run.owned_runs.identity import RunIdentity
    from airflow_provider_openai_run.owned_runs.state import TaskRunState
    from airflow_provider_openai_run.types.json import Json
    from airflow_provider_openai_run.types.run import Run
    from airflow_provider_openai_run.types.run_ref import RunRef

log = logging.getLogger(__name__)

#: Values of ``tool_choice`` that force no call.
_UNFORCED_TOOL_CHOICES = (None, "auto", "none")

#: Parameters that a response does not pass on to the one that follows it.
_INHERITED = ("model", "tools", "instructions")


class ApiAdapter(ABC):
    """
    The runs of one API, as a task creates, continues and reads them.

    :param get_hook: returns the hook for the connection.
    :param identity: the task instance that owns the runs.
    :param state: what earlier tries have left; the adapter records the runs that it creates.
    :param body: the parameters of the request that creates a run.
    :param parent_id: what the run is created in, such as its thread; None where there is nothing yet.
    """

    api: ClassVar[str]

    def __init__(
        self,
        get_hook: Callable[[], OpenAIRunHook],
        identity: RunIdentity,
        state: TaskRunState,
        *,
        body: dict[str, Json],
        parent_id: str | None = None,
    ) -> None:
        self._get_hook = get_hook
        self._identity = identity
        self._state = state
        self._body = body
        self.parent_id = parent_id

    @property
    def _hook(self) -> OpenAIRunHook:
        return self._get_hook()

    def restore(self) -> None:  # noqa: B027 - most APIs have nothing to restore
        """Take over what an earlier try has left unfinished."""

    def list_candidates(self) -> list[Run]:
        """Return the runs among which the task's own may be, newest first; none where the API lists none."""
        return []

    @abstractmethod
    def create(self) -> Run:
        """
        Create a run, tagged with the task's identity.

        :raises RunRequestError: if the API refuses, or the response was lost.
        """

    @abstractmethod
    def submit(self, run: Run, outputs: dict[str, str], approvals: dict[str, bool]) -> Run:
        """
        Submit what a run waits for.

        :param run: the run.
        :param outputs: outputs by call id.
        :param approvals: approvals by call id.
        :return: the run to wait for now.
        :raises RunRequestError: if the API refuses, or the response was lost.
        """

    @abstractmethod
    def answer(self, run: Run) -> Answer:
        """Return what a run has answered: the text of its messages, or its refusal."""

    def tokens_used(self, run: Run) -> int | None:
        """Return the tokens a run has used up to now; None if the API does not say."""
        return run.usage.total_tokens if run.usage else None

    def _record_created(self, run: Run) -> None:
        ref = ref_of(run)
        log.info("Created %s; it is %s", ref, run.status)
        self._state.record_created(ref)


class AssistantsAdapter(ApiAdapter):
    """Runs of a thread; without a ``parent_id`` the thread is created along with the run."""

    api = AssistantsApi.name

    def restore(self) -> None:
        """Take over the thread that an earlier try created for its run, if no run on it was recorded."""
        if self.parent_id is None and self._state.record.run_id is None:
            self.parent_id = self._state.record.parent_id

    def list_candidates(self) -> list[Run]:
        """Return the latest runs of the thread, newest first."""
        if self.parent_id is None:
            return []
        return self._hook.execute_call(calls.list_runs(self.api, self.parent_id))

    def create(self) -> Run:
        """
        Create a run.

        If a thread must be created with it and the state is durable, the thread is created first: it costs
        nothing, and a later try can find the run on it even if this worker is killed.
        """
        body = {**self._body, "metadata": self._identity.tag(self._body.get("metadata"))}
        if self.parent_id is not None:
            body.pop("thread", None)
        elif self._state.is_durable:
            self.parent_id = self._create_thread(body)
        key = self._state.next_idempotency_key()
        for attempt in attempts_for("create"):
            with attempt:
                run = self._hook.execute_call(calls.create_run(self.parent_id, body, key), retry=False)
        self.parent_id = self.parent_id or run.thread_id
        run = dataclasses.replace(run, thread_id=self.parent_id)
        self._record_created(run)
        return run

    def _create_thread(self, body: dict[str, Json]) -> str:
        thread = body.pop("thread", None) or {}
        if not isinstance(thread, dict):
            raise TypeError(f"thread must be an object, not {thread!r}")
        thread = dict(thread)
        if resources := body.pop("tool_resources", None):
            thread.setdefault("tool_resources", resources)
        for attempt in attempts_for("create"):
            with attempt:
                thread_id = self._hook.execute_call(calls.create_thread(thread), retry=False)
        log.info("Created thread %s", thread_id)
        self._state.update(api=self.api, parent_id=thread_id, run_id=None)
        return thread_id

    def submit(self, run: Run, outputs: dict[str, str], approvals: dict[str, bool]) -> Run:
        """Submit outputs and approvals; the run resumes."""
        tool_outputs: list[Json] = [
            {"tool_call_id": key, "output": output} for key, output in outputs.items()
        ]
        approved: list[Json] = [{"tool_call_id": key, "approve": value} for key, value in approvals.items()]
        params: dict[str, Json] = {"tool_approvals": approved} if approved else {}
        ref = ref_of(run)
        for attempt in attempts_for("submit"):
            with attempt:
                resumed = self._hook.execute_call(
                    calls.submit_tool_outputs(ref, tool_outputs, params), ref, retry=False
                )
        return resumed

    def answer(self, run: Run) -> Answer:
        """Return the answer in the run's own messages, never in those of other runs on the thread."""
        ref = ref_of(run)
        messages = self._hook.execute_call(calls.list_messages(ref), ref)
        return read_answer((message for message in messages if message.get("role") == "assistant"), "\n")

    def tokens_used(self, run: Run) -> int | None:
        """Return the run's usage, which is known at its end, else the sum over its steps."""
        if run.usage and run.usage.total_tokens is not None:
            return run.usage.total_tokens
        of_steps = [step.usage.total_tokens for step in run.steps or () if step.usage]
        known = [tokens for tokens in of_steps if tokens is not None]
        return sum(known) if known else None


class ResponsesAdapter(ApiAdapter):
    """Responses; outputs go into a new response that follows the one that waits for them."""

    api = ResponsesApi.name

    def create(self, body: dict[str, Json] | None = None) -> Run:
        """
        Create a response.

        :param body: the parameters of the request; by default those of the adapter.
        """
        body = self._body if body is None else body
        if self._state.record.is_creating:
            log.warning(
                "An earlier try was killed while it created a response. If the API created it, it is billed "
                "and cannot be found; creating one again under the same Idempotency-Key"
            )
        self._state.update(is_creating=True)
        tagged = {**body, "metadata": self._identity.tag(body.get("metadata"))}
        key = self._state.next_idempotency_key()
        try:
            for attempt in attempts_for("create"):
                with attempt:
                    run = self._hook.execute_call(calls.create_response(tagged, key), retry=False)
        except RunRequestError as error:
            if not may_have_created(error):
                self._state.update(is_creating=False)
            raise
        self._record_created(run)
        return run

    def submit(self, run: Run, outputs: dict[str, str], approvals: dict[str, bool]) -> Run:
        """Create the response that follows, with the outputs as its input."""
        items: list[Json] = [
            {"type": "function_call_output", "call_id": call_id, "output": output}
            for call_id, output in outputs.items()
        ]
        items += [
            {"type": "mcp_approval_response", "approval_request_id": call_id, "approve": approve}
            for call_id, approve in approvals.items()
        ]
        body = {**self._body, "input": items}
        if body.get("tool_choice") not in _UNFORCED_TOOL_CHOICES:
            # Forced again in each round, the calls would never end.
            body.pop("tool_choice", None)
        if body.get("conversation") is None:
            body["previous_response_id"] = run.id
        return self.create(body)

    def answer(self, run: Run) -> Answer:
        """Return the answer in the response's output."""
        items: list[Json] = [json.loads(step.details) for step in run.steps or () if step.details]
        messages = (item for item in items if isinstance(item, dict) and _is_message(item))
        return read_answer(messages, "")


#: The adapters by the name of their API. To let tasks create runs of another API, add its adapter here.
ADAPTERS: dict[str, type[ApiAdapter]] = {
    adapter.api: adapter for adapter in (AssistantsAdapter, ResponsesAdapter)
}


class SubmissionAdapter(ApiAdapter):
    """
    Outputs for a run that already exists: submitting them stands in place of creating a run.

    :param ref: the run that waits for them.
    :param outputs: ``[{"tool_call_id": …, "output": …}]``.
    :param approvals: ``[{"tool_call_id": …, "approve": …}]``.
    :param body: parameters of the response that follows, for an API that creates one.
    """

    def __init__(
        self,
        get_hook: Callable[[], OpenAIRunHook],
        identity: RunIdentity,
        state: TaskRunState,
        *,
        ref: RunRef,
        outputs: list[dict[str, Any]],
        approvals: list[dict[str, Any]],
        body: dict[str, Json],
    ) -> None:
        super().__init__(get_hook, identity, state, body=body, parent_id=ref.parent_id)
        self._ref = ref
        self._outputs = {item["tool_call_id"]: _to_text(item["output"]) for item in outputs}
        self._approvals = {item["tool_call_id"]: bool(item["approve"]) for item in approvals}
        self._adapter = self._adapter_for(body)

    def _adapter_for(self, body: dict[str, Json]) -> ApiAdapter:
        adapter = ADAPTERS[self._ref.api]
        return adapter(self._get_hook, self._identity, self._state, body=body, parent_id=self.parent_id)

    def create(self) -> Run:
        """
        Submit the outputs; a run that no longer waits for any was answered by an earlier try.

        :raises ToolCallError: if the outputs are not those that the run waits for, before anything is sent.
        """
        ref = self._ref
        follows = api_of(ref).capabilities.answers_in_successor
        waiting = self._hook.execute_call(calls.get_run(ref), ref)
        if not follows and waiting.state is not RunState.NEEDS_ACTION:
            log.info("%s waits for no outputs; it is %s", ref, waiting.status)
            return waiting
        required = {call.id for call in pending_calls(waiting)}
        given = set(self._outputs) | set(self._approvals)
        if given != required:
            message = (
                f"{ref} waits for {sorted(required)}; tool_outputs and approvals are for {sorted(given)}"
            )
            raise ToolCallError(message, **ref.ids, status=waiting.status)
        if follows:
            inherited = {name: getattr(waiting, name) for name in _INHERITED if getattr(waiting, name)}
            self._adapter = self._adapter_for({**inherited, **self._body})
        return self._adapter.submit(waiting, self._outputs, self._approvals)

    def submit(self, run: Run, outputs: dict[str, str], approvals: dict[str, bool]) -> Run:
        """Submit what the run waits for afterwards."""
        return self._adapter.submit(run, outputs, approvals)

    def answer(self, run: Run) -> Answer:
        """Return what the run has answered."""
        return self._adapter.answer(run)

    def tokens_used(self, run: Run) -> int | None:
        """Return the tokens the run has used up to now."""
        return self._adapter.tokens_used(run)


def _is_message(item: dict[str, Json]) -> bool:
    """Return whether an output item is a message of the model; some servers leave out its type."""
    return item.get("type", "message") == "message" and item.get("role", "assistant") == "assistant"


def _to_text(output: Json) -> str:
    return output if isinstance(output, str) else json.dumps(output, ensure_ascii=False, allow_nan=False)
