"""The log of a task, as the user reads it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import structlog


class TaskLog:
    """
    The lines that were logged, by Airflow's loggers and by those of the standard library.

    :param lines: the events of Airflow's loggers.
    :param caplog: the records of the others.
    """

    def __init__(self, lines: list[Any], caplog: pytest.LogCaptureFixture) -> None:
        self._lines = lines
        self._caplog = caplog

    def texts(self, *levels: str) -> list[str]:
        """Return the lines, or those of the given levels (``info``, ``warning``, …)."""
        ours = [(line["log_level"], _text(line)) for line in self._lines]
        others = [(record.levelname.lower(), record.getMessage()) for record in self._caplog.records]
        return [text for level, text in ours + others if not levels or level in levels]

    @property
    def warnings(self) -> list[str]:
        return self.texts("warning")

    def everything(self) -> str:
        """Return the whole log as one text, with the fields and tracebacks of each line."""
        return "\n".join([*map(repr, self._lines), *self.texts(), self._caplog.text])


@contextmanager
def capture(caplog: pytest.LogCaptureFixture) -> Iterator[TaskLog]:
    """Capture what is logged from ``INFO`` on."""
    with structlog.testing.capture_logs() as lines, caplog.at_level(logging.INFO):
        yield TaskLog(lines, caplog)


def _text(line: dict[str, Any]) -> str:
    values = line.get("positional_args", ())
    return str(line["event"]) % values if values else str(line["event"])
