"""Which parameters of a request that creates a response fit together.

https://platform.openai.com/docs/api-reference/responses/create.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_openai_run.types.json import Json


def check_combination(parameters: Mapping[str, Json]) -> None:
    """
    Refuse parameters that the API would refuse together.

    :param parameters: the body of the request, or the arguments of a task; None counts as not set.
    :raises ValueError: naming what is missing or excludes another.
    """
    present = {name for name, value in parameters.items() if value is not None}
    if {"conversation", "previous_response_id"} <= present:
        raise ValueError("conversation and previous_response_id exclude each other")
    if not present & {"model", "prompt"}:
        raise ValueError("a response needs a model, or a prompt that names one")
    if not present & {"input", "prompt", "previous_response_id", "conversation"}:
        raise ValueError("a response needs an input, a prompt, a previous response or a conversation")
    if isinstance(parameters.get("input"), dict):
        raise ValueError(  # noqa: TRY004 - a wrong value like the others
            "input must be a text or a list of items, not a dict; of the output of a task, pass one key"
        )
