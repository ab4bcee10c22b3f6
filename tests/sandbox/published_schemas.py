"""OpenAI's published description of its API, made ready to check responses against."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, ValidationError

SHARED = Path(__file__).parents[3] / "shared"
DESCRIPTION = SHARED / "openapi" / "openai-2.3.0.yaml"
RECORDED = SHARED / "recorded"


@functools.cache
def schemas() -> Any:
    """Return the description's schemas."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    with DESCRIPTION.open(encoding="utf-8") as file:
        document = yaml.load(file, loader)  # noqa: S506 - both loaders are the safe ones
    return with_nulls(document["components"]["schemas"])


@functools.cache
def validator(schema: str) -> Draft202012Validator:
    """
    Return the validator of a schema.

    :param schema: name of the schema.
    """
    whole = {"$ref": f"#/components/schemas/{schema}", "components": {"schemas": schemas()}}
    return Draft202012Validator(whole)


def with_nulls(schema: Any) -> Any:
    """Replace OpenAPI 3.0's ``nullable`` by JSON Schema's null type."""
    if isinstance(schema, list):
        return [with_nulls(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {key: with_nulls(value) for key, value in schema.items() if key != "nullable"}
    return {"anyOf": [plain, {"type": "null"}]} if schema.get("nullable") is True else plain


def deviations(schema: str, body: Any) -> set[str]:
    """
    Return the deviations of a body from a schema, each as location and kind.

    :param schema: name of the schema.
    :param body: JSON of the response.
    """
    return {_named(schema, error) for error in _innermost(validator(schema).iter_errors(body))}


def _innermost(errors: Iterator[ValidationError]) -> Iterator[ValidationError]:
    """Replace the errors of an ``anyOf`` that only adds null by those of the other schema."""
    for error in errors:
        branches: Any = error.validator_value if error.validator == "anyOf" else ()
        if len(branches) == 2 and {"type": "null"} in branches and error.instance is not None:
            yield from _innermost(each for each in error.context or () if each.validator_value != "null")
        else:
            yield error


def _named(schema: str, error: ValidationError) -> str:
    path = ".".join("*" if isinstance(part, int) else str(part) for part in error.absolute_path)
    if error.validator == "required":
        return f"{schema} {path}: lacks {error.message.split(chr(39))[1]}"
    return f"{schema} {path}: is not {error.validator} ({'null' if error.instance is None else 'a value'})"
