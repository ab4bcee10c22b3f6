"""Values that every codec and database of Airflow can store.

A server may send text that UTF-8 cannot encode (a lone surrogate) or that PostgreSQL cannot store (U+0000),
integers that no 64-bit field takes, and JSON nested deeper than Airflow's serializers follow. In an event
such a value would end the triggerer; in an XCom it would fail a task whose run was paid for. So values are
made storable where they enter a :class:`~airflow_provider_openai_run.types.run.Run`, an error or an answer.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_openai_run.types.json import Json

#: What replaces a character that cannot be stored.
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_MIN_INTEGER, _MAX_INTEGER = -(2**63), 2**63 - 1
#: Deeper values become JSON text: the serializers of Airflow 3.1 to 3.4 follow at least as many levels.
MAX_DEPTH = 60


def storable_text(text: str) -> str:
    """Return the text with lone surrogates and U+0000 replaced by U+FFFD; other text as the same object."""
    return _UNSTORABLE.sub(REPLACEMENT, text) if _UNSTORABLE.search(text) else text


def storable(value: Json, depth: int = MAX_DEPTH) -> Json:
    """
    Return a JSON value that can be stored: the same object where nothing had to be replaced.

    Characters are replaced as by :func:`storable_text`, in keys too; an integer beyond 64 bits becomes its
    decimal digits as text; what is nested deeper than ``depth`` becomes its JSON text.

    :param value: any JSON value.
    :param depth: how many levels of lists and objects may remain.
    """
    if isinstance(value, str):
        return storable_text(value)
    if isinstance(value, int) and not _MIN_INTEGER <= value <= _MAX_INTEGER:
        return _digits(value)
    if not isinstance(value, list | dict):
        return value
    if depth <= 0:
        return _json_text(value)
    if isinstance(value, list):
        items = [storable(item, depth - 1) for item in value]
        return value if all(map(_is_same, items, value)) else items
    pairs = {storable_text(key): storable(item, depth - 1) for key, item in value.items()}
    is_same = len(pairs) == len(value) and all(map(_is_same, pairs.items(), value.items()))
    return value if is_same else pairs


def _is_same(new: object, old: object) -> bool:
    if isinstance(new, tuple) and isinstance(old, tuple):
        return all(one is other for one, other in zip(new, old, strict=True))
    return new is old


def _digits(number: int) -> str:
    try:
        return str(number)
    except ValueError:  # beyond the interpreter's limit for decimal digits
        return hex(number)


def _json_text(value: Json) -> str:
    try:
        # ASCII escapes are storable whatever the text is.
        return json.dumps(value)
    except (RecursionError, ValueError):
        return "(nested too deeply)"
