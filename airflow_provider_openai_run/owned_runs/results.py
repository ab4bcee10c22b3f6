"""What is told of a run that a task has made: XComs, metrics, the answer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow_provider_openai_run.api.registry import ref_of
from airflow_provider_openai_run.exceptions import AnswerFormatError

if TYPE_CHECKING:
    from airflow.sdk import Context
    from pydantic import BaseModel

    from airflow_provider_openai_run.owned_runs.continuation import Continuation
    from airflow_provider_openai_run.types.run import Json, Run


def token_usage(
    context: Context, run: Run, progress: Continuation, api: str, spent: int | None
) -> dict[str, Json]:
    """
    Give what this try has used, for the XCom ``token_usage``.

    A run that has not ended has no ``usage`` yet; its steps may tell what all rounds have used all the same.

    :param context: of the running task.
    :param run: the run as it is at the end.
    :param progress: how far the task has come.
    :param api: the API's name.
    :param spent: tokens the run has used so far, as far as the API tells.
    """
    usage = run.usage
    is_known = spent is not None or progress.spent
    return {
        "try_number": context["ti"].try_number,
        "api": api,
        "model": run.model,
        "status": run.status,
        "prompt_tokens": usage.prompt_tokens if usage else None,
        "completion_tokens": usage.completion_tokens if usage else None,
        "total_tokens": usage.total_tokens if usage else None,
        "total_tokens_of_all_rounds": (spent or 0) + progress.spent if is_known else None,
        "rounds": progress.round,
        "run_ids": list(progress.made),
    }


def count(usage: dict[str, Json], run: Run) -> None:
    """
    Send Airflow metrics: ``openai_run.ended``, ``openai_run.tokens`` and ``openai_run.duration``.

    :param usage: what :func:`token_usage` gave.
    :param run: the run as it is at the end.
    """
    from airflow.providers.common.compat.sdk import Stats

    tags = {"api": usage["api"], "model": str(usage["model"]), "status": str(run.status)}
    Stats.incr("openai_run.ended", tags=tags)
    if usage["total_tokens_of_all_rounds"]:
        Stats.incr("openai_run.tokens", count=usage["total_tokens_of_all_rounds"], tags=tags)
    if run.created_at is not None:
        ended_at = run.completed_at or run.failed_at or run.cancelled_at or time.time()
        # The API's clock and ours may differ.
        seconds = max(ended_at - run.created_at, 0)
        Stats.timing("openai_run.duration", seconds * 1000, tags=tags)


def parsed(text: str | None, model: type[BaseModel], run: Run) -> Json:
    """
    Give the answer as the plain JSON of a pydantic model.

    :param text: what the run has answered.
    :param model: what it was asked to keep to.
    :param run: the run.
    :raises AnswerFormatError: if it does not.
    """
    from pydantic import ValidationError

    facts: dict[str, Any] = {**ref_of(run).ids, "status": run.status}
    if text is None:
        raise AnswerFormatError(f"Run {run.id} has no answer to read as {model.__name__}", **facts)
    try:
        return model.model_validate_json(text).model_dump(mode="json")
    except ValidationError as error:
        found = "; ".join(
            f"{'.'.join(map(str, one['loc'])) or 'answer'}: {one['msg']}" for one in error.errors()
        )
        raise AnswerFormatError(
            f"The answer of run {run.id} is no {model.__name__}: {found}", **facts
        ) from None


def response_format(model: type[BaseModel]) -> dict[str, Json]:
    """
    Give the strict JSON schema of a pydantic model, as the API wants it for structured output.

    :param model: the model.
    """
    from openai import pydantic_function_tool

    function = pydantic_function_tool(model)["function"]
    return {"name": model.__name__, "strict": True, "schema": function["parameters"]}
