"""From a task's arguments to the body of a request."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import BaseModel

    from airflow_provider_openai_run.types.run import Json

#: What a task cannot do anything with.
_REFUSED = ("stream", "stream_options")


def request_parameters(task: Any, names: Sequence[str]) -> dict[str, Json]:
    """
    Give the parameters that are set, the task's ``extra_params`` among them.

    :param task: the task, its templates rendered.
    :param names: the API's parameters the task has arguments for.
    :raises ValueError: for a parameter given twice, one for streaming, or a value that JSON cannot hold.
    """
    body = {name: getattr(task, name) for name in names if getattr(task, name) is not None}
    extra = task.extra_params or {}
    for name in extra:
        if name in names:
            raise ValueError(f"{name!r} is an argument of its own, and does not belong into extra_params")
        if name in _REFUSED:
            raise ValueError(f"{name!r} is of no use to a task: it takes the answer once it is complete")
    body.update(extra)
    for name, value in body.items():
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name!r} is not what JSON can hold: {error}") from None
    return body


def split_answer_model(value: Json) -> tuple[type[BaseModel] | None, Json]:
    """
    Tell a pydantic model from an API's own value.

    :param value: either of them.
    :return: the model or None, and the API's own value or None.
    """
    if isinstance(value, type) and hasattr(value, "model_validate_json"):
        return cast("type[BaseModel]", value), None
    return None, value
