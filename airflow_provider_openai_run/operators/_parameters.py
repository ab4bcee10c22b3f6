"""The parameters of an operator that creates a run: from its signature to the body of the request."""

from __future__ import annotations

import inspect
import json
import re
from typing import TYPE_CHECKING, Any, cast

from airflow_provider_openai_run.operators._base import id_text
from airflow_provider_openai_run.types.json import as_text
from airflow_provider_openai_run.types.run_ref import check_id

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from pydantic import BaseModel

    from airflow_provider_openai_run.types.json import Json

#: Parameters of the API that a task cannot use.
_STREAMING = ("stream", "stream_options")

#: A text that ends so is the name of a file with the template. ``.md`` and ``.txt`` are not among them:
#: ordinary text may end so, and Airflow would take it for a file name, inside lists and objects too.
PROMPT_FILES = (".j2", ".jinja", ".jinja2")
_FILE_NAME = re.compile(r"(?!\w+://)[^\s{}]+\.(md|txt|prompt)")


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


def text_parameters(init: Callable[..., None]) -> tuple[str, ...]:
    """
    Return the names of the parameters of an operator's ``__init__`` that are annotated as text.

    :param init: the operator's ``__init__``.
    """
    parameters = inspect.signature(init).parameters.values()
    return tuple(item.name for item in parameters if item.annotation in ("str", "str | None"))


def render_optional_id(name: str, value: Json) -> Json:
    """
    Return an id that may be absent, as its template rendered it: "None" and an empty text count as None.

    :param name: the argument's name.
    :param value: its value; a number is one that ``render_template_as_native_obj`` made of an id, and a
        conversation may be an object with an ``id``.
    :raises InvalidRunReferenceError: if it is not an id, naming the argument.
    """
    if name == "conversation" and isinstance(value, dict) and "conversation_id" not in value:
        return value if render_optional_id("conversation['id']", value.get("id")) else None
    if value is None or value in ("None", ""):
        return None
    text: str = id_text(value)
    check_id(name, text)
    return text


def request_body(
    task: Any, names: Sequence[str], *, texts: Collection[str], optional_ids: Collection[str] = ()
) -> dict[str, Json]:
    """
    Return the parameters that are set, those of ``extra_params`` included.

    :param task: the task, its templates rendered.
    :param names: the names of the API's parameters.
    :param texts: those for which a number is the text of its digits.
    :param optional_ids: those that are left out if they rendered "None", see :func:`render_optional_id`.
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
    for name in optional_ids:
        if name in body and (rendered := render_optional_id(name, body.pop(name))) is not None:
            body[name] = rendered
    for name, value in body.items():
        if name in texts:
            value = body[name] = as_text(value)  # noqa: PLW2901 - the rendered value from here on
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name!r} is not JSON: {error}") from None
    return body


def check_rendered(body: dict[str, Json]) -> None:
    """
    Refuse a parameter whose template rendered "None": it would be sent, and paid for, as a text.

    :param body: the body of a request.
    :raises ValueError: naming the parameter.
    """
    prompt = body.get("prompt")
    values = {**body, "prompt['id']": prompt.get("id") if isinstance(prompt, dict) else None}
    for name, value in values.items():
        if isinstance(value, str) and value.strip() == "None":
            raise ValueError(f"{name} rendered to 'None': the XCom or param it comes from is empty")


def check_file_names(parameters: Mapping[str, Json]) -> None:
    """
    Refuse a text that is the name of a file which ``template_ext`` does not cover.

    It would be sent, and paid for, as the prompt.

    :param parameters: prompts by the names of their arguments, before their templates are rendered.
    :raises ValueError: naming the argument, and the name that the file needs.
    """
    for name, value in parameters.items():
        if isinstance(value, str) and _FILE_NAME.fullmatch(value):
            raise ValueError(
                f"{name} would be sent as the text {value!r}, which is a file name; rename the file to "
                f"'{value}.j2', which Airflow reads"
            )


def split_answer_model(value: Any) -> tuple[type[BaseModel] | None, Any]:
    """
    Return a pydantic model and None, or None and the API's own value.

    :param value: either of them.
    """
    if isinstance(value, type) and hasattr(value, "model_validate_json"):
        return cast("type[BaseModel]", value), None
    return None, value


def read_text_format(text_format: object, text: object) -> type[BaseModel] | None:
    """
    Return the pydantic model that the argument ``text_format`` of an operator is; None if it is not set.

    :param text_format: the argument.
    :param text: the argument ``text``, which may set the format too.
    :raises ValueError: for anything but a model, and if both set the format.
    """
    model, _ = split_answer_model(text_format)
    if text_format is not None and model is None:
        raise ValueError(f"text_format must be a pydantic model, not {text_format!r}")
    if model is not None and isinstance(text, dict) and "format" in text:
        raise ValueError("text_format and text['format'] both set the format; leave out one of them")
    return model
