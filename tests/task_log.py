"""What would stand in a task's log."""

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

    :param lines: what Airflow's loggers were told.
    :param caplog: has what the others were.
    """

    def __init__(self, lines: list[Any], caplog: pytest.LogCaptureFixture) -> None:
        self._lines = lines
        self._caplog = caplog

    def texts(self, *levels: str) -> list[str]:
        """The lines, or those of some levels (``info``, ``warning``, …)."""
        ours = [(line["log_level"], _text(line)) for line in self._lines]
        others = [(record.levelname.lower(), record.getMessage()) for record in self._caplog.records]
        return [text for level, text in ours + others if not levels or level in levels]

    @property
    def warnings(self) -> list[str]:
        return self.texts("warning")

    def everything(self) -> str:
        """All of it, whatever came with a line included."""
        return "\n".join([*map(repr, self._lines), *self.texts(), self._caplog.text])


@contextmanager
def listening(caplog: pytest.LogCaptureFixture) -> Iterator[TaskLog]:
    """Listen to what is logged, from ``INFO`` on."""
    with structlog.testing.capture_logs() as lines, caplog.at_level(logging.INFO):
        yield TaskLog(lines, caplog)


def _text(line: dict[str, Any]) -> str:
    values = line.get("positional_args", ())
    return str(line["event"]) % values if values else str(line["event"])
