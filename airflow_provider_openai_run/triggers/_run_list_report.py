"""The reports of a trigger that waits for many runs: lines of the task log, and the progress of the runs."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from airflow_provider_openai_run import task_xcoms
from airflow_provider_openai_run.run_list_progress import (
    PushSchedule,
    RunListProgress,
    progress_of,
    push_async,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_provider_openai_run.polling.policy import Decision
    from airflow_provider_openai_run.polling.run_list import RunListState
    from airflow_provider_openai_run.task_xcoms import TaskInstanceKey

#: How many lines of the log are about single runs; beyond them the log has the counts only.
MAX_RUN_LINES = 200

#: The shortest time between two lines with the counts, in seconds.
_SUMMARY_INTERVAL = 60.0

#: How many seconds the event of a trigger waits for a push that is under way.
_LAST_PUSH_TIMEOUT = 2.0


class RunListLog:
    """
    Write to the task's log how far the runs are, without a line for each change of thousands of runs.

    :param log: the logger.
    :param state: the runs.
    """

    def __init__(self, log: Any, state: RunListState) -> None:
        self._log = log
        self._state = state
        self._lines = 0
        self._summary_at: float | None = None
        self._summary = ""

    def on_decision(self, decision: Decision) -> None:
        """Log the lines of a decision about one run."""
        for message in decision.log_messages:
            self._lines += 1
            if self._lines <= MAX_RUN_LINES:
                self._log.log(message.level, message.text)
            elif self._lines == MAX_RUN_LINES + 1:
                self._log.info("Further lines about single runs are left out: %s were logged", MAX_RUN_LINES)

    def log_counts(self, now: float, *, is_last: bool = False) -> None:
        """Log the counts, if they have changed: once a minute, and at the end."""
        if self._summary_at is None:
            self._summary_at = now
        if not is_last and now < self._summary_at + _SUMMARY_INTERVAL:
            return
        self._summary_at = now
        summary = self._state.describe()
        if summary != self._summary:
            total = len(self._state.run_ids)
            self._log.log(logging.INFO, "%s of %s runs have ended: %s", self._state.ended, total, summary)
        self._summary = summary


class ProgressReport:
    """
    Push the progress of the runs for the task's page: at most every ten seconds, and at the end.

    :param state: the runs.
    :param ti: the task instance; None pushes nothing.
    :param started_at: when the task began to wait, in epoch seconds.
    :param custom_ids: the author's own ids of the requests, in the order of the runs.
    :param base: the progress of a larger set of which these runs are a part: its total, the counts, rows and
        tokens of the others, the path of the results.
    :param run_url: returns the URL of runs' pages, see :class:`.RunListProgress`.
    """

    def __init__(
        self,
        state: RunListState,
        ti: TaskInstanceKey | None,
        started_at: float,
        *,
        custom_ids: Sequence[str] | None = None,
        base: RunListProgress | None = None,
        run_url: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._state = state
        self._ti = ti
        self._started_at = started_at
        self._custom_ids = custom_ids
        self._base = base
        self._run_url = run_url
        self._schedule = PushSchedule()
        self._push_task: asyncio.Task[None] | None = None
        self._pushed = -1

    def seconds_until_due(self, now: float) -> float | None:
        """
        Return how many seconds later a push is due; None if there is nothing to push.

        :param now: epoch seconds.
        """
        if self._ti is None or self._pushed == self._state.changes:
            return None
        return self._schedule.seconds_until_due(now)

    def push_if_due(self, now: float) -> None:
        """Start a push if anything has changed and it is time; the wait goes on meanwhile."""
        is_busy = self._push_task is not None and not self._push_task.done()
        if self._ti is None or is_busy or self._pushed == self._state.changes:
            return
        if self._schedule.is_due(now):
            self._push_task = asyncio.create_task(self._push(now, is_last=False))

    async def push_last(self, now: float) -> bool:
        """
        Push how the wait has ended; the trigger's event waits two seconds at most for an earlier push.

        :param now: epoch seconds.
        :return: whether it was pushed.
        """
        if self._push_task is not None:
            await asyncio.wait({self._push_task}, timeout=_LAST_PUSH_TIMEOUT)
        if self._ti is None or task_xcoms.is_busy():
            return False
        await self._push(now, is_last=True)
        return self._ti is not None

    def close(self) -> None:
        """Stop pushing."""
        if self._push_task is not None:
            self._push_task.cancel()

    async def _push(self, now: float, *, is_last: bool) -> None:
        if self._ti is not None:
            self._pushed = self._state.changes
            progress = progress_of(
                self._state,
                now,
                started_at=self._started_at,
                custom_ids=self._custom_ids,
                base=self._base,
                run_url=self._run_url(),
            )
            if not await push_async(progress, self._ti, is_last=is_last):
                self._ti = None
