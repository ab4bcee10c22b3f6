"""Parsers for single values of the APIs' JSON, whose types differ between servers."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime

from airflow_provider_openai_run.types.json import Json
from airflow_provider_openai_run.types.run import RunError, Usage
from airflow_provider_openai_run.types.storable import TOO_DEEP, is_storable_text


def unix_seconds(value: Json) -> int | None:
    """
    Return a time as whole Unix seconds; None for null, and for a value that is not a time.

    :param value: Unix seconds as an integer, a float or a string, or an ISO 8601 string, in UTC if it has no
        time zone.
    """
    time = unix_time(value)
    return None if time is None else math.floor(time)


def unix_time(value: Json) -> float | None:
    """Return a time as Unix seconds with their fraction; otherwise like :func:`unix_seconds`."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, str):
        return _parse_time(value.strip())
    if isinstance(value, int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    return None


def _parse_time(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        try:
            date = datetime.fromisoformat(text)
        except ValueError:
            return None
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    return number if math.isfinite(number) else None


def dump_json(value: Json) -> str:
    """
    Return a value as a JSON string that parses back to an equal value.

    Non-ASCII text is not escaped, so that it stays readable; unless the value has lone surrogates, which
    no database could store. Only a value that is nested more deeply than Python can follow is left out.
    """
    try:
        text = json.dumps(value, ensure_ascii=False)
        return text if is_storable_text(text) else json.dumps(value)
    except RecursionError:
        return json.dumps(TOO_DEEP)


def text_or_none(value: Json) -> str | None:
    """Return a string unchanged, None for null, and the JSON string of any other value."""
    return value if isinstance(value, str) or value is None else dump_json(value)


def string_or_none(value: Json) -> str | None:
    """Return a string unchanged, and None for any other value."""
    return value if isinstance(value, str) else None


def list_or_none(value: Json) -> list[Json] | None:
    """Return a list unchanged, and None for any other value."""
    return value if isinstance(value, list) else None


def string_items(value: Json) -> list[str]:
    """Return the strings of a list; an empty list for any other value."""
    return [item for item in list_or_none(value) or () if isinstance(item, str)]


def dict_or_none(value: Json) -> dict[str, Json] | None:
    """Return a JSON object unchanged, and None for any other value."""
    return value if isinstance(value, dict) else None


def parse_usage(value: Json, names: dict[str, str]) -> Usage | None:
    """
    Return the token usage; None for a value that is not an object.

    :param value: the API's usage object.
    :param names: the keys to rename, with their new names; all other keys are kept.
    """
    if not isinstance(value, dict):
        return None
    renamed = {names[key]: count for key, count in value.items() if key in names}
    kept = {key: item for key, item in value.items() if key not in names and key not in renamed}
    return Usage.from_xcom(renamed | kept)


def parse_error(value: Json) -> RunError | None:
    """
    Return the error of a run or a step; None for null.

    :param value: an object with ``code`` and ``message``, or a bare message.
    """
    if value is None:
        return None
    if not isinstance(value, dict):
        return RunError(message=text_or_none(value))
    code, message = text_or_none(value.get("code")), text_or_none(value.get("message"))
    return RunError.from_xcom({**value, "code": code, "message": message})
