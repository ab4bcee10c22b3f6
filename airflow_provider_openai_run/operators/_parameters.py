"""The parameters of an operator that creates a run: from its signature to the body of the request."""

from __future__ import annotations

import inspect
import json
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from pydantic import BaseModel

    from airflow_provider_openai_run.types.json import Json

#: Parameters of the API that a task cannot use.
_STREAMING = ("stream", "stream_options")


def api_parameters(init: Callable[..., None], *, but: Collection[str] = ()) -> tuple[str, ...]:
    """
    Return the names of the API's parameters: the keyword-only parameters of an operator's ``__init__``.

    The signature is the only list of them: the operator's ``template_fields``, its attributes and the body of
    its request follow from it.

    :param init: the operator's ``__init__``.
    :param but: the parameters that are not the API's.
    """
    parameters = inspect.signature(init).parameters.values()
    return tuple(
        parameter.name
        for parameter in parameters
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.name not in but
    )


def request_body(task: Any, names: Sequence[str]) -> dict[str, Json]:
    """
    Return the parameters that are set, those of ``extra_params`` included.

    :param task: the task, its templates rendered.
    :param names: the names of the API's parameters.
    :raises ValueError: for a parameter that is set twice, one for streaming, or a value that is not JSON.
    """
    body = {name: getattr(task, name) for name in names if getattr(task, name) is not None}
    extra = task.extra_params or {}
    for name in extra:
        if name in names:
            raise ValueError(f"{name!r} is an argument of the operator; pass it there, not in extra_params")
        if name in _STREAMING:
            raise ValueError(f"{name!r} is not supported: a task reads the response once it is complete")
    body.update(extra)
    for name, value in body.items():
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name!r} is not JSON: {error}") from None
    return body


def split_answer_model(value: Any) -> tuple[type[BaseModel] | None, Any]:
    """
    Return a pydantic model and None, or None and the API's own value.

    :param value: either of them.
    """
    if isinstance(value, type) and hasattr(value, "model_validate_json"):
        return cast("type[BaseModel]", value), None
    return None, value
