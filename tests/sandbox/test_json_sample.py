"""Samples of JSON schemas are valid for them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from airflow_provider_openai_run.sandbox.json_sample import sample

NODE = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
        "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
    },
    "required": ["name", "children", "next"],
    "additionalProperties": False,
}
SCHEMAS: dict[str, Any] = {
    "object": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "celsius": {"type": "number"}},
        "required": ["city", "celsius"],
        "additionalProperties": False,
    },
    "required without property": {"type": "object", "required": ["a"]},
    "enum": {"enum": ["warm", "cold"]},
    "const": {"const": 7},
    "default": {"type": "string", "default": "x"},
    "nullable": {"type": ["string", "null"]},
    "any of": {"anyOf": [{"type": "integer", "minimum": 100}, {"type": "null"}]},
    "one of with siblings": {
        "type": "object",
        "properties": {"kind": {"type": "string"}},
        "required": ["kind"],
        "oneOf": [{"properties": {"a": {"type": "integer"}}, "required": ["a"]}, {"required": ["b"]}],
    },
    "all of": {
        "allOf": [
            {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
            {"type": "object", "properties": {"b": {"type": "boolean"}}, "required": ["b"]},
        ],
    },
    "definitions": {"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"type": "integer", "maximum": -3}}},
    "recursive": {"$ref": "#/$defs/node", "$defs": {"node": NODE}},
    "recursive root": {
        "type": "object",
        "properties": {"parent": {"anyOf": [{"type": "null"}, {"$ref": "#"}]}, "more": {"$ref": "#"}},
        "required": ["parent"],
    },
    "array": {"type": "array", "items": {"type": "string"}, "minItems": 3, "maxItems": 5},
    "empty array": {"type": "array", "items": {"type": "string"}, "maxItems": 0},
    "tuple": {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "items": False},
    "longer tuple": {"prefixItems": [{"type": "string"}], "items": {"type": "null"}, "minItems": 3},
    "untyped object": {"properties": {"a": {"type": "boolean"}}},
    "true": True,
    "empty": {},
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_sample_is_valid(name: str) -> None:
    Draft202012Validator(SCHEMAS[name]).validate(sample(SCHEMAS[name]))


def test_a_sample_has_all_properties() -> None:
    assert sample(SCHEMAS["object"]) == {"city": "sample", "celsius": 42}


def test_a_sample_of_a_recursive_schema_is_shallow() -> None:
    assert sample(SCHEMAS["recursive"]) == {"name": "sample", "children": [], "next": None}
    assert sample(SCHEMAS["recursive root"]) == {"parent": None}


def test_a_schema_without_finite_values_still_has_a_sample() -> None:
    endless = {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}
    assert sample(endless) == {"a": {"a": {"a": {"a": None}}}}


@pytest.mark.parametrize(
    "name", ["date", "date-time", "time", "duration", "email", "hostname", "ipv4", "ipv6", "uri", "uuid"]
)
def test_a_sample_has_the_format(name: str) -> None:
    schema = {"type": "string", "format": name}
    Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(sample(schema))
    assert sample(schema) != sample({"type": "string"})


@given(least=st.integers(0, 40), extra=st.integers(0, 40))
def test_a_string_keeps_to_its_length(least: int, extra: int) -> None:
    assert (
        least
        <= len(sample({"type": "string", "minLength": least, "maxLength": least + extra}))
        <= least + extra
    )


@settings(max_examples=300)
@given(
    kind=st.sampled_from(["integer", "number"]),
    low=st.integers(-1000, 1000),
    width=st.integers(2, 1000),
    bounds=st.sets(st.sampled_from(["minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"])),
    step=st.sampled_from([None, 1, 2]),
)
def test_a_number_keeps_to_its_bounds(
    kind: str, low: int, width: int, bounds: set[str], step: int | None
) -> None:
    values = {
        "minimum": low,
        "exclusiveMinimum": low,
        "maximum": low + width,
        "exclusiveMaximum": low + width,
    }
    schema: dict[str, Any] = {"type": kind, **{name: values[name] for name in bounds}}
    if step is not None and width > 2 * step:
        schema["multipleOf"] = step
    Draft202012Validator(schema).validate(sample(schema))


def test_a_number_between_close_bounds_is_their_mean() -> None:
    assert sample({"type": "number", "minimum": 0, "exclusiveMaximum": 0.5}) == 0.25
    assert sample({"type": "number", "minimum": 0.5, "maximum": 0.5}) == 0.5
