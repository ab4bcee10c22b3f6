"""Making a response."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_openai_run.operators._owned_run import OwnedRunOperator
from airflow_provider_openai_run.operators._parameters import request_parameters, split_answer_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import BaseModel

    from airflow_provider_openai_run.owned_runs.adapters import ApiAdapter
    from airflow_provider_openai_run.types.run import Json

#: The parameters of the API, each under its own name.
PARAMETERS = (
    "model",
    "input",
    "instructions",
    "background",
    "store",
    "conversation",
    "previous_response_id",
    "prompt",
    "text",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "max_tool_calls",
    "max_output_tokens",
    "temperature",
    "top_p",
    "top_logprobs",
    "reasoning",
    "truncation",
    "context_management",
    "include",
    "metadata",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "moderation",
    "access_programs",
    "background_options",
    "image",
    "user",
)


class OpenAICreateResponseOperator(OwnedRunOperator):
    """
    Makes a response in the background; waits for it; gives its output text, or the object parsed from it.

    What is promised about retries, cancelling and tool calls, and all further parameters, stand at
    :class:`~airflow_provider_openai_run.operators._owned_run.OwnedRunOperator`. The rounds of a tool conversation
    are one response each: the XComs are those of the last, ``token_usage`` counts them all.

    https://platform.openai.com/docs/api-reference/responses/create. All API parameters are templated and have
    the API's own names and meanings; None leaves one out.

    :param model: the model.
    :param input: a text, or a list of items.
    :param instructions: the system's or developer's message.
    :param background: whether the API answers at once and works on; else the task holds its worker, and the
        response cannot be cancelled.
    :param store: whether the response can be retrieved later; tool calls need it.
    :param text_format: a pydantic model: the API is made to keep to its schema, and ``answer`` is its JSON.
    :param conversation: a conversation to go on with.
    :param previous_response_id: a response to go on from; not beside ``conversation``.
    :param prompt: a prompt kept at OpenAI.
    :param text: the format of the text, unless ``text_format`` says it; its verbosity.
    :param tools: the tools.
    :param tool_choice: which tool, if any.
    :param parallel_tool_calls: whether several tools may be called at once.
    :param max_tool_calls: of the API's own tools.
    :param max_output_tokens: of each response.
    :param temperature: of the sampling.
    :param top_p: of the sampling.
    :param top_logprobs: how many to give.
    :param reasoning: of reasoning models.
    :param truncation: what to do with too long an input.
    :param context_management: when to compact.
    :param include: what to send along beside the response.
    :param metadata: at most 14 pairs beside the task's own two.
    :param prompt_cache_key: for a better use of the prompt cache.
    :param prompt_cache_options: of the prompt cache.
    :param prompt_cache_retention: how long the prompt is cached.
    :param safety_identifier: of your user.
    :param service_tier: how fast and how dear.
    :param moderation: of input and output.
    :param access_programs: programs that the request is part of.
    :param background_options: of background mode.
    :param image: of images that are made.
    :param user: deprecated by the API.
    :param extra_params: parameters of the API this version does not know, by their names.
    :raises ValueError: for an argument out of its range, when the DAG is parsed.
    """

    template_fields: Sequence[str] = ("conn_id", *PARAMETERS, "extra_params")

    def __init__(
        self,
        *,
        model: str | None = None,
        input: Json = None,  # noqa: A002 - the API's own name
        instructions: str | None = None,
        background: bool = True,
        store: bool = True,
        text_format: type[BaseModel] | None = None,
        conversation: Json = None,
        previous_response_id: str | None = None,
        prompt: dict[str, Json] | None = None,
        text: dict[str, Json] | None = None,
        tools: list[Json] | None = None,
        tool_choice: Json = None,
        parallel_tool_calls: bool | None = None,
        max_tool_calls: int | None = None,
        max_output_tokens: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        top_logprobs: int | None = None,
        reasoning: dict[str, Json] | None = None,
        truncation: str | None = None,
        context_management: Json = None,
        include: list[str] | None = None,
        metadata: dict[str, str] | None = None,
        prompt_cache_key: str | None = None,
        prompt_cache_options: dict[str, Json] | None = None,
        prompt_cache_retention: str | None = None,
        safety_identifier: str | None = None,
        service_tier: str | None = None,
        moderation: Json = None,
        access_programs: Json = None,
        background_options: dict[str, Json] | None = None,
        image: Json = None,
        user: str | None = None,
        extra_params: dict[str, Json] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.thread_id = None
        self.model = model
        self.input = input
        self.instructions = instructions
        self.background = background
        self.store = store
        self.answer_model, _ = split_answer_model(text_format)
        self.conversation = conversation
        self.previous_response_id = previous_response_id
        self.prompt = prompt
        self.text = text
        self.tools = tools
        self.tool_choice = tool_choice
        self.parallel_tool_calls = parallel_tool_calls
        self.max_tool_calls = max_tool_calls
        self.max_output_tokens = max_output_tokens
        self.temperature = temperature
        self.top_p = top_p
        self.top_logprobs = top_logprobs
        self.reasoning = reasoning
        self.truncation = truncation
        self.context_management = context_management
        self.include = include
        self.metadata = metadata
        self.prompt_cache_key = prompt_cache_key
        self.prompt_cache_options = prompt_cache_options
        self.prompt_cache_retention = prompt_cache_retention
        self.safety_identifier = safety_identifier
        self.service_tier = service_tier
        self.moderation = moderation
        self.access_programs = access_programs
        self.background_options = background_options
        self.image = image
        self.user = user
        self.extra_params = extra_params
        self._check(text_format)

    def _check(self, text_format: object) -> None:
        if text_format is not None and self.answer_model is None:
            raise ValueError(f"text_format must be a pydantic model, not {text_format!r}")
        if self.answer_model is not None and isinstance(self.text, dict) and "format" in self.text:
            raise ValueError("text_format and text['format'] both say the format; leave out one of them")
        if self.conversation is not None and self.previous_response_id is not None:
            raise ValueError("conversation and previous_response_id exclude each other")
        if self.model is None and self.prompt is None:
            raise ValueError("a response needs a model, or a prompt that names one")
        given = (self.input, self.prompt, self.previous_response_id, self.conversation)
        if all(value is None for value in given):
            raise ValueError("a response needs an input, a prompt, a previous response or a conversation")
        if not self.store and (self.tool_handlers or self.human_tools):
            raise ValueError(
                "tool_handlers and human_tools need store=True: each round goes on from a stored response"
            )
        self.check_arguments_for_create(self.tools)

    def runs(self) -> ApiAdapter:
        """Give the responses."""
        from airflow_provider_openai_run.owned_runs.adapters import ResponsesAdapter
        from airflow_provider_openai_run.owned_runs.results import response_format

        body = request_parameters(self, PARAMETERS)
        if self.answer_model is not None:
            schema = {"type": "json_schema", **response_format(self.answer_model)}
            body["text"] = {**(self.text or {}), "format": schema}
        return ResponsesAdapter(self.hook, body)
