"""The attributes of a run as a text table of limited width."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

WIDTH = 110


def attribute_table(values: Mapping[str, Any], names: Iterable[str], width: int = WIDTH) -> list[str]:
    """
    Return a line for each attribute: its name, the kind and size of its value, and as much of it as fits.

    :param values: the values by name.
    :param names: which of them, in this order.
    :param width: length of the lines.
    :return: lines, the header first.
    """
    rows = [(name, _kind(values[name]), _text(values[name])) for name in names]
    header = ("attribute", "kind", "value")
    name_width, kind_width = (max(len(row[column]) for row in [header, *rows]) for column in (0, 1))
    value_width = width - name_width - kind_width - 4
    return [
        f"{name:<{name_width}}  {kind:<{kind_width}}  {_shortened(text, value_width)}"
        for name, kind, text in [header, ("-" * name_width, "-" * kind_width, "-" * value_width), *rows]
    ]


def _text(value: Any) -> str:
    return json.dumps(value)


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, list | dict):
        noun = "list" if isinstance(value, list) else "object"
        return f"{noun} of {len(value):,}, {_size(value)}"
    return f"text, {_size(value)}" if isinstance(value, str) else "number"


def _size(value: Any) -> str:
    return f"{len(_text(value)):,} B"


def _shortened(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 3]}..."
