"""The operator that creates a run of the Assistants API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast

from airflow_provider_openai_run.operators._base import is_known_at_runtime
from airflow_provider_openai_run.operators._owned_run import ACTIVE_RUN_POLICIES, OwnedRunOperator
from airflow_provider_openai_run.operators._parameters import (
    PROMPT_FILES,
    api_parameters,
    check_file_names,
    check_rendered,
    render_optional_id,
    request_body,
    split_answer_model,
    text_parameters,
)
from airflow_provider_openai_run.operators._right_names import RightNames, check_outputs
from airflow_provider_openai_run.types.run_ref import check_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook
    from airflow_provider_openai_run.owned_runs.adapters import ApiAdapter
    from airflow_provider_openai_run.owned_runs.config import ActiveRunPolicy
    from airflow_provider_openai_run.owned_runs.identity import RunIdentity
    from airflow_provider_openai_run.owned_runs.state import TaskRunState


class OpenAICreateRunOperator(RightNames, OwnedRunOperator):
    """
    Create a run, with its thread if need be, wait for its end, and return its attributes and its answer.

    The return value holds every attribute of the run, ``answer``: the text of the run's own messages,
    whatever else is on the thread, and ``refusal``: why the model refused. :class:`.OwnedRunOperator`
    describes retries, cancelling and tool calls, and has all further parameters. OpenAI ended the Assistants
    API on 2026-08-26; Azure AI Foundry and self-hosted servers still serve it.

    https://platform.openai.com/docs/api-reference/runs/createRun and
    https://platform.openai.com/docs/api-reference/runs/createThreadAndRun. All API parameters are templated,
    and have the API's own names and meanings; None leaves a parameter out of the request. A text that ends in
    ``.j2``, ``.jinja`` or ``.jinja2`` is the name of a file that contains the template.

    :param assistant_id: the assistant.
    :param thread_id: the thread; None creates one from ``thread``. A template that renders ``None`` counts as
        None.
    :param thread: the new thread, such as ``{"messages": [...]}``.
    :param model: the model, in place of the assistant's.
    :param instructions: the system message, in place of the assistant's.
    :param additional_instructions: appended to the assistant's instructions.
    :param additional_messages: added to the thread before the run.
    :param tools: the tools, in place of the assistant's.
    :param tool_resources: files and vector stores for the tools of a new thread.
    :param metadata: up to 14 entries; the operator adds two of its own.
    :param temperature: the sampling temperature, 0 to 2.
    :param top_p: nucleus-sampling probability mass, 0 to 1.
    :param max_prompt_tokens: the largest number of prompt tokens of the whole run.
    :param max_completion_tokens: the largest number of completion tokens of the whole run.
    :param truncation_strategy: how much of the thread the run reads.
    :param tool_choice: how the model chooses a tool: ``"auto"``, ``"none"``, ``"required"``, or one tool.
    :param parallel_tool_calls: whether the model may call several tools at once.
    :param response_format: the API's own value; or a pydantic model, whose JSON is then ``answer``.
    :param reasoning_effort: how much a reasoning model reasons, such as ``"low"``.
    :param include: further output to return with the run's steps.
    :param extra_params: API parameters that this version does not know, by their names.
    :param on_active_run: what to do if a run of another owner is active on the thread: ``"fail"`` before
        anything is spent, ``"wait"`` for its end, or ``"attach"``: follow that run, and never cancel it. A
        run that this task created before it was cleared is cancelled if ``cancel_on_kill`` is set, and waited
        for in any case.
    :raises ValueError: for an argument out of its range, when the DAG is parsed.
    """

    RIGHT_NAMES: ClassVar[Mapping[str, str]] = {
        "max_tokens": "max_completion_tokens",
        "max_output_tokens": "max_completion_tokens",
        "input": "additional_messages, or thread={'messages': […]}",
        "messages": "additional_messages, or thread={'messages': […]}",
        "text_format": "response_format",
        "output_type": "response_format",
        "reasoning": "reasoning_effort",
        "truncation": "truncation_strategy",
        "system_prompt": "instructions",
        "functions": "tools",
        "function_call": "tool_choice",
        "conversation": "thread_id",
    }

    template_ext: Sequence[str] = PROMPT_FILES

    def __init__(
        self,
        *,
        assistant_id: str,
        thread_id: str | None = None,
        thread: dict[str, Any] | None = None,
        model: str | None = None,
        instructions: str | None = None,
        additional_instructions: str | None = None,
        additional_messages: list[dict[str, Any]] | None = None,
        tools: list[dict[str, Any]] | None = None,
        tool_resources: dict[str, Any] | None = None,
        metadata: dict[str, str] | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        max_prompt_tokens: int | None = None,
        max_completion_tokens: int | None = None,
        truncation_strategy: dict[str, Any] | None = None,
        tool_choice: Any = None,
        parallel_tool_calls: bool | None = None,
        response_format: Any = None,
        reasoning_effort: str | None = None,
        include: list[str] | None = None,
        extra_params: dict[str, Any] | None = None,
        on_active_run: ActiveRunPolicy = "fail",
        **kwargs: Any,
    ) -> None:
        self.check_names(kwargs)
        check_outputs(thread_id=thread_id)
        check_file_names({"instructions": instructions, "additional_instructions": additional_instructions})
        parameters = {name: value for name, value in locals().items() if name in self.API_PARAMETERS}
        super().__init__(**kwargs)
        self.answer_model, parameters["response_format"] = split_answer_model(response_format)
        for name, value in parameters.items():
            setattr(self, name, value)
        self.thread_id = thread_id
        self.extra_params = extra_params
        self.on_active_run = on_active_run
        if on_active_run not in ACTIVE_RUN_POLICIES:
            raise ValueError(f"on_active_run must be one of {ACTIVE_RUN_POLICIES}, not {on_active_run!r}")
        if thread_id is not None and (thread is not None or tool_resources is not None):
            raise ValueError("thread and tool_resources are for a new thread; leave out thread_id or them")
        if thread_id is not None and not is_known_at_runtime(thread_id):
            check_id("thread_id", thread_id)
        if not is_known_at_runtime(assistant_id) and not assistant_id:
            raise ValueError("assistant_id is empty")
        self.check_arguments_for_create(tools)
        self.mask_fields()

    #: The parameters of the API.
    API_PARAMETERS = api_parameters(__init__, but=("thread_id", "extra_params", "on_active_run"))
    template_fields: Sequence[str] = ("conn_id", "thread_id", *API_PARAMETERS, "extra_params")
    _TEXTS = text_parameters(__init__)

    def check_rendered_arguments(self) -> None:
        """Refuse arguments whose templates rendered nothing that can be sent."""
        body = request_body(self, self.API_PARAMETERS, texts=self._TEXTS)
        check_id("assistant_id", body.get("assistant_id"))
        check_rendered(body)

    def new_adapter(
        self, get_hook: Callable[[], OpenAIRunHook], identity: RunIdentity, state: TaskRunState
    ) -> ApiAdapter:
        """Return the adapter that creates the run; called once the templates are rendered."""
        from airflow_provider_openai_run.owned_runs.adapters import AssistantsAdapter
        from airflow_provider_openai_run.owned_runs.results import response_format

        thread_id = cast("str | None", render_optional_id("thread_id", self.thread_id))
        body = request_body(self, self.API_PARAMETERS, texts=self._TEXTS)
        if self.answer_model is not None:
            schema = response_format(self.answer_model)
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return AssistantsAdapter(get_hook, identity, state, body=body, parent_id=thread_id)
