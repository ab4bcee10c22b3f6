"""The operator that creates a response."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_openai_run.api.response_parameters import check_combination
from airflow_provider_openai_run.operators._owned_run import OwnedRunOperator
from airflow_provider_openai_run.operators._parameters import (
    PROMPT_FILES,
    api_parameters,
    check_file_names,
    check_rendered,
    read_text_format,
    request_body,
    text_parameters,
)
from airflow_provider_openai_run.operators._right_names import RightNames, check_outputs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pydantic import BaseModel

    from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook
    from airflow_provider_openai_run.owned_runs.adapters import ApiAdapter
    from airflow_provider_openai_run.owned_runs.identity import RunIdentity
    from airflow_provider_openai_run.owned_runs.state import TaskRunState
    from airflow_provider_openai_run.types.json import Json


class OpenAICreateResponseOperator(RightNames, OwnedRunOperator):
    """
    Create a response in the background, wait for its end, and return its attributes and its answer.

    The return value holds every attribute of the response, ``answer``: the output text, or the JSON of the
    object that ``text_format`` describes, and ``refusal``: why the model refused. :class:`.OwnedRunOperator`
    describes retries, cancelling and tool calls, and has all further parameters. Each round of a tool
    conversation is a response of its own: the XComs are those of the last, ``token_usage`` counts all.

    https://platform.openai.com/docs/api-reference/responses/create. All API parameters are templated, and
    have the API's own names and meanings; None leaves a parameter out of the request. An argument whose
    template renders the text "None" is refused; ``previous_response_id`` and ``conversation`` are left out
    then. A text that ends in ``.j2``, ``.jinja`` or ``.jinja2`` is the name of a file that contains the
    template.

    :param model: the model, such as ``gpt-5.2``.
    :param input: the user's input: a text, or a list of input items.
    :param instructions: the system or developer message.
    :param background: whether the API creates the response in the background. If False, the task occupies its
        worker meanwhile, and the response cannot be cancelled.
    :param store: whether the API stores the response; tool calls need that.
    :param text_format: a pydantic model. The API must write JSON of its schema, and ``answer`` is that JSON.
    :param conversation: the conversation that the response belongs to: its id, or an object with an ``id``.
    :param previous_response_id: the response to continue from; not beside ``conversation``.
    :param prompt: a reusable prompt template that is stored at OpenAI: ``id``, ``version``, ``variables``.
    :param text: options of the output text: ``format``, unless ``text_format`` is set, and ``verbosity``.
    :param tools: the tools that the model may call.
    :param tool_choice: how the model chooses a tool: ``"auto"``, ``"none"``, ``"required"``, or one tool.
    :param parallel_tool_calls: whether the model may call several tools at once.
    :param max_tool_calls: the largest number of calls of the API's built-in tools in one response.
    :param max_output_tokens: the largest number of output tokens of one response, reasoning included.
    :param temperature: the sampling temperature, 0 to 2.
    :param top_p: nucleus-sampling probability mass, 0 to 1.
    :param top_logprobs: how many of the most likely tokens to return at each position, 0 to 20.
    :param reasoning: options of reasoning models, such as ``{"effort": "high"}``.
    :param truncation: what happens to input beyond the context window: ``"auto"`` drops the oldest items,
        ``"disabled"`` fails.
    :param context_management: when the API compacts the context of a long conversation.
    :param include: further output to return, such as ``["web_search_call.action.sources"]``.
    :param metadata: up to 14 entries; the operator adds two of its own.
    :param prompt_cache_key: groups similar requests for the prompt cache.
    :param prompt_cache_options: further options of the prompt cache.
    :param prompt_cache_retention: how long the prompt stays in the cache, such as ``"24h"``.
    :param safety_identifier: a stable, hashed id of your end user, for detecting abuse.
    :param service_tier: the processing tier, such as ``"flex"`` or ``"priority"``.
    :param moderation: how input and output are moderated.
    :param access_programs: the access programs that the request is part of.
    :param background_options: options of background mode, such as ``{"completion_window": "8h"}``.
    :param image: options of images that the model generates.
    :param user: an id of your end user; deprecated by the API.
    :param extra_params: API parameters that this version does not know, by their names.
    :raises ValueError: for an argument out of its range, when the DAG is parsed.
    """

    RIGHT_NAMES: ClassVar[Mapping[str, str]] = {
        "max_tokens": "max_output_tokens",
        "max_completion_tokens": "max_output_tokens",
        "messages": "input",
        "message": "input",
        "system": "instructions",
        "system_prompt": "instructions",
        "response_format": "text_format for a pydantic model, or text={'format': …}",
        "output_type": "text_format",
        "json_schema": "text={'format': …}",
        "reasoning_effort": "reasoning={'effort': …}",
        "verbosity": "text={'verbosity': …}",
        "functions": "tools",
        "function_call": "tool_choice",
        "conversation_id": "conversation",
        "thread_id": "conversation or previous_response_id",
        "additional_instructions": "instructions",
    }

    template_ext: Sequence[str] = PROMPT_FILES

    def __init__(
        self,
        *,
        model: str | None = None,
        input: Any = None,  # noqa: A002 - the API's own name
        instructions: str | None = None,
        background: bool = True,
        store: bool = True,
        text_format: type[BaseModel] | None = None,
        conversation: Any = None,
        previous_response_id: str | None = None,
        prompt: dict[str, Any] | None = None,
        text: dict[str, Any] | None = None,
        tools: list[dict[str, Any]] | None = None,
        tool_choice: Any = None,
        parallel_tool_calls: bool | None = None,
        max_tool_calls: int | None = None,
        max_output_tokens: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        top_logprobs: int | None = None,
        reasoning: dict[str, Any] | None = None,
        truncation: str | None = None,
        context_management: Any = None,
        include: list[str] | None = None,
        metadata: dict[str, str] | None = None,
        prompt_cache_key: str | None = None,
        prompt_cache_options: dict[str, Any] | None = None,
        prompt_cache_retention: str | None = None,
        safety_identifier: str | None = None,
        service_tier: str | None = None,
        moderation: Any = None,
        access_programs: Any = None,
        background_options: dict[str, Any] | None = None,
        image: Any = None,
        user: str | None = None,
        extra_params: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self.check_names(kwargs)
        check_outputs(previous_response_id=previous_response_id, conversation=conversation)
        check_file_names({"input": input, "instructions": instructions})
        parameters = {name: value for name, value in locals().items() if name in self.API_PARAMETERS}
        super().__init__(**kwargs)
        for name, value in parameters.items():
            setattr(self, name, value)
        self.thread_id = None
        self.extra_params = extra_params
        self.answer_model = read_text_format(text_format, text)
        check_combination(parameters)
        if not store and (self.tool_handlers or self.human_tools):
            raise ValueError(
                "tool_handlers and human_tools need store=True: each round continues from a stored response"
            )
        self.check_arguments_for_create(tools)
        self.mask_fields()

    #: The parameters of the API.
    API_PARAMETERS = api_parameters(__init__, but=("text_format", "extra_params"))
    template_fields: Sequence[str] = ("conn_id", *API_PARAMETERS, "extra_params")
    _OPTIONAL_IDS = ("conversation", "previous_response_id")
    _TEXTS = ("input", *text_parameters(__init__))

    def check_rendered_arguments(self) -> None:
        """Refuse arguments whose templates rendered nothing that can be sent."""
        body = self._request_body()
        check_rendered(body)
        check_combination(body)

    def _request_body(self) -> dict[str, Json]:
        return request_body(self, self.API_PARAMETERS, texts=self._TEXTS, optional_ids=self._OPTIONAL_IDS)

    def new_adapter(
        self, get_hook: Callable[[], OpenAIRunHook], identity: RunIdentity, state: TaskRunState
    ) -> ApiAdapter:
        """Return the adapter that creates the response; called once the templates are rendered."""
        from airflow_provider_openai_run.owned_runs.adapters import ResponsesAdapter
        from airflow_provider_openai_run.owned_runs.results import response_format

        body = self._request_body()
        if self.answer_model is not None:
            schema: Json = {"type": "json_schema", **response_format(self.answer_model)}
            text: Any = body.get("text") or {}
            body["text"] = {**text, "format": schema}
        return ResponsesAdapter(get_hook, identity, state, body=body)
