"""The event trigger: updates an asset for every run of a thread that ends."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from airflow_provider_openai_run.polling.backoff import DEFAULT_POLL_INTERVAL, PollBackoff
from airflow_provider_openai_run.triggers._lazy_import import import_off_loop
from airflow_provider_openai_run.types.run_ref import check_id
from airflow_provider_openai_run.types.status import TERMINAL_STATUSES, check_accepted_statuses

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Hashable

    from airflow_provider_openai_run.events.reporter import RunEventReporter
    from airflow_provider_openai_run.events.thread_feed import FeedReader

_THREAD_FEED = "airflow_provider_openai_run.events.thread_feed"

#: The longest interval between two looks at a thread on which nothing happens, in seconds.
DEFAULT_MAX_POLL_INTERVAL = 60.0


class OpenAIRunEventTrigger(BaseEventTrigger):
    """
    Sends an event for every run of a thread that reaches a terminal status; for an ``AssetWatcher``.

    The payload is plain JSON: ``run_id``, ``thread_id``, ``assistant_id``, ``status``, ``code`` (the error's,
    or why the run is incomplete), ``created_at``, ``started_at``, ``completed_at``, ``failed_at`` and
    ``cancelled_at`` (Unix seconds), and ``usage`` (``prompt_tokens``, ``completion_tokens``,
    ``total_tokens``); what the API does not say is None. It never holds what the run has read or written.

    On Airflow 3.3 and later, what was told is kept in the state store of the asset, so a run that ends while
    no triggerer runs, or while the DAG is paused, is told of afterwards, and each run is told of once. Only
    if the triggerer ends in the second or two between an event and the note of it, that run is told of once
    more; none is ever lost. On Airflow 3.1 and 3.2, which have no such store, a run that ends while the
    trigger is not running is not told of. Airflow gives events that come at almost the same moment to one DAG
    run.

    All triggers of a triggerer that follow one thread over one connection share one listing of its runs, and
    share client and rate limits with all other triggers of this package. No trouble ends it: what may pass is
    asked about again soon, what somebody must mend (the key, the thread's id) every five minutes at least;
    both are written to the triggerer's log.

    Only the Assistants API lists runs (https://platform.openai.com/docs/api-reference/runs/listRuns). The
    Responses API has no list of responses; the items of a conversation name no response and no usage, and
    tell nothing of responses that failed.

    :param thread_id: the thread. It is not a template: asset watchers have no context to render it in.
    :param conn_id: the OpenAI connection.
    :param statuses: the terminal statuses to tell of; None for all of them.
    :param include_past: whether to tell of the runs, too, that have ended before the trigger first looked;
        needs Airflow 3.3. Otherwise those that were under way then are the first.
    :param poll_interval: the shortest interval between two looks, in seconds.
    :param max_poll_interval: the longest, for a thread on which nothing has happened for some time; the same
        as ``poll_interval`` for a fixed interval. None means 60, or ``poll_interval`` if that is more.
    :raises ValueError: for a value out of its range, naming it.
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
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's own
        _check(thread_id, conn_id, include_past)
        if include_past and not hasattr(self, "asset_state_store"):
            way_out = "without the asset state store, each restart would tell of all of them again"
            raise ValueError(f"include_past needs Airflow 3.3: {way_out}")
        check_id("thread_id", thread_id)
        self.thread_id = thread_id
        self.conn_id = conn_id
        chosen = TERMINAL_STATUSES if statuses is None else check_accepted_statuses(statuses, "statuses")
        self.statuses = sorted(set(chosen))
        self.include_past = include_past
        self.pace = _pace(poll_interval, max_poll_interval)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Give what the trigger is built anew from, and known by: watchers that are alike share one."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "thread_id": self.thread_id,
                "conn_id": self.conn_id,
                "statuses": self.statuses,
                "include_past": self.include_past,
                "poll_interval": self.pace.poll_interval,
                "max_poll_interval": self.pace.max_poll_interval,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """
        Follow the thread where Airflow does not say when it has an event: before 3.3.

        What was told is written down at the next look; by then Airflow has had some seconds for it.
        """
        follower = await _follow(self.conn_id, self.thread_id, self.pace)
        try:
            told = self._told_runs()
            while True:
                news = await follower.news()
                if write_down := told.to_write():
                    await write_down()
                for event in await told.events_of(news):
                    yield TriggerEvent(event)
        finally:
            follower.leave()

    def shared_stream_key(self) -> Hashable | None:
        """Give what triggers have in common that Airflow may bring the same news to."""
        if not hasattr(BaseEventTrigger, "create_shared_stream_producer"):
            return None
        return (__name__, self.conn_id, self.thread_id, self.pace)

    @classmethod
    def create_shared_stream_producer(cls, kwargs: dict[str, Any]) -> Any:
        """Give what brings the news, and hears of it when Airflow has what was made of them."""
        from airflow_provider_openai_run.events.shared_stream import ThreadProducer

        pace = _pace(kwargs["poll_interval"], kwargs["max_poll_interval"])
        return ThreadProducer(lambda: _follow(kwargs["conn_id"], kwargs["thread_id"], pace))

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Any]) -> AsyncIterator[TriggerEvent]:
        """Send an event for each run that has ended; write that down when Airflow has it."""
        await import_off_loop(_THREAD_FEED)
        told = self._told_runs()
        async for delivery in shared_stream:
            for event in await told.events_of(delivery.news):
                yield TriggerEvent(event)
            if write_down := told.to_write():
                delivery.when_told.append(write_down)

    def _told_runs(self) -> RunEventReporter:
        from airflow_provider_openai_run.events.asset_state import AssetState
        from airflow_provider_openai_run.events.reporter import RunEventReporter

        memory = AssetState(getattr(self, "asset_state_store", None), self._memory_key())
        return RunEventReporter(
            self.thread_id, self.statuses, include_past=self.include_past, memory=memory, log=self.log
        )

    def _memory_key(self) -> str:
        """Give the name under which an asset remembers: it may have watchers for several threads."""
        known_by = json.dumps([self.conn_id, self.thread_id, self.statuses])
        return f"openai_runs:{self.thread_id[:100]}:{hashlib.sha256(known_by.encode()).hexdigest()[:12]}"


def _check(thread_id: object, conn_id: object, include_past: object) -> None:
    if not isinstance(thread_id, str):
        # A wrong value like the others, named in one way.
        raise ValueError(f"thread_id must be the id of a thread, not {thread_id!r}")  # noqa: TRY004
    if "{{" in thread_id:
        raise ValueError(f"thread_id must be an id, not the template {thread_id!r}: watchers render none")
    if not isinstance(conn_id, str) or not conn_id:
        raise ValueError(f"conn_id must be the id of a connection, not {conn_id!r}")
    if not isinstance(include_past, bool):
        raise ValueError(f"include_past must be True or False, not {include_past!r}")  # noqa: TRY004


def _pace(poll_interval: float, max_poll_interval: float | None) -> PollBackoff:
    if max_poll_interval is None and isinstance(poll_interval, int | float):
        max_poll_interval = max(poll_interval, DEFAULT_MAX_POLL_INTERVAL)
    pace = PollBackoff.between(poll_interval, max_poll_interval)
    return PollBackoff(float(pace.poll_interval), float(pace.max_poll_interval))


async def _follow(conn_id: str, thread_id: str, pace: PollBackoff) -> FeedReader:
    feed = await import_off_loop(_THREAD_FEED)
    follower: FeedReader = feed.follow(conn_id, thread_id, pace)
    return follower
