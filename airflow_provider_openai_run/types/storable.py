"""Values that every codec and database of Airflow can store.

A server may send text that UTF-8 cannot encode (a lone surrogate) or that PostgreSQL cannot store (U+0000),
integers that no 64-bit field takes, and JSON nested deeper than Airflow's serializers follow. In an event
such a value would end the triggerer; in an XCom it would fail a task whose run was paid for. So values are
made storable where they enter a :class:`~airflow_provider_openai_run.types.run.Run`, an error or an answer.
"""

from __future__ import annotations

import itertools
import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_openai_run.types.json import Json

#: What replaces a character that cannot be stored.
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_MIN_INTEGER, _MAX_INTEGER = -(2**63), 2**63 - 1
#: Deeper values become JSON text: the serializers of Airflow 3.1 to 3.4 follow at least as many levels.
MAX_DEPTH = 60
#: How long a status, a type, an error code, a model or a request id may be.
MAX_WORD_CHARACTERS = 200
#: How long the id of a run or of anything that it belongs to may be.
MAX_ID_CHARACTERS = 1000
#: What stands for a value that is nested more deeply than Python can follow.
TOO_DEEP = "(nested too deeply)"
#: How many unstorable values are named.
_MAX_PATHS = 20


def storable_text(text: str) -> str:
    """Return the text with lone surrogates and U+0000 replaced by U+FFFD; other text as the same object."""
    return text if is_storable_text(text) else _UNSTORABLE.sub(REPLACEMENT, text)


def is_storable_text(text: str) -> bool:
    """Return whether a text has neither lone surrogates nor U+0000."""
    if "\x00" in text:
        return False
    try:
        # Ten times as fast as the regular expression.
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def bounded_text(text: str, max_characters: int = MAX_WORD_CHARACTERS) -> str:
    """
    Return the text, storable and cut to a length; the same object where nothing had to change.

    :param text: any text of a server.
    :param max_characters: how long the result may be, with the ``…`` that stands for the rest.
    """
    if len(text) <= max_characters:
        return storable_text(text)
    return f"{storable_text(text[: max_characters - 1])}…"


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


def unstorable_paths(value: Json) -> list[str]:
    """
    Return where a JSON value has text or integers that :func:`storable` replaces, such as ``metadata.note``.

    :param value: any JSON value; levels that :func:`storable` turns into text are not searched.
    :return: up to 20 paths, in the order of the value.
    """
    paths = itertools.islice(_unstorable_paths(value, "", MAX_DEPTH), _MAX_PATHS)
    return [bounded_text(path) for path in paths]


def _unstorable_paths(value: Json, path: str, depth: int) -> Iterator[str]:
    if isinstance(value, list | dict) and depth > 0:
        items = enumerate(value) if isinstance(value, list) else value.items()
        for key, item in items:
            inner = f"{path}[{key}]" if isinstance(key, int) else f"{path}.{key}".lstrip(".")
            if isinstance(key, str) and not is_storable_text(key):
                yield inner
            yield from _unstorable_paths(item, inner, depth - 1)
    elif storable(value, depth) is not value:
        yield path


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
        return TOO_DEEP
