"""Report how the run of a task has ended: XComs, metrics, the parsed answer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow_provider_openai_run.api.registry import ref_of
from airflow_provider_openai_run.exceptions import (
    AnswerFormatError,
    RunStalledError,
    RunWaitTimeoutError,
)
from airflow_provider_openai_run.types.message_content import Answer
from airflow_provider_openai_run.types.outcome import describe_failing_step
from airflow_provider_openai_run.types.redaction import redact
from airflow_provider_openai_run.types.storable import storable

if TYPE_CHECKING:
    from pydantic import BaseModel

    from airflow_provider_openai_run.exceptions import OpenAIRunError
    from airflow_provider_openai_run.owned_runs.adapters import ApiAdapter
    from airflow_provider_openai_run.owned_runs.config import OwnedRunConfig, TaskInterface
    from airflow_provider_openai_run.owned_runs.state import Continuation
    from airflow_provider_openai_run.types.json import Json
    from airflow_provider_openai_run.types.outcome import Outcome
    from airflow_provider_openai_run.types.run import Run
    from airflow_provider_openai_run.types.run_ref import RunRef


NO_ANSWER = Answer()

#: How much of an answer a message quotes.
_MAX_QUOTED_CHARACTERS = 200


class RunResults:
    """
    Report how the run of a task has ended.

    :param config: the task's options.
    :param task: the running task.
    :param adapter: the API.
    """

    def __init__(self, config: OwnedRunConfig, task: TaskInterface, adapter: ApiAdapter) -> None:
        self._config = config
        self._task = task
        self._adapter = adapter

    def success(self, run: Run, continuation: Continuation) -> dict[str, Json]:
        """
        Return the attributes and the answer of a run that has ended as it should, and push ``token_usage``.

        :param run: the run at its end, or one that is returned while it waits for something.
        :param continuation: where the task stands.
        :raises AnswerFormatError: if the answer does not match the pydantic model; everything is pushed then.
        """
        answer = self._adapter.answer(run) if run.is_successful else NO_ANSWER
        if answer.refusal is not None:
            self._task.log.warning("%s refused: %s", ref_of(run), first_words(answer.refusal))
        model = self._config.answer_model
        try:
            value: Json = answer.text
            if model is not None and run.is_successful:
                value = parse_answer(answer, model, run)
        except AnswerFormatError:
            self.push_all(run, continuation, answer)
            raise
        self._task.push_xcoms({"token_usage": self._record_usage(run, continuation)})
        texts: dict[str, Json] = {"answer": storable(value), "refusal": storable(answer.refusal)}
        return {**run.to_xcom(), **texts}

    def failure(self, run: Run, outcome: Outcome, continuation: Continuation) -> Exception:
        """
        Push everything about a run that ended without success, and return its error.

        :param run: the run at its end.
        :param outcome: how the wait ended.
        :param continuation: where the task stands.
        """
        self.push_all(run, continuation)
        # The hook would import the SDK and look up the connection.
        secrets = () if run.failing_step is None else self._config.hook.secrets
        cause = describe_failing_step(run, secrets)
        return outcome.ended_error(f"{cause} A retry of the task creates another run.".lstrip())

    def push_all(self, run: Run, continuation: Continuation, answer: Answer = NO_ANSWER) -> None:
        """
        Push what Airflow would push if the task did not fail, and ``token_usage``.

        :param run: the run as it is now.
        :param continuation: where the task stands.
        :param answer: what the run has answered.
        """
        attributes = {**run.to_xcom(), "answer": answer.text, "refusal": answer.refusal}
        each = attributes if self._config.push_attributes else {}
        usage = self._record_usage(run, continuation)
        self._task.push_xcoms({**each, "return_value": attributes, "token_usage": usage})

    def _record_usage(self, run: Run, continuation: Continuation) -> dict[str, Json]:
        ti = self._task.context.get("ti")
        usage = token_usage(
            run,
            continuation,
            try_number=1 if ti is None else ti.try_number,
            api=continuation.ref.api,
            tokens_used=self._adapter.tokens_used(run),
        )
        send_metrics(usage, run)
        return usage


def timeout_error(error: OpenAIRunError, ref: RunRef, *, is_cancelled: bool) -> RunWaitTimeoutError:
    """
    Return the error of a wait that reached its deadline, with what happened to the run.

    :param error: the error of the wait.
    :param ref: the run.
    :param is_cancelled: whether the run was cancelled because of it.
    """
    cancelled = f"{error.summary} Cancellation was requested (cancel_on_timeout=True)."
    error_class = RunStalledError if isinstance(error, RunStalledError) else RunWaitTimeoutError
    return error_class(
        cancelled if is_cancelled else error.summary,
        **ref.ids,
        status=error.status,
        code=error.code,
        request_id=error.request_id,
        http_status=error.http_status,
        run_left_running=not is_cancelled,
    )


def token_usage(
    run: Run, continuation: Continuation, *, try_number: int, api: str, tokens_used: int | None
) -> dict[str, Json]:
    """
    Return the value of the XCom ``token_usage``: what this try has used.

    A run that has not ended has no ``usage`` yet, but its steps may show what all rounds have used.

    :param run: the run as it is now.
    :param continuation: where the task stands.
    :param try_number: the number of the try.
    :param api: the API's name.
    :param tokens_used: by the run up to now; None if the API does not say.
    """
    usage = run.usage
    is_known = tokens_used is not None or continuation.tokens_used
    return {
        "try_number": try_number,
        "api": api,
        "model": run.model,
        "status": run.status,
        "prompt_tokens": usage.prompt_tokens if usage else None,
        "completion_tokens": usage.completion_tokens if usage else None,
        "total_tokens": usage.total_tokens if usage else None,
        "total_tokens_of_all_rounds": (tokens_used or 0) + continuation.tokens_used if is_known else None,
        "rounds": continuation.rounds,
        "run_ids": list(continuation.run_ids),
    }


def send_metrics(usage: dict[str, Json], run: Run) -> None:
    """
    Send the metrics ``openai_run.ended``, ``openai_run.tokens`` and ``openai_run.duration`` to Airflow.

    :param usage: what :func:`token_usage` returned.
    :param run: the run as it is now.
    """
    from airflow.providers.common.compat.sdk import Stats

    tags = {"api": usage["api"], "model": str(usage["model"]), "status": str(run.status)}
    Stats.incr("openai_run.ended", tags=tags)
    tokens = usage["total_tokens_of_all_rounds"]
    if tokens and isinstance(tokens, int):
        Stats.incr("openai_run.tokens", count=tokens, tags=tags)
    if run.created_at is not None:
        ended_at = run.completed_at or run.failed_at or run.cancelled_at or time.time()
        # The API's clock and ours may differ.
        seconds = max(ended_at - run.created_at, 0)
        Stats.timing("openai_run.duration", seconds * 1000, tags=tags)


def first_words(text: str) -> str:
    """Return how a text of the model begins, for a message: one quoted line, with credentials masked."""
    masked = redact(text)
    is_cut = len(masked) > _MAX_QUOTED_CHARACTERS
    return repr(masked[:_MAX_QUOTED_CHARACTERS]) + ("…" if is_cut else "")


def parse_answer(answer: Answer, model: type[BaseModel], run: Run) -> Json:
    """
    Return the answer as the plain JSON of a pydantic model.

    :param answer: what the run has answered.
    :param model: the model that the answer must match.
    :param run: the run.
    :raises AnswerFormatError: if the model refused, or the text does not match the model.
    """
    from pydantic import ValidationError

    fields: dict[str, Any] = {**ref_of(run).ids, "status": run.status}
    text = answer.text
    if answer.refusal is not None and not text:
        message = f"Run {run.id} refused to answer as {model.__name__}: {first_words(answer.refusal)}"
        raise AnswerFormatError(message, **fields)
    if text is None:
        raise AnswerFormatError(f"Run {run.id} has no answer to read as {model.__name__}", **fields)
    try:
        return model.model_validate_json(text).model_dump(mode="json")
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, item['loc'])) or 'answer'}: {item['msg']}" for item in error.errors()
        )
        message = (
            f"The answer of run {run.id} does not match {model.__name__}: {redact(problems)}. "
            f"The answer begins: {first_words(text)}"
        )
        raise AnswerFormatError(message, **fields) from None


def response_format(model: type[BaseModel]) -> dict[str, Json]:
    """
    Return the strict JSON schema of a pydantic model, in the form the API takes for structured output.

    :param model: the model.
    """
    from openai import pydantic_function_tool

    schema: dict[str, Any] = pydantic_function_tool(model)["function"]["parameters"]
    return {"name": model.__name__, "strict": True, "schema": schema}
