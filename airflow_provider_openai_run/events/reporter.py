"""What a trigger has told of the runs of a thread, and what it has still to tell."""

from __future__ import annotations

import functools
import logging
import time
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_openai_run.events.asset_state import AssetStateError
from airflow_provider_openai_run.events.checkpoint import ThreadCheckpoint, event_for, read_thread
from airflow_provider_openai_run.exceptions import RunRequestError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from airflow_provider_openai_run.events.asset_state import AssetState
    from airflow_provider_openai_run.events.thread_feed import News
    from airflow_provider_openai_run.types.run import Json


class Log(Protocol):
    """What is needed of a logger; Airflow has loggers of its own."""

    def log(self, level: int, event: str) -> Any:
        """Write a line."""


class RunEventReporter:
    """
    What one trigger has told of the runs of a thread.

    :param thread_id: the thread.
    :param statuses: the statuses to tell of.
    :param include_past: whether to tell of runs that have ended before the first look of all.
    :param memory: where to remember it.
    :param log: where to write what went wrong.
    """

    def __init__(
        self,
        thread_id: str,
        statuses: Collection[str],
        *,
        include_past: bool,
        memory: AssetState,
        log: Log,
    ) -> None:
        self._thread_id = thread_id
        self._thread = f"Thread {thread_id}"
        self._statuses = statuses
        self._include_past = include_past
        self._memory = memory
        self._log = log
        self._ledger: ThreadCheckpoint | None = None
        self._written: ThreadCheckpoint | None = None
        self._is_recalled = False
        self._failures = 0

    async def events_of(self, news: News) -> list[dict[str, Json]]:
        """
        Give what is to be told now.

        :param news: a look at the thread, or why there is none. Trouble with it is logged, and borne.
        """
        try:
            if not self._is_recalled:
                await self._recall()
            if isinstance(news, RunRequestError):
                raise news.with_traceback(None)
            look = read_thread(self._thread_id, self._ledger, time.time(), include_past=self._include_past)
            found = await news.carry_out(look)
        except (RunRequestError, AssetStateError) as error:
            self._note_failure(error)
            return []
        self._note_success()
        for note in found.notes:
            self._log.log(note.level, note.text)
        self._ledger = found.ledger
        return [event_for(run, self._thread_id) for run in found.ended if run.status in self._statuses]

    def to_write(self) -> Callable[[], Awaitable[None]] | None:
        """
        Give what writes down that all has been told; None if that stands there already.

        Call what it gives when Airflow has the events for sure: whatever is not written down is told again
        after a restart.
        """
        if self._ledger is None or self._ledger == self._written or not self._memory.lasts:
            return None
        return functools.partial(self._write, self._ledger)

    async def _recall(self) -> None:
        if not self._memory.lasts:
            why = "nothing is remembered over a restart, which takes an asset and Airflow 3.3"
            lost = "runs that end while this trigger is not running are not told of"
            self._log.log(logging.WARNING, f"{self._thread}: {why}; {lost}")
        value = await self._memory.read()
        self._ledger = self._written = ThreadCheckpoint.from_json(value)
        if value is not None and self._ledger is None:
            self._log.log(logging.ERROR, f"{self._thread}: what was told cannot be read any more: {value!r}")
        self._is_recalled = True
        since = "now" if self._ledger is None else "where it was left"
        self._log.log(logging.INFO, f"{self._thread}: telling of the runs that end, from {since} on")

    async def _write(self, ledger: ThreadCheckpoint) -> None:
        try:
            await self._memory.write(ledger.to_json())
        except AssetStateError as error:
            text = f"{self._thread}: could not write down what was told ({error}); trying again"
            self._log.log(logging.WARNING, f"{text}. A restart before that would tell it once more")
        else:
            self._written = ledger

    def _note_failure(self, error: RunRequestError | AssetStateError) -> None:
        self._failures += 1
        is_retryable = not isinstance(error, RunRequestError) or error.is_retryable
        # Of what may pass the first failure, the second, the fourth, the eighth: an outage is long.
        if not is_retryable or self._failures & (self._failures - 1) == 0:
            level = logging.WARNING if is_retryable else logging.ERROR
            text = f"{self._thread}: failure {self._failures} in a row, trying again. {error}"
            self._log.log(level, text)

    def _note_success(self) -> None:
        if self._failures:
            text = f"{self._thread}: can be followed again after {self._failures} failures in a row"
            self._log.log(logging.INFO, text)
        self._failures = 0
