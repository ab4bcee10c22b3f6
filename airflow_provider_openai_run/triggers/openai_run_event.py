"""The event trigger: updates an asset for every run of a thread that ends."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from airflow_provider_openai_run.polling.backoff import DEFAULT_POLL_INTERVAL, PollBackoff
from airflow_provider_openai_run.triggers._lazy_import import import_off_loop
from airflow_provider_openai_run.triggers._stored_arguments import (
    InvalidTriggerArgumentError,
    checked_arguments,
    ignore_unknown,
)
from airflow_provider_openai_run.types.run_ref import check_id
from airflow_provider_openai_run.types.status import TERMINAL_STATUSES, check_accepted_statuses

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Hashable

    from airflow_provider_openai_run.events.reporter import RunEventReporter
    from airflow_provider_openai_run.events.thread_feed import FeedReader

_THREAD_FEED = "airflow_provider_openai_run.events.thread_feed"

#: The longest interval between two listings of a thread on which nothing changes, in seconds.
DEFAULT_MAX_POLL_INTERVAL = 60.0


class OpenAIRunEventTrigger(BaseEventTrigger):
    """
    Send an event for every run of a thread that reaches a terminal status; for an ``AssetWatcher``.

    The payload is plain JSON: ``api``, ``run_id``, ``thread_id``, ``assistant_id``, ``status``, ``code``
    (the error's, or why the run is incomplete), ``created_at``, ``started_at``, ``completed_at``,
    ``failed_at`` and ``cancelled_at`` (Unix seconds), and ``usage`` (``prompt_tokens``,
    ``completion_tokens``, ``total_tokens``); None where the API sends no value. It never contains the input
    or the output of a run.

    On Airflow 3.3 and later, a checkpoint in the state store of the asset records which runs are reported. A
    run that ends while no triggerer runs, or while the DAG is paused, is reported afterwards, and each run
    once. Only if the triggerer ends in the second or two between an event and its checkpoint, that run is
    reported again; none is ever lost. Airflow 3.1 and 3.2 have no such store: a run that ends while the
    trigger is not running is not reported. Airflow combines events that arrive at almost the same time in
    one DAG run.

    All triggers of a triggerer that follow one thread over one connection share one listing of its runs, and
    share client and rate limiter with all other triggers of this package. No failure ends the trigger:
    transient errors are retried soon, those that need a change (of the key, of the thread's id) at least
    every five minutes; both are written to the triggerer's log.

    Only the Assistants API lists runs (https://platform.openai.com/docs/api-reference/runs/listRuns). The
    Responses API does not list responses; the items of a conversation contain neither the ids nor the usage
    of its responses, and nothing about responses that failed.

    Arguments that only a newer version of the provider knows are ignored when the trigger is loaded from
    Airflow's database.

    :param thread_id: the thread. Not a template: asset watchers have no context to render it in.
    :param conn_id: the OpenAI connection.
    :param statuses: the terminal statuses to report; None for all of them.
    :param include_past: whether to report also the runs that have ended before the trigger's first listing;
        needs Airflow 3.3. Otherwise those that are active at that time are the first.
    :param poll_interval: the shortest interval between two listings, in seconds; 5 by default.
    :param max_poll_interval: the longest, for a thread on which nothing has changed for some time; the same
        as ``poll_interval`` for a fixed interval. None means 60, or ``poll_interval`` if that is more.
    :param queue: the trigger queue, for triggerers that were started with ``--queues``; needs Airflow 3.4.
        (A deferred task's trigger takes its task's queue, with ``[triggerer] queues_enabled``.)
    :raises InvalidTriggerArgumentError: (a ``ValueError``) for a value out of its range, naming it.
    """

    def __init__(
        self,
        *,
        thread_id: str,
        conn_id: str = "openai_default",
        statuses: Collection[str] | None = None,
        include_past: bool = False,
        poll_interval: float = DEFAULT_POLL_INTERVAL,
        max_poll_interval: float | None = None,
        queue: str | None = None,
        **stored: Any,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's own
        if stored and (statuses is None or max_poll_interval is None):
            # Stored arguments always have both, so these come from a DAG file.
            raise TypeError(f"OpenAIRunEventTrigger has no argument {', '.join(stored)}")
        ignore_unknown(type(self).__qualname__, stored)
        with checked_arguments():
            _check(thread_id, conn_id, include_past, queue)
            check_id("thread_id", thread_id)
            chosen = TERMINAL_STATUSES if statuses is None else check_accepted_statuses(statuses, "statuses")
            self.backoff = _backoff(poll_interval, max_poll_interval)
        if include_past and not hasattr(self, "asset_state_store"):
            reason = "without the asset state store, every restart would report all of them again"
            raise InvalidTriggerArgumentError(f"include_past needs Airflow 3.3: {reason}")
        if queue is not None and not hasattr(BaseEventTrigger, "queue"):
            reason = "earlier versions have no queues for the triggers of watchers"
            raise InvalidTriggerArgumentError(f"queue needs Airflow 3.4: {reason}")
        self.queue = queue
        self.thread_id = thread_id
        self.conn_id = conn_id
        self.statuses = sorted(set(chosen))
        self.include_past = include_past

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments as plain JSON; watchers with equal ones share a trigger."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "thread_id": self.thread_id,
                "conn_id": self.conn_id,
                "statuses": self.statuses,
                "include_past": self.include_past,
                "poll_interval": self.backoff.poll_interval,
                "max_poll_interval": self.backoff.max_poll_interval,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """
        Follow the thread on Airflow before 3.3, which does not report when it has stored an event.

        A checkpoint is stored at the next update: Airflow has had some seconds to store the events by then.
        """
        reader = await _open_reader(self.conn_id, self.thread_id, self.backoff)
        try:
            reporter = self._reporter()
            while True:
                update = await reader.next_update()
                if commit := reporter.pending_commit():
                    await commit()
                for payload in await reporter.events_for(update):
                    yield TriggerEvent(payload)
        finally:
            reader.close()

    def shared_stream_key(self) -> Hashable | None:
        """Return what triggers have in common that can share one stream of updates."""
        if not hasattr(BaseEventTrigger, "create_shared_stream_producer"):
            return None
        return (__name__, self.conn_id, self.thread_id, self.backoff)

    @classmethod
    def create_shared_stream_producer(cls, kwargs: dict[str, Any]) -> Any:
        """Return the producer of updates, which Airflow notifies when it has stored the events of one."""
        from airflow_provider_openai_run.events.shared_stream import ThreadProducer

        backoff = _backoff(kwargs["poll_interval"], kwargs["max_poll_interval"])
        return ThreadProducer(lambda: _open_reader(kwargs["conn_id"], kwargs["thread_id"], backoff))

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Any]) -> AsyncIterator[TriggerEvent]:
        """Send an event for each run that has ended; store the checkpoint when Airflow has the event."""
        await import_off_loop(_THREAD_FEED)
        reporter = self._reporter()
        async for delivery in shared_stream:
            for payload in await reporter.events_for(delivery.update):
                yield TriggerEvent(payload)
            if commit := reporter.pending_commit():
                delivery.on_stored.append(commit)

    def _reporter(self) -> RunEventReporter:
        from airflow_provider_openai_run.events.asset_state import AssetState
        from airflow_provider_openai_run.events.reporter import RunEventReporter

        state = AssetState(getattr(self, "asset_state_store", None), self._state_key())
        return RunEventReporter(
            self.thread_id, self.statuses, include_past=self.include_past, state=state, log=self.log
        )

    def _state_key(self) -> str:
        """Return the key of the checkpoint; an asset may have watchers for several threads."""
        identity = json.dumps([self.conn_id, self.thread_id, self.statuses])
        return f"openai_runs:{self.thread_id[:100]}:{hashlib.sha256(identity.encode()).hexdigest()[:12]}"


def _check(thread_id: object, conn_id: object, include_past: object, queue: object) -> None:
    if not isinstance(thread_id, str):
        # An invalid value like the others, with the same error.
        raise ValueError(f"thread_id must be the id of a thread, not {thread_id!r}")  # noqa: TRY004
    if "{{" in thread_id:
        raise ValueError(f"thread_id must be an id, not the template {thread_id!r}: watchers render none")
    if not isinstance(conn_id, str) or not conn_id:
        raise ValueError(f"conn_id must be the id of a connection, not {conn_id!r}")
    if not isinstance(include_past, bool):
        raise ValueError(f"include_past must be True or False, not {include_past!r}")  # noqa: TRY004
    if queue is not None and (not isinstance(queue, str) or not queue):
        raise ValueError(f"queue must be the name of a trigger queue, not {queue!r}")


def _backoff(poll_interval: float, max_poll_interval: float | None) -> PollBackoff:
    if max_poll_interval is None and isinstance(poll_interval, int | float):
        max_poll_interval = max(poll_interval, DEFAULT_MAX_POLL_INTERVAL)
    backoff = PollBackoff.between(poll_interval, max_poll_interval)
    return PollBackoff(float(backoff.poll_interval), float(backoff.max_poll_interval))


async def _open_reader(conn_id: str, thread_id: str, backoff: PollBackoff) -> FeedReader:
    thread_feed = await import_off_loop(_THREAD_FEED)
    reader: FeedReader = thread_feed.open_reader(conn_id, thread_id, backoff)
    return reader
