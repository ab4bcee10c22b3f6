"""What making, answering and reading a run comes to at each API."""

from __future__ import annotations

import dataclasses
import json
import logging
import time
from typing import TYPE_CHECKING, Protocol

from airflow_provider_openai_run.api import calls
from airflow_provider_openai_run.api.assistants import AssistantsApi
from airflow_provider_openai_run.api.registry import ref_of
from airflow_provider_openai_run.exceptions import RunNotFoundError, RunRequestError
from airflow_provider_openai_run.types.run_ref import RunRef

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook
    from airflow_provider_openai_run.owned_runs.identity import RunIdentity
    from airflow_provider_openai_run.owned_runs.state import TaskRunState
    from airflow_provider_openai_run.types.run import Json, Run

log = logging.getLogger(__name__)

#: Answers that say nothing was made, so that asking again makes no second run.
_NOTHING_MADE = frozenset({429, 503})
_FREE_CHOICES = (None, "auto", "none")
_MOST_TRIES = 4
_LONGEST_PAUSE = 30.0


class ApiAdapter(Protocol):
    """What each API offers to the task that makes a run."""

    #: What people call the API.
    name: str

    def recall(self, memory: TaskRunState) -> None:
        """Take up what an earlier try has left unfinished."""

    def known(self) -> list[Run]:
        """Give the runs that can be looked up, newest first."""

    def make(self, mark: RunIdentity, memory: TaskRunState) -> Run:
        """Make a run that bears the mark."""

    def answer(
        self,
        run: Run,
        outputs: dict[str, str],
        approvals: dict[str, bool],
        mark: RunIdentity,
        memory: TaskRunState,
    ) -> Run:
        """Hand a run what it asked for; give what is to be followed from here on."""

    def text(self, run: Run) -> str | None:
        """Give what the run has answered."""

    def spent(self, run: Run) -> int | None:
        """Give the tokens the run has used so far, as far as the API tells."""


class AssistantsAdapter:
    """
    Runs of a thread.

    :param hook: where.
    :param thread_id: the thread; None for one that is made along with the run.
    :param body: the parameters of the API.
    """

    name = AssistantsApi.title

    def __init__(self, hook: OpenAIRunHook, thread_id: str | None, body: dict[str, Json]) -> None:
        self._hook = hook
        self.thread_id = thread_id
        self._body = body

    def recall(self, memory: TaskRunState) -> None:
        """Take up the thread that an earlier try made for its run, if no run of it was written down."""
        if self.thread_id is None and memory.get("run_id") is None:
            self.thread_id = memory.get("thread_id")

    def known(self) -> list[Run]:
        """Give the latest runs of the thread, newest first."""
        return (
            []
            if self.thread_id is None
            else self._hook.execute_call(calls.list_runs(AssistantsApi.name, self.thread_id))
        )

    def make(self, mark: RunIdentity, memory: TaskRunState) -> Run:
        """
        Make a run.

        Where a thread is to be made along with it and a later try will know, the thread comes first: it costs
        nothing, and whoever comes after a killed worker looks for the run on it.
        """
        body = {**self._body, "metadata": mark.on(self._body.get("metadata"))}
        if self.thread_id is not None:
            body.pop("thread", None)
        elif memory.lasts:
            self.thread_id = self._make_thread(body, memory)
        thread_id, key = self.thread_id, memory.next_key()
        run = _make(self._hook, lambda: calls.create_run(thread_id, body, key))
        self.thread_id = self.thread_id or run.thread_id
        memory.made(run_id=run.id, thread_id=self.thread_id)
        return dataclasses.replace(run, thread_id=self.thread_id)

    def _make_thread(self, body: dict[str, Json], memory: TaskRunState) -> str:
        thread = dict(body.pop("thread", None) or {})
        if resources := body.pop("tool_resources", None):
            thread.setdefault("tool_resources", resources)
        thread_id = self._hook.execute_call(calls.create_thread(thread), retry=False)
        memory.set(thread_id=thread_id, run_id=None)
        return thread_id

    def answer(
        self,
        run: Run,
        outputs: dict[str, str],
        approvals: dict[str, bool],
        mark: RunIdentity,
        memory: TaskRunState,
    ) -> Run:
        """Submit outputs and approvals; the run goes on."""
        del mark, memory
        given = [{"tool_call_id": call_id, "output": output} for call_id, output in outputs.items()]
        approved = [{"tool_call_id": call_id, "approve": approve} for call_id, approve in approvals.items()]
        params = {"tool_approvals": approved} if approved else {}
        ref = ref_of(run)
        return self._hook.execute_call(calls.submit_tool_outputs(ref, given, params), ref, retry=False)

    def text(self, run: Run) -> str | None:
        """Give the text of the run's own messages, never those of others on the thread."""
        ref = ref_of(run)
        messages = self._hook.execute_call(calls.list_messages(ref), ref)
        contents = [message.get("content") for message in messages if message.get("role") == "assistant"]
        texts = [_text_of_part(part) for content in contents if isinstance(content, list) for part in content]
        return "\n".join(text for text in texts if text is not None) if any(contents) else None

    def spent(self, run: Run) -> int | None:
        """Give the run's usage, which is known at its end, else that of its steps."""
        if run.usage and run.usage.total_tokens is not None:
            return run.usage.total_tokens
        of_steps = [step.usage.total_tokens for step in run.steps or () if step.usage]
        known = [tokens for tokens in of_steps if tokens is not None]
        return sum(known) if known else None


class ResponsesAdapter:
    """
    Responses.

    :param hook: where.
    :param body: the parameters of the API.
    """

    name = "Responses API"

    def __init__(self, hook: OpenAIRunHook, body: dict[str, Json]) -> None:
        self._hook = hook
        self._body = body

    def recall(self, memory: TaskRunState) -> None:
        """Take up nothing: what was unfinished is not known."""

    def known(self) -> list[Run]:
        """Give nothing: the API lists no responses."""
        return []

    def make(self, mark: RunIdentity, memory: TaskRunState) -> Run:
        """Make a response."""
        return self._make(self._body, mark, memory)

    def _make(self, body: dict[str, Json], mark: RunIdentity, memory: TaskRunState) -> Run:
        if memory.get("making"):
            log.warning(
                "An earlier try was killed while it asked for a response. If the API made that response, it "
                "is paid for and cannot be looked up; asking again under the same Idempotency-Key"
            )
        memory.set(making=True)
        marked = {**body, "metadata": mark.on(body.get("metadata"))}
        try:
            key = memory.next_key()
            run = _make(self._hook, lambda: calls.create_response(marked, key))
        except RunRequestError as error:
            if error.http_status is not None and error.http_status < 500:
                memory.set(making=False)
            raise
        memory.made(run_id=run.id, thread_id=None)
        return run

    def answer(
        self,
        run: Run,
        outputs: dict[str, str],
        approvals: dict[str, bool],
        mark: RunIdentity,
        memory: TaskRunState,
    ) -> Run:
        """Ask for the response that follows, with the outputs as its input."""
        items: list[Json] = [
            {"type": "function_call_output", "call_id": call_id, "output": output}
            for call_id, output in outputs.items()
        ]
        items += [
            {"type": "mcp_approval_response", "approval_request_id": call_id, "approve": approve}
            for call_id, approve in approvals.items()
        ]
        body = {**self._body, "input": items}
        if body.get("tool_choice") not in _FREE_CHOICES:
            # A call that is forced again each round would have no end.
            body.pop("tool_choice", None)
        if body.get("conversation") is None:
            body["previous_response_id"] = run.id
        return self._make(body, mark, memory)

    def text(self, run: Run) -> str | None:
        """Give the output text of the response."""
        items = [json.loads(step.details) for step in run.steps or () if step.details]
        messages = [item for item in items if isinstance(item, dict) and item.get("type") == "message"]
        contents = [item.get("content") for item in messages]
        texts = [_text_of_part(part) for content in contents if isinstance(content, list) for part in content]
        return "".join(text for text in texts if text is not None) if messages else None

    def spent(self, run: Run) -> int | None:
        """Give the response's usage."""
        return run.usage.total_tokens if run.usage else None


def _text_of_part(part: Json) -> str | None:
    text = part.get("text") if isinstance(part, dict) else None
    if isinstance(text, dict):
        text = text.get("value")
    return text if isinstance(text, str) else None


def _make(hook: OpenAIRunHook, operation: Callable[[], calls.ApiCall[Run]]) -> Run:
    """Make a run; again only after an answer which says that none was made."""
    for attempt in range(_MOST_TRIES):
        try:
            return hook.execute_call(operation(), retry=False)
        except RunRequestError as error:
            pause = error.retry_after or 0.5 * 2**attempt
            last = attempt == _MOST_TRIES - 1 or pause > _LONGEST_PAUSE
            if error.http_status not in _NOTHING_MADE or last:
                raise
            log.warning("%s. Nothing was made; asking again in %.1f s", error.message.rstrip("."), pause)
            time.sleep(pause)
    raise AssertionError


def find_run(hook: OpenAIRunHook, ref: RunRef) -> Run | None:
    """Give a run as it is now; None if the API does not know it any more."""
    try:
        return hook.execute_call(calls.get_run(ref, include_steps=False), ref)
    except RunNotFoundError:
        return None
