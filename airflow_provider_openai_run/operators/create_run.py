"""Making a run of the Assistants API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from airflow_provider_openai_run.operators._base import is_known_at_runtime
from airflow_provider_openai_run.operators._owned_run import ActiveRunPolicy, OwnedRunOperator
from airflow_provider_openai_run.operators._parameters import request_parameters, split_answer_model
from airflow_provider_openai_run.types.run_ref import check_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_openai_run.owned_runs.adapters import ApiAdapter
    from airflow_provider_openai_run.types.run import Json

#: The parameters of the API, each under its own name.
PARAMETERS = (
    "assistant_id",
    "model",
    "instructions",
    "additional_instructions",
    "additional_messages",
    "tools",
    "tool_resources",
    "metadata",
    "temperature",
    "top_p",
    "max_prompt_tokens",
    "max_completion_tokens",
    "truncation_strategy",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
    "reasoning_effort",
    "include",
    "thread",
)


class OpenAICreateRunOperator(OwnedRunOperator):
    """
    Makes a run on a thread with an assistant, or a thread and a run at once; waits for it; gives its answer.

    The answer is the text of the run's own messages, whatever else is on the thread. What is promised about
    retries, cancelling and tool calls, and all further parameters, stand at
    :class:`~airflow_provider_openai_run.operators._owned_run.OwnedRunOperator`. OpenAI ended the Assistants API on
    2026-08-26; Azure AI Foundry and self-hosted servers speak it.

    https://platform.openai.com/docs/api-reference/runs/createRun and
    https://platform.openai.com/docs/api-reference/runs/createThreadAndRun. All API parameters are templated
    and have the API's own names and meanings; None leaves one out.

    :param assistant_id: the assistant.
    :param thread_id: the thread; None makes one of ``thread``. A template that renders ``None`` counts as
        None.
    :param thread: what a new thread is made of, such as ``{"messages": [...]}``.
    :param model: instead of the assistant's.
    :param instructions: instead of the assistant's.
    :param additional_instructions: after the assistant's.
    :param additional_messages: put on the thread before the run.
    :param tools: instead of the assistant's.
    :param tool_resources: for a new thread.
    :param metadata: at most 14 pairs beside the task's own two.
    :param temperature: of the sampling.
    :param top_p: of the sampling.
    :param max_prompt_tokens: for the whole run.
    :param max_completion_tokens: for the whole run.
    :param truncation_strategy: how much of the thread the run reads.
    :param tool_choice: which tool, if any.
    :param parallel_tool_calls: whether several tools may be called at once.
    :param response_format: the API's own value, or a pydantic model, as which the answer is then read.
    :param reasoning_effort: of reasoning models.
    :param include: what to send along beside the run.
    :param extra_params: parameters of the API this version does not know, by their names.
    :param on_active_run: what to do if somebody else's run is active on the thread: ``"fail"`` before anything
        is spent, ``"wait"`` for its end, or ``"attach"``: follow that run instead, and never cancel it. A
        run that this task made before it was cleared is cancelled, if ``cancel_on_kill`` says so, and
        waited for in any case.
    :raises ValueError: for an argument out of its range, when the DAG is parsed.
    """

    template_fields: Sequence[str] = ("conn_id", "thread_id", *PARAMETERS, "extra_params")

    def __init__(
        self,
        *,
        assistant_id: str,
        thread_id: str | None = None,
        thread: dict[str, Json] | None = None,
        model: str | None = None,
        instructions: str | None = None,
        additional_instructions: str | None = None,
        additional_messages: list[Json] | None = None,
        tools: list[Json] | None = None,
        tool_resources: dict[str, Json] | None = None,
        metadata: dict[str, str] | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        max_prompt_tokens: int | None = None,
        max_completion_tokens: int | None = None,
        truncation_strategy: dict[str, Json] | None = None,
        tool_choice: Json = None,
        parallel_tool_calls: bool | None = None,
        response_format: Json = None,
        reasoning_effort: str | None = None,
        include: list[str] | None = None,
        extra_params: dict[str, Json] | None = None,
        on_active_run: ActiveRunPolicy = "fail",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.assistant_id = assistant_id
        self.thread_id = thread_id
        self.thread = thread
        self.model = model
        self.instructions = instructions
        self.additional_instructions = additional_instructions
        self.additional_messages = additional_messages
        self.tools = tools
        self.tool_resources = tool_resources
        self.metadata = metadata
        self.temperature = temperature
        self.top_p = top_p
        self.max_prompt_tokens = max_prompt_tokens
        self.max_completion_tokens = max_completion_tokens
        self.truncation_strategy = truncation_strategy
        self.tool_choice = tool_choice
        self.parallel_tool_calls = parallel_tool_calls
        self.answer_model, self.response_format = split_answer_model(response_format)
        self.reasoning_effort = reasoning_effort
        self.include = include
        self.extra_params = extra_params
        self.on_active_run = on_active_run
        self._check()

    def _check(self) -> None:
        if self.on_active_run not in get_args(ActiveRunPolicy):
            raise ValueError(
                f"on_active_run must be one of {get_args(ActiveRunPolicy)}, not {self.on_active_run!r}"
            )
        if self.thread_id is not None and (self.thread is not None or self.tool_resources is not None):
            raise ValueError("thread and tool_resources are for a new thread; leave out thread_id or them")
        if self.thread_id is not None and not is_known_at_runtime(self.thread_id):
            check_id("thread_id", self.thread_id)
        if not is_known_at_runtime(self.assistant_id) and not self.assistant_id:
            raise ValueError("assistant_id is empty")
        self.check_arguments_for_create(self.tools)

    def runs(self) -> ApiAdapter:
        """Give the runs of the thread."""
        from airflow_provider_openai_run.owned_runs.adapters import AssistantsAdapter
        from airflow_provider_openai_run.owned_runs.results import response_format

        body = request_parameters(self, PARAMETERS)
        if self.answer_model is not None:
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": response_format(self.answer_model),
            }
        thread_id = None if self.thread_id in (None, "None") else self.thread_id
        if thread_id is not None:
            check_id("thread_id", thread_id)
        return AssistantsAdapter(self.hook, thread_id, body)
