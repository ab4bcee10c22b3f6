"""Numbers and times as the page says them."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime

from airflow_provider_openai_run.api.parsing import moment
from airflow_provider_openai_run.types.run import Json

_LATEST = datetime(9999, 12, 31, tzinfo=UTC).timestamp()
_MOST = 10**15


def duration(seconds: float) -> str:
    """
    Give a duration as short as it can be read: ``0.4 s``, ``12 s``, ``3 min 05 s``, ``2 h 10 min``.

    :param seconds: of any sign; a negative one counts as none.
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


def size(characters: int) -> str:
    """Give the length of a text as a person says it."""
    if characters < 1_000:
        return f"{characters} characters"
    if characters < 1_000_000:
        return f"{characters / 1_000:.0f} kB"
    return f"{characters / 1_000_000:.1f} MB"


def count(number: int) -> str:
    """Give a whole number with its thousands apart."""
    return f"{number:,}"


def plural(number: int, noun: str) -> str:
    """Give a number with its noun."""
    return f"{count(number)} {noun}{'' if number == 1 else 's'}"


def clock(at: float) -> str:
    """Give a moment as ``2026-11-22 14:31:30 UTC``."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def iso(at: float) -> str:
    """Give a moment as machines read it."""
    return datetime.fromtimestamp(at, UTC).isoformat()


def when(value: Json) -> float | None:
    """Read a time in epoch seconds; None for what is no time a calendar has."""
    try:
        at = moment(value)
    except ValueError:
        return None
    return float(at) if at is not None and 0 < at <= _LATEST else None


def whole(value: Json) -> int | None:
    """Read a count; None for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return int(value) if 0 <= value <= _MOST else None


def pretty(value: Json) -> str:
    """Give a value as JSON over several lines, readable where it can be."""
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


def parsed(value: Json) -> Json:
    """Read a string that holds a JSON object or array; anything else stays as it is."""
    if not isinstance(value, str) or value.lstrip()[:1] not in {"{", "["}:
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def readable(value: Json) -> str:
    """Give any value as text: a string as it is, or laid out if it holds JSON; the rest as JSON."""
    value = parsed(value)
    return value if isinstance(value, str) else pretty(value)


def first_line(text: str, most: int = 90) -> str:
    """Give the beginning of a text, on one line."""
    line = " ".join(text[: 4 * most].split())
    return line if len(line) <= most else f"{line[: most - 1]}…"
