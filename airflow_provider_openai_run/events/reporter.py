"""Which events a trigger sends for the runs of a thread, and what it stores so that each is sent once."""

from __future__ import annotations

import functools
import logging
import time
from typing import TYPE_CHECKING, Protocol

from airflow_provider_openai_run.events.asset_state import AssetStateError
from airflow_provider_openai_run.events.checkpoint import ThreadCheckpoint, event_payload, read_changes
from airflow_provider_openai_run.exceptions import RunRequestError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from airflow_provider_openai_run.events.asset_state import AssetState
    from airflow_provider_openai_run.events.thread_feed import FeedUpdate
    from airflow_provider_openai_run.types.json import Json

_MAX_VALUE_CHARACTERS = 200


class Log(Protocol):
    """The part of a logger that is used here; Airflow has loggers of its own."""

    def log(self, level: int, event: str) -> object:
        """Write a line."""


class RunEventReporter:
    """
    The events of one trigger for the runs of a thread.

    :param thread_id: the thread.
    :param statuses: the terminal statuses that have an event.
    :param include_past: whether runs that have ended before the first snapshot of all have one.
    :param state: where the checkpoint is stored.
    :param log: where failures are logged.
    """

    def __init__(
        self,
        thread_id: str,
        statuses: Collection[str],
        *,
        include_past: bool,
        state: AssetState,
        log: Log,
    ) -> None:
        self._thread_id = thread_id
        self._prefix = f"Thread {thread_id}"
        self._statuses = statuses
        self._include_past = include_past
        self._state = state
        self._log = log
        self._checkpoint: ThreadCheckpoint | None = None
        self._stored_checkpoint: ThreadCheckpoint | None = None
        self._is_loaded = False
        self._failures = 0

    async def events_for(self, update: FeedUpdate) -> list[dict[str, Json]]:
        """
        Return the events that must be sent now; a failure is logged, and the next update is used instead.

        :param update: a snapshot of the thread, or the error of the request for one.
        """
        try:
            if not self._is_loaded:
                await self._load_checkpoint()
            if isinstance(update, RunRequestError):
                raise update.with_traceback(None)
            call = read_changes(
                self._thread_id, self._checkpoint, time.time(), include_past=self._include_past
            )
            changes = await update.execute(call)
        except (RunRequestError, AssetStateError) as error:
            self._log_failure(error)
            return []
        self._log_recovery()
        for message in changes.messages:
            self._log.log(message.level, message.text)
        self._checkpoint = changes.checkpoint
        return [event_payload(run, self._thread_id) for run in changes.ended if run.status in self._statuses]

    def pending_commit(self) -> Callable[[], Awaitable[None]] | None:
        """
        Return a function that stores the checkpoint after the events returned so far; None if it is stored.

        Call the function once Airflow has stored the events: what is not in a stored checkpoint is reported
        again after a restart.
        """
        if self._checkpoint is None or self._checkpoint == self._stored_checkpoint:
            return None
        return functools.partial(self._store, self._checkpoint) if self._state.is_available else None

    async def _load_checkpoint(self) -> None:
        if not self._state.is_available:
            reason = "a checkpoint needs an asset and Airflow 3.3"
            text = (
                f"{self._prefix}: runs that end while this trigger is not running are not reported: {reason}"
            )
            self._log.log(logging.WARNING, text)
        value = await self._state.read()
        self._checkpoint = self._stored_checkpoint = ThreadCheckpoint.from_json(value)
        if value is not None and self._checkpoint is None:
            start = repr(value)[:_MAX_VALUE_CHARACTERS]
            text = f"{self._prefix}: the stored checkpoint cannot be read, so it is ignored: {start}"
            self._log.log(logging.ERROR, text)
        self._is_loaded = True
        since = "now" if self._checkpoint is None else "the stored checkpoint"
        self._log.log(logging.INFO, f"{self._prefix}: reporting the runs that end, from {since} on")

    async def _store(self, checkpoint: ThreadCheckpoint) -> None:
        try:
            await self._state.write(checkpoint.to_json())
        except AssetStateError as error:
            text = f"{self._prefix}: the checkpoint could not be stored ({error}); retrying"
            self._log.log(logging.WARNING, f"{text}. A restart before that reports the same runs again")
        else:
            self._stored_checkpoint = checkpoint

    def _log_failure(self, error: RunRequestError | AssetStateError) -> None:
        self._failures += 1
        is_retryable = not isinstance(error, RunRequestError) or error.is_retryable
        # Of retryable failures only the first, the second, the fourth, the eighth …: an outage may be long.
        if not is_retryable or self._failures & (self._failures - 1) == 0:
            level = logging.WARNING if is_retryable else logging.ERROR
            text = f"{self._prefix}: failure {self._failures} in a row; retrying. {error}"
            self._log.log(level, text)

    def _log_recovery(self) -> None:
        if self._failures:
            text = f"{self._prefix}: listed again after {self._failures} failures in a row"
            self._log.log(logging.INFO, text)
        self._failures = 0
