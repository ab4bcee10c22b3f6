"""Numbers, times and JSON as the page shows them, and safe readers for values of unknown type."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime

from airflow_provider_openai_run.api.parsing import unix_time
from airflow_provider_openai_run.types.json import Json

_MAX_TIMESTAMP = datetime(9999, 12, 31, tzinfo=UTC).timestamp()
_MAX_COUNT = 10**15


def format_duration(seconds: float) -> str:
    """
    Return a duration with at most two units: ``0.4 s``, ``12 s``, ``3 min 05 s``, ``2 h 10 min``.

    :param seconds: a negative value counts as 0.
    """
    seconds = max(seconds, 0.0)
    if seconds < 10 and round(seconds, 1) != round(seconds):
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02} min"
    return f"{hours // 24} d {hours % 24:02} h"


def format_size(characters: int) -> str:
    """Return the length of a text, such as ``12 kB``."""
    if characters < 1_000:
        return f"{characters} characters"
    if characters < 1_000_000:
        return f"{characters / 1_000:.0f} kB"
    return f"{characters / 1_000_000:.1f} MB"


def format_count(number: int) -> str:
    """Return a whole number with thousands separators."""
    return f"{number:,}"


def pluralize(number: int, noun: str) -> str:
    """Return a number with its noun, such as ``1 step`` or ``2 steps``."""
    return f"{format_count(number)} {noun}{'' if number == 1 else 's'}"


def format_time(at: float) -> str:
    """Return a time in epoch seconds as ``2026-11-22 14:31:30 UTC``."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def format_iso(at: float) -> str:
    """Return a time in epoch seconds in ISO 8601."""
    return datetime.fromtimestamp(at, UTC).isoformat()


def read_time(value: Json) -> float | None:
    """Return a time in epoch seconds; None for a value that is not a time between 1970 and 9999."""
    try:
        at = unix_time(value)
    except ValueError:
        return None
    return float(at) if at is not None and 0 < at <= _MAX_TIMESTAMP else None


def read_count(value: Json) -> int | None:
    """Return a count; None for a value that is not a number from 0 to 10^15."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return int(value) if 0 <= value <= _MAX_COUNT else None


def format_json(value: Json) -> str:
    """Return a value as indented JSON."""
    try:
        text = json.dumps(value, ensure_ascii=False, indent=2)
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, indent=2)
    except RecursionError:
        return "(nested too deeply to be shown)"
    except (TypeError, ValueError):
        return repr(value)
    return text


def parse_json(value: Json) -> Json:
    """Return the JSON object or array that a string holds; any other value as it is."""
    if not isinstance(value, str) or value.lstrip()[:1] not in {"{", "["}:
        return value
    try:
        parsed: Json = json.loads(value)
    except (ValueError, RecursionError):
        return value
    return parsed


def format_value(value: Json) -> str:
    """Return a value as text: text that is not JSON as it is, everything else as indented JSON."""
    value = parse_json(value)
    return value if isinstance(value, str) else format_json(value)


def shorten(text: str, max_length: int = 90) -> str:
    """
    Return the beginning of a text, on one line.

    :param max_length: in characters, with the ellipsis.
    """
    line = " ".join(text[: 4 * max_length].split())
    return line if len(line) <= max_length else f"{line[: max_length - 1]}…"
