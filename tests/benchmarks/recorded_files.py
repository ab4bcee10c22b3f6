"""The files a session leaves in its folder, for those who write them and those who read them."""

from __future__ import annotations

MARKS = "marks.json"
"""The steps of the session, and what became of each run."""

STUB_REPORT = "stub.json"
"""Every request, as the stub saw it."""

EVENTS = "events.jsonl"
"""Each event of the runner: moment, trigger, payload."""

MEMORY = "memory.jsonl"
"""The runner's memory, each time it was asked for."""

TICKS, TICK_COLUMNS = "ticks.bin", 3
"""Doubles: the moment the loop woke its recorder, how late that was, and how long of it the thread queued for
a CPU."""

USAGE, USAGE_COLUMNS = "usage.bin", 2
"""Doubles: a moment, and the CPU seconds of the runner until then."""

FIRST = 1
"""The number of the trigger that is started alone: what is paid once by a triggerer is paid for it."""
