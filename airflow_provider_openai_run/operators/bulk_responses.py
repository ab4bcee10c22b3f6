"""The operator that creates thousands of responses, as one task."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import conf

from airflow_provider_openai_run.bulk.stop_signal import StopSignal
from airflow_provider_openai_run.bulk.windows import WindowName, window_of
from airflow_provider_openai_run.connection import DEFAULT_CONN_ID
from airflow_provider_openai_run.operators._base import is_known_at_runtime
from airflow_provider_openai_run.operators._deferral import forget_arguments
from airflow_provider_openai_run.operators._masked_fields import mask_fields, unmask_fields
from airflow_provider_openai_run.operators._owner import OwnerOperator
from airflow_provider_openai_run.operators._parameters import (
    api_parameters,
    check_rendered,
    read_text_format,
    request_body,
    text_parameters,
)
from airflow_provider_openai_run.operators._right_names import RightNames, check_positive
from airflow_provider_openai_run.polling.options import to_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from airflow.sdk import Context
    from pydantic import BaseModel

    from airflow_provider_openai_run.bulk.runner import BulkRunner
    from airflow_provider_openai_run.types.json import Json


class OpenAIBulkResponsesOperator(RightNames, OwnerOperator):
    """
    Create a response for each of thousands of requests, and write the answers to a folder.

    The return value is the manifest: counts by status, tokens, and the paths of ``answers.jsonl`` (the lines
    of the completed responses, in the form of the Batch API's output) and ``errors.jsonl`` (the failed
    requests, which can be ``requests`` again, each with its ``error``). The files appear when all requests
    have ended, or when the task gives up.

    **Never twice, never lost.** A journal in the results folder says what is about to be created before it is
    paid for, the id of each response right after its creation, and where its answer is. A worker that is
    killed at any point loses no answer, and the next try continues where it stopped. What is left open: a
    request whose response was lost, by a broken connection or because the worker was killed in the moments
    before the id was on the disk, is sent again under the same ``Idempotency-Key``, up to twice in a try. A
    server that honours the key creates no second response; the manifest counts these in ``responses_lost``.
    "Clear" in the UI means new responses for all requests.

    **Failures.** If more than ``max_failed`` fail, no more responses are created, those that are active are
    waited for, and the task fails. A retry creates the failed ones again, except those that the API refuses
    (400) and those that ended as ``incomplete``. Such requests fail again, so change them and clear the task,
    or give ``errors.jsonl`` to another one.

    **Waiting.** A deferrable task occupies its worker while it creates responses, and defers until a quarter
    of ``max_active_runs`` have ended, or all if nothing is left to create.

    :param requests: a list of requests, the output of a task, or the path or URL of a file with JSON lines
        (also as an ``ObjectStoragePath``). Each request is an object with ``custom_id`` and ``body``, and
        optionally ``method`` and ``url``, as for the Batch API. In a list, ``custom_id`` may be left out
        (``request-1`` and so on), and so may ``body``. They are checked before the first one is sent, and
        copied to the results folder: a retry does not read them again. Templated.
    :param results: the path or URL of the folder for the results (also as an ``ObjectStoragePath``); it must
        be the task's own. None means ``openai_bulk`` in ``AIRFLOW_HOME``, with a folder for each task
        instance. If tries may run on several machines it must be in shared storage. Templated.
    :param window: when the responses are completed: ``"now"``, or at a lower price within two or eight hours:
        ``"2h"`` or ``"8h"``. Polls and the default of ``timeout`` follow it.
    :param conn_id: the OpenAI connection. Templated.
    :param max_active_runs: how many responses may be active at a time, 1 or more; by default 1,000 for
        ``"now"``, 10,000 for the other windows.
    :param requests_per_minute: how many requests may be sent a minute, more than 0. In any case the task
        follows the ``x-ratelimit-*`` headers of the API, and slows down after a 429. None means no limit.
    :param tokens_per_minute: how many tokens they may have, more than 0: a quarter of the characters of each
        request, and its ``max_output_tokens``. None means no limit.
    :param max_failed: how many requests may fail before the task does: a number, or a share as a float from
        0.0 to 1.0.
    :param token_budget: how many tokens all responses may use, 1 or more. Once they are used up, no more
        responses are created, the active ones are cancelled, and the task fails without retries. The usage is
        known only when a response has ended, so it can be exceeded. None means no limit.
    :param text_format: a pydantic model. The API must write JSON of its schema.
    :param model: the model, such as ``gpt-5.2``.
    :param instructions: the system or developer message.
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
    :param metadata: up to 14 entries; the operator adds two of its own. Those of a request are added.
    :param prompt_cache_key: groups similar requests for the prompt cache.
    :param prompt_cache_options: further options of the prompt cache.
    :param prompt_cache_retention: how long the prompt stays in the cache, such as ``"24h"``.
    :param safety_identifier: a stable, hashed id of your end user, for detecting abuse.
    :param service_tier: the processing tier, such as ``"flex"`` or ``"priority"``.
    :param moderation: how input and output are moderated.
    :param access_programs: the access programs that the request is part of.
    :param image: options of images that the model generates.
    :param user: an id of your end user; deprecated by the API.
    :param extra_params: API parameters that this version does not know, by their names.
    :param cancel_on_kill: whether to cancel the active responses when a user ends the task.
    :param cancel_on_timeout: whether to cancel them when a timeout has passed.
    :param masked_fields: names of templated arguments, such as ``("requests", "instructions")``, whose values
        Airflow must not store as "Rendered Templates" in its database.
    :param timeout: how long a try may take, in seconds or as a timedelta; by default 4 hours for the window
        ``"2h"``, 12 for ``"8h"``, and no limit but ``execution_timeout`` for ``"now"``.
    :param poll_interval: the shortest time between two polls of a response, in seconds or as a timedelta; by
        default 5 s, 30 s for ``"2h"`` and 60 s for ``"8h"``.
    :param max_poll_interval: the longest; by default 2, 5 and 10 minutes.
    :param deferrable: whether to wait in the triggerer; by default Airflow's
        ``operators.default_deferrable``.
    :param kwargs: further arguments: ``max_consecutive_failures``, see :class:`.BaseRunOperator`, and those
        of every Airflow operator.
    :raises ValueError: for an argument out of its range, when the DAG is parsed.
    """

    ui_color = "#d5e3f0"

    RIGHT_NAMES: ClassVar[Mapping[str, str]] = {
        "input": "requests: each of them has an input",
        "inputs": "requests",
        "input_file": "requests",
        "output": "results",
        "output_file": "results",
        "completion_window": "window",
        "batch_size": "max_active_runs",
        "max_concurrency": "max_active_runs",
        "max_tokens": "max_output_tokens",
        "system": "instructions",
        "system_prompt": "instructions",
        "response_format": "text_format for a pydantic model, or text={'format': …}",
        "reasoning_effort": "reasoning={'effort': …}",
        "background_options": "window",
        "endpoint": "url in each request; this operator creates responses",
    }

    def __init__(
        self,
        *,
        requests: Any,
        results: Any = None,
        window: WindowName = "now",
        conn_id: str = DEFAULT_CONN_ID,
        max_active_runs: int | None = None,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        max_failed: float = 0,
        token_budget: int | None = None,
        text_format: type[BaseModel] | None = None,
        model: str | None = None,
        instructions: str | None = None,
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
        image: Any = None,
        user: str | None = None,
        extra_params: dict[str, Any] | None = None,
        cancel_on_kill: bool = True,
        cancel_on_timeout: bool = True,
        masked_fields: Collection[str] = (),
        timeout: timedelta | float | None = None,
        poll_interval: timedelta | float | None = None,
        max_poll_interval: timedelta | float | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        self.check_names(kwargs)
        parameters = {name: value for name, value in locals().items() if name in self.API_PARAMETERS}
        chosen = window_of(window)
        interval = to_seconds("poll_interval", poll_interval) or chosen.poll_interval
        super().__init__(
            poll_interval=interval,
            max_poll_interval=max_poll_interval or max(chosen.max_poll_interval, interval),
            **kwargs,
        )
        for name, value in parameters.items():
            setattr(self, name, value)
        self.requests = requests
        self.results = results
        self.window = window
        self.conn_id = conn_id
        self.max_active_runs = max_active_runs
        self.requests_per_minute = requests_per_minute
        self.tokens_per_minute = tokens_per_minute
        self.max_failed = max_failed
        self.token_budget = token_budget
        self.extra_params = extra_params
        self.cancel_on_kill = cancel_on_kill
        self.cancel_on_timeout = cancel_on_timeout
        self.masked_fields = masked_fields
        self.timeout = to_seconds("timeout", timeout) or chosen.timeout
        self.deferrable = deferrable
        self.answer_model = read_text_format(text_format, text)
        self.stop_signal = StopSignal()
        self._check_arguments()
        mask_fields(self, masked_fields, allowed=[name for name in self.template_fields if name != "conn_id"])

    #: The parameters of the API that all responses share.
    API_PARAMETERS = api_parameters(
        __init__,
        but=(
            "requests",
            "results",
            "window",
            "conn_id",
            "max_active_runs",
            "requests_per_minute",
            "tokens_per_minute",
            "max_failed",
            "token_budget",
            "text_format",
            "extra_params",
            "cancel_on_kill",
            "cancel_on_timeout",
            "masked_fields",
            "timeout",
            "poll_interval",
            "max_poll_interval",
            "deferrable",
        ),
    )
    template_fields: Sequence[str] = ("conn_id", "requests", "results", *API_PARAMETERS, "extra_params")
    _TEXTS = tuple(name for name in text_parameters(__init__) if name not in ("conn_id", "window"))

    def execute(self, context: Context) -> dict[str, Json]:
        """
        Create the responses, and wait for their ends.

        :return: the manifest.
        """
        forget_arguments(context)
        unmask_fields(self)
        return self._new_runner(context).start()

    def execute_complete(
        self,
        context: Context,
        event: dict[str, Any],
        started_at: float,
        pass_number: int,
    ) -> dict[str, Json]:
        """
        Continue after the trigger has seen responses end.

        :param started_at: when the try began, in epoch seconds.
        :param pass_number: the pass that deferred, which has set the order of the trigger's responses.
        """
        return self._new_runner(context).resume(started_at, event, pass_number)

    def on_deferral_timeout(self, kwargs: dict[str, Any], context: Context) -> None:
        """Cancel the responses: Airflow ended the deferral because no triggerer was there to do it."""
        self._new_runner(context).cancel(float(kwargs.get("started_at") or 0.0))

    def on_kill(self) -> None:
        """Cancel the active responses: a user has ended the task, or the worker is being shut down."""
        self.stop_signal.set()

    def _check_arguments(self) -> None:
        """Refuse what is wrong already when the DAG is parsed."""
        for name in ("max_active_runs", "requests_per_minute", "tokens_per_minute", "token_budget"):
            check_positive(name, getattr(self, name))
        if self.max_active_runs is not None and not isinstance(self.max_active_runs, int):
            raise ValueError(f"max_active_runs must be a whole number, not {self.max_active_runs!r}")
        allowed: object = self.max_failed
        is_number = isinstance(allowed, int | float) and not isinstance(allowed, bool)
        if not is_number or self.max_failed < 0 or (isinstance(allowed, float) and allowed > 1):
            raise ValueError(
                f"max_failed must be a whole number of 0 or more, or a share from 0.0 to 1.0, not {allowed!r}"
            )
        if self.requests is None or isinstance(self.requests, dict):
            raise ValueError(
                "requests must be a list of requests, the output of a task, or the path of a file, not "
                f"{type(self.requests).__name__}"
            )
        is_list = isinstance(self.requests, list | tuple)
        if is_list and not any(map(is_known_at_runtime, self.requests)) and not self.requests:
            raise ValueError("requests is an empty list: there is nothing to create")

    def _defaults(self) -> dict[str, Json]:
        """Return the parameters that all responses share."""
        from airflow_provider_openai_run.bulk.request_lines import merge
        from airflow_provider_openai_run.owned_runs.results import response_format

        body = request_body(self, self.API_PARAMETERS, texts=self._TEXTS)
        check_rendered(body)
        if self.answer_model is not None:
            schema: Json = {"type": "json_schema", **response_format(self.answer_model)}
            body = merge({"text": {"format": schema}}, body)
        return merge(window_of(self.window).body, body)

    def _new_runner(self, context: Context) -> BulkRunner:
        from airflow_provider_openai_run.bulk.config import BulkConfig
        from airflow_provider_openai_run.bulk.folder import default_folder
        from airflow_provider_openai_run.bulk.runner import BulkRunner
        from airflow_provider_openai_run.operators._running_task import RunningTask

        window = window_of(self.window)
        results = None if self.results in ("", "None") else self.results
        config = BulkConfig(
            conn_id=self.conn_id,
            get_hook=lambda: self.hook,
            requests=self.requests,
            results=default_folder(context) if results is None else results,
            window_name=self.window,
            window=window,
            defaults=self._defaults(),
            poll_options_from=self.poll_options_from,
            max_active_runs=self.max_active_runs or window.max_active_runs,
            requests_per_minute=self.requests_per_minute,
            tokens_per_minute=self.tokens_per_minute,
            max_failed=self.max_failed,
            token_budget=self.token_budget,
            cancel_on_kill=self.cancel_on_kill,
            cancel_on_timeout=self.cancel_on_timeout,
            deferrable=self.deferrable,
            push_progress=bool(self.do_xcom_push),
        )
        return BulkRunner(config, RunningTask(self, context), self.stop_signal)
