"""Sample values for JSON schemas, for structured output.

The values are fixed: the same schema gives the same value. Supported are the keywords of OpenAI's structured
output; ``pattern``, ``not``, ``if`` and ``contains`` are ignored.
See https://platform.openai.com/docs/guides/structured-outputs#supported-schemas.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

_NUMBER = 42
_TEXT = "sample"
#: The types to sample, in this order, if a schema allows several.
_TYPES = ("object", "array", "string", "integer", "number", "boolean", "null")
_FORMATS: Mapping[str, str] = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "P1D",
    "email": "sample@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/sample",
    "uuid": "00000000-0000-4000-8000-000000000042",
}
#: The keywords that combine schemas, in the order in which they are expanded.
_COMBINATIONS = ("$ref", "allOf", "anyOf", "oneOf")
#: How often a reference may contain itself. Only schemas without finite values need more.
_MAX_REPEATS = 3
#: The keywords by which a schema without ``type`` is recognised.
_KEYWORDS: Mapping[str, str] = {
    "properties": "object",
    "required": "object",
    "items": "array",
    "prefixItems": "array",
}


def sample(schema: Any) -> Any:
    """
    Return a value that is valid for a JSON schema.

    :param schema: the schema. References into itself (``#/$defs/...``) are resolved.
    :return: a JSON value. A value of a recursive schema is as shallow as the schema allows.
    """
    return _Sampler(schema).value(schema, ())


class _Sampler:
    def __init__(self, root: Any) -> None:
        self._root = root

    def value(self, schema: Any, references: tuple[str, ...]) -> Any:
        """
        Return a value for a part of the schema.

        :param schema: the part.
        :param references: the references that led to it, outermost first.
        """
        schema, references = self._expanded(schema, references)
        for keyword in ("const", "default"):
            if keyword in schema:
                return schema[keyword]
        if schema.get("enum"):
            return schema["enum"][0]
        return self._typed(_type(schema), schema, references)

    def _expanded(self, schema: Any, references: tuple[str, ...]) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Return a schema without references and combinations, and the references that led to it."""
        while isinstance(schema, dict):
            keyword = next((name for name in _COMBINATIONS if schema.get(name)), None)
            if keyword is None:
                return schema, references
            rest = {name: value for name, value in schema.items() if name != keyword}
            parts = schema[keyword]
            if keyword == "$ref":
                if references.count(parts) >= _MAX_REPEATS:
                    break
                references = (*references, parts)
                parts = [self._resolve(parts)]
            elif keyword != "allOf":
                parts = [next((part for part in parts if not self._recurs(part, references)), parts[0])]
            schema = _merge([rest, *parts])
        return {"type": "null"} if schema is not True else {}, references

    def _typed(self, kind: str, schema: dict[str, Any], references: tuple[str, ...]) -> Any:
        if kind == "object":
            return self._object(schema, references)
        if kind == "array":
            return self._array(schema, references)
        if kind == "string":
            return _string(schema)
        if kind in {"integer", "number"}:
            return _number(schema, is_integer=kind == "integer")
        return True if kind == "boolean" else None

    def _object(self, schema: dict[str, Any], references: tuple[str, ...]) -> dict[str, Any]:
        required = schema.get("required") or []
        properties = schema.get("properties") or {}
        value = {
            name: self.value(each, references)
            for name, each in properties.items()
            if name in required or not self._recurs(each, references)
        }
        return value | {name: _TEXT for name in required if name not in properties}

    def _array(self, schema: dict[str, Any], references: tuple[str, ...]) -> list[Any]:
        first = [self.value(each, references) for each in schema.get("prefixItems") or []]
        items = schema.get("items", {})
        least = schema.get("minItems", 0)
        count = max(least, 0 if first or items is False or self._recurs(items, references) else 1)
        count = min(count, schema.get("maxItems", count))
        return first + [self.value(items, references) for _ in range(count - len(first))]

    def _recurs(self, schema: Any, references: tuple[str, ...]) -> bool:
        """Return whether a value cannot be sampled without one of the references, or the root, again."""
        if not isinstance(schema, dict):
            return False
        if "$ref" in schema:
            return schema["$ref"] == "#" or schema["$ref"] in references
        if schema.get("anyOf") or schema.get("oneOf"):
            return all(self._recurs(branch, references) for branch in schema.get("anyOf") or schema["oneOf"])
        required = schema.get("required") or []
        properties = schema.get("properties") or {}
        return any(self._recurs(properties.get(name), references) for name in required)

    def _resolve(self, reference: str) -> Any:
        target = self._root
        for part in reference.removeprefix("#").split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            target = target.get(name, {}) if isinstance(target, dict) else {}
        return target


def _merge(schemas: list[Any]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for schema in filter(lambda each: isinstance(each, dict), schemas):
        properties = {**merged.get("properties", {}), **schema.get("properties", {})}
        required = [*merged.get("required", ()), *schema.get("required", ())]
        merged |= schema
        if properties:
            merged["properties"] = properties
        if required:
            merged["required"] = required
    return merged


def _type(schema: dict[str, Any]) -> str:
    kinds = schema.get("type")
    if isinstance(kinds, str):
        return kinds
    if isinstance(kinds, list) and kinds:
        return next((kind for kind in _TYPES if kind in kinds), "null")
    return next((kind for keyword, kind in _KEYWORDS.items() if keyword in schema), "string")


def _string(schema: dict[str, Any]) -> str:
    text = _FORMATS.get(str(schema.get("format")), _TEXT)
    text = text.ljust(schema.get("minLength", 0), ".")
    return text[: schema.get("maxLength", len(text))]


def _number(schema: dict[str, Any], *, is_integer: bool) -> float:
    minimum, maximum = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    above, below = schema.get("exclusiveMinimum", -math.inf), schema.get("exclusiveMaximum", math.inf)
    low, high = float(max(minimum, above)), float(min(maximum, below))
    step: float = schema.get("multipleOf", 1)
    candidates: list[float] = [_NUMBER // step * step]
    if not is_integer and "multipleOf" not in schema:
        candidates += [(low + high) / 2, low + 1, high - 1]
    if math.isfinite(low):
        candidates += [math.ceil(low / step) * step, (math.floor(low / step) + 1) * step]
    if math.isfinite(high):
        candidates += [math.floor(high / step) * step, (math.ceil(high / step) - 1) * step]
    allowed = (value for value in candidates if minimum <= value <= maximum and above < value < below)
    value = next(allowed, _NUMBER)
    return int(value) if is_integer else value
