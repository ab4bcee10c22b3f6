"""Output that the API returns only if a request names it in ``include``."""

from __future__ import annotations

from collections.abc import Iterable

from airflow_provider_openai_run.sandbox.errors import APIError
from airflow_provider_openai_run.sandbox.scripts import JsonObject

#: Names of further output, with the type of the items that have it and the path of its field in them.
_FIELDS = {
    "code_interpreter_call.outputs": ("code_interpreter_call", ("outputs",)),
    "file_search_call.results": ("file_search_call", ("results",)),
    "web_search_call.action.sources": ("web_search_call", ("action", "sources")),
}
#: Names that the API knows, of output that the sandbox's items do not have.
_WITHOUT_FIELD = (
    "computer_call_output.output.image_url",
    "message.input_image.image_url",
    "message.output_text.logprobs",
    "reasoning.encrypted_content",
    "web_search_call.results",
)


def check_include(include: Iterable[str]) -> None:
    """
    Refuse a name that the API does not know.

    :param include: the names of a request.
    """
    known = sorted([*_FIELDS, *_WITHOUT_FIELD])
    for name in include:
        if name not in known:
            values = ", ".join(f"'{each}'" for each in known)
            message = f"Invalid value: '{name}'. Supported values are: {values}."
            raise APIError(400, message, param="include", code="invalid_value")


def without_others(item: JsonObject, include: Iterable[str]) -> JsonObject:
    """
    Return an output item without the output that a request did not ask for, which is null or absent.

    :param item: the whole item.
    :param include: the names of the request.
    """
    for name, (kind, path) in _FIELDS.items():
        if item["type"] == kind and name not in include:
            item = _without(item, path)
    return item


def _without(item: JsonObject, path: tuple[str, ...]) -> JsonObject:
    first, *rest = path
    if rest:
        return {**item, first: {name: value for name, value in item[first].items() if name not in rest}}
    return {**item, first: None}
