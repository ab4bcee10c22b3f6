"""The names and formats of the files that a session writes."""

from __future__ import annotations

MARKS = "marks.json"
"""The steps of the session, and the data of each run."""

STUB_REPORT = "stub.json"
"""All requests that the stub received."""

EVENTS = "events.jsonl"
"""The events of the runner: time, trigger, payload."""

MEMORY = "memory.jsonl"
"""The runner's memory at each measurement."""

TICKS, TICK_COLUMNS = "ticks.bin", 3
"""Doubles: the time when the loop woke the recorder, its lag, and how long the thread queued for a CPU."""

USAGE, USAGE_COLUMNS = "usage.bin", 2
"""Doubles: a time, and the CPU seconds of the runner until then."""

FIRST = 1
"""The number of the trigger that starts alone, with the one-time costs of a triggerer."""
