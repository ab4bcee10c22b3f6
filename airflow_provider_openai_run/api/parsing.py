"""Reading single values of the APIs' JSON, which keeps to no type."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime

from airflow_provider_openai_run.types.run import Json, RunError, Usage


def seconds(value: Json) -> int | None:
    """
    Read a time.

    :param value: Unix seconds as int, float or digits, an ISO 8601 string (UTC where it names no zone), null.
    :return: whole Unix seconds; None for null and for what is no time.
    """
    time = moment(value)
    return None if time is None else math.floor(time)


def moment(value: Json) -> float | None:
    """Read a time as :func:`seconds` does, with its fraction."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, str):
        return _of_text(value.strip())
    if isinstance(value, int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    return None


def _of_text(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        try:
            when = datetime.fromisoformat(text)
        except ValueError:
            return None
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    return number if math.isfinite(number) else None


def json_text(value: Json) -> str:
    """
    Give a value as a JSON string that parses back to exactly it.

    Text is left readable, except where it holds lone surrogates, which no database would take.
    """
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value)
    return text


def text_or_none(value: Json) -> str | None:
    """Give a string as it is, null as None, and anything else as its JSON."""
    return value if isinstance(value, str) or value is None else json_text(value)


def list_or_none(value: Json) -> list[Json] | None:
    """Give a list as it is, and None for anything else."""
    return value if isinstance(value, list) else None


def strings_of(value: Json) -> list[str]:
    """Give the strings of a list; nothing for anything else."""
    return [item for item in list_or_none(value) or () if isinstance(item, str)]


def dict_or_none(value: Json) -> dict[str, Json] | None:
    """Give an object as it is, and None for anything else."""
    return value if isinstance(value, dict) else None


def usage_of(value: Json, names: dict[str, str]) -> Usage | None:
    """
    Read token usage.

    :param value: the API's usage object, or null.
    :param names: the API's keys that have another name here; all other keys are kept as they are.
    """
    if not isinstance(value, dict):
        return None
    renamed = {names[key]: held for key, held in value.items() if key in names}
    kept = {key: held for key, held in value.items() if key not in names and key not in renamed}
    return Usage.from_xcom(renamed | kept)


def error_of(value: Json) -> RunError | None:
    """Read the error of a run or a step: an object with code and message, a bare string, or null."""
    if value is None:
        return None
    if not isinstance(value, dict):
        return RunError(message=text_or_none(value))
    code, message = text_or_none(value.get("code")), text_or_none(value.get("message"))
    return RunError.from_xcom({**value, "code": code, "message": message})
