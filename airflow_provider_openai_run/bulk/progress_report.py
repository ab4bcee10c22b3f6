"""How far a bulk task is: a line in its log now and then, and the XCom for its page."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from airflow_provider_openai_run.bulk.state import Phase
from airflow_provider_openai_run.polling.wording import in_words
from airflow_provider_openai_run.run_list_progress import (
    PushSchedule,
    RunListProgress,
    RunRow,
    estimate_end,
    push,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_openai_run.bulk.journal import Journal
    from airflow_provider_openai_run.task_xcoms import RunningTask

log = logging.getLogger(__name__)

#: The shortest time between two reports, in seconds.
REPORT_INTERVAL = 30.0
#: How many active runs a report lists.
_MAX_ROWS = 100


class ProgressReport:
    """
    Report the progress at most every 30 s, and whenever the task defers or ends.

    :param journal: the journal of the task.
    :param ti: the running task instance; None pushes nothing.
    """

    def __init__(self, journal: Journal, ti: RunningTask | None) -> None:
        self._journal = journal
        self._ti = ti
        self._schedule = PushSchedule(REPORT_INTERVAL)
        self._schedule.is_due(time.monotonic())

    def report(self, *, is_last: bool = False) -> None:
        """
        Report if it is time to.

        :param is_last: whether the task defers or ends now, so that it is reported in any case.
        """
        if not self._schedule.is_due(time.monotonic(), is_last=is_last):
            return
        progress = build_progress(self._journal)
        state, end = self._journal.state, progress.estimated_end
        log.info(
            "%s of %s requests have ended, %s without an answer; %s responses are active; %s tokens%s",
            f"{state.count(Phase.ENDED):,}",
            f"{state.total:,}",
            f"{state.failed:,}",
            f"{state.count(Phase.ACTIVE):,}",
            f"{state.total_tokens:,}",
            "" if end is None else f"; at this rate the last one ends in {in_words(end - time.time())}",
        )
        if self._ti is not None:
            push(progress, self._ti)


def build_progress(journal: Journal, *, with_active: bool = True) -> RunListProgress:
    """
    Return how far a task is.

    :param journal: the journal of the task.
    :param with_active: whether active responses are counted and listed; a trigger adds those that it polls.
    """
    state, now = journal.state, time.time()
    started_at = float(journal.header["started_at"])
    counts = {
        **state.statuses,
        "not created": state.count(Phase.PENDING) + state.count(Phase.CREATING),
        "in_progress": state.count(Phase.ACTIVE) if with_active else 0,
    }
    return RunListProgress(
        total=state.total,
        counts={status: count for status, count in counts.items() if count},
        rows=tuple(_rows(journal, with_active=with_active)),
        tokens=state.total_tokens,
        started_at=started_at,
        polled_at=now,
        estimated_end=estimate_end(started_at, now, ended=state.count(Phase.ENDED), total=state.total),
        results=journal.folder.url,
    )


def _rows(journal: Journal, *, with_active: bool) -> Iterator[RunRow]:
    """Yield the first requests that failed, and the first active ones."""
    state, requests = journal.state, journal.requests
    for index in state.first_failed(_MAX_ROWS):
        status = state.ending(index).status
        custom_id = requests[index].custom_id
        yield RunRow(run_id=None, custom_id=custom_id, status=status, error=f"ended as {status}")
    for index in state.first(Phase.ACTIVE, _MAX_ROWS) if with_active else ():
        custom_id = requests[index].custom_id
        yield RunRow(run_id=state.run_id(index), custom_id=custom_id, status="in_progress")
