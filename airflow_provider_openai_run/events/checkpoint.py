"""Which runs of a thread have ended since its last checkpoint.

Pure decisions: a call like those of :mod:`airflow_provider_openai_run.api.calls` lists the runs of a thread
and returns the changes; a :class:`ThreadCheckpoint` is what must be stored until the next call. The newest
run alone would not do as a watermark: an older one may not have ended yet, and times are in whole seconds.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

from airflow_provider_openai_run.api.parsing import dict_or_none, list_or_none, string_items, text_or_none
from airflow_provider_openai_run.api.registry import api_of, author_ids, run_ref
from airflow_provider_openai_run.exceptions import InvalidRunReferenceError, RunNotFoundError
from airflow_provider_openai_run.types.json import Json
from airflow_provider_openai_run.types.outcome import LogMessage
from airflow_provider_openai_run.types.redaction import redact
from airflow_provider_openai_run.types.run import Run
from airflow_provider_openai_run.types.run_ref import RunRef
from airflow_provider_openai_run.types.storable import MAX_ID_CHARACTERS, bounded_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_openai_run.api.calls import ApiCall

#: How many seconds after a newer run an older one may still appear in the list.
_MAX_LIST_DELAY = 600
#: How many reported runs are kept by their ids, beside those before the watermark: more than one page has.
_MAX_REPORTED = 300
#: How many runs that have not ended are kept, and how many of them are retrieved one by one per call.
_MAX_PENDING = 300
_MAX_RETRIEVED = 10
#: How many pages of a hundred runs are read by the first call, and by later ones.
_MAX_PAGES_AT_FIRST = 10
_MAX_PAGES = 30


@dataclass(frozen=True, slots=True)
class ThreadCheckpoint:
    """
    The runs of a thread that need no event any more, and those that have not ended.

    :param watermark: runs created before it (Unix seconds) are reported, except the pending ones; None if
        the server sends no times.
    :param reported: the latest reported runs, oldest first: their ids, each with its creation time in Unix
        seconds; None for a server that sends no times.
    :param pending: the ids of runs that had not ended, the one that was polled least recently first.
    """

    watermark: int | None = None
    reported: Mapping[str, int | None] = field(default_factory=dict)
    pending: tuple[str, ...] = ()

    def is_reported(self, run: Run) -> bool:
        """Return whether a run needs no event any more."""
        if run.id in self.pending:
            return False
        is_old = self.watermark is not None and run.created_at is not None and run.created_at < self.watermark
        return is_old or run.id in self.reported

    def to_json(self) -> dict[str, Json]:
        """Return the checkpoint as plain JSON."""
        return {
            "watermark": self.watermark,
            "reported": dict(self.reported),
            "pending": list(self.pending),
        }

    @classmethod
    def from_json(cls, value: Json) -> Self | None:
        """
        Read what :meth:`to_json` returned, also that of version 0.1.0; return None for anything else.

        :param value: ``horizon``, ``settled`` and ``open`` are the names that 0.1.0 stored.
        """
        if not isinstance(value, dict):
            return None
        if "watermark" in value:
            watermark, reported, pending = value["watermark"], value.get("reported"), value.get("pending")
        elif "horizon" in value:
            watermark, reported, pending = value["horizon"], value.get("settled"), value.get("open")
        else:
            return None
        reported_at = dict_or_none(reported)
        if reported_at is None or not (watermark is None or isinstance(watermark, int)):
            return None
        times = {
            run_id: time for run_id, time in reported_at.items() if time is None or isinstance(time, int)
        }
        return cls(watermark, times, tuple(string_items(pending))) if len(times) == len(reported_at) else None


@dataclass(frozen=True, slots=True)
class ThreadChanges:
    """
    The changes of a thread since a checkpoint.

    :param ended: the runs that have ended since then, oldest first.
    :param checkpoint: what to store once these are reported.
    :param messages: what to log.
    """

    ended: tuple[Run, ...]
    checkpoint: ThreadCheckpoint
    messages: tuple[LogMessage, ...] = ()


class _RunsOfThread(RunRef):
    """All runs of a thread, in place of one: error messages name the thread."""

    def __str__(self) -> str:
        return f"the runs of thread {self.parent_id}"


def runs_of_thread(thread_id: str) -> RunRef:
    """
    Return a reference for requests that are about all runs of a thread.

    :param thread_id: the thread.
    :raises InvalidRunReferenceError: for an id that no request can be made of.
    """
    ref = run_ref("-", thread_id=thread_id)
    return _RunsOfThread(ref.api, ref.run_id, ref.parent_id)


def read_changes(
    thread_id: str, checkpoint: ThreadCheckpoint | None, now: float, *, include_past: bool = False
) -> ApiCall[ThreadChanges]:
    """
    Read which runs of a thread have ended since a checkpoint.

    :param thread_id: the thread.
    :param checkpoint: what the call before returned; None at the first call.
    :param now: epoch seconds.
    :param include_past: whether the first call returns the runs that have ended before it.
    :raises RunRequestError: what a request raises; the checkpoint still holds then.
    """
    thread = runs_of_thread(thread_id)
    is_first = checkpoint is None and not include_past
    before = checkpoint or ThreadCheckpoint()
    messages: list[LogMessage] = []
    listed = yield from _list_runs(thread, before, _MAX_PAGES_AT_FIRST if is_first else _MAX_PAGES, messages)
    unlisted = [run_id for run_id in before.pending if run_id not in listed]
    due, not_due = unlisted[:_MAX_RETRIEVED], unlisted[_MAX_RETRIEVED:]
    retrieved = yield from _retrieve_runs(thread, due, messages)
    # Reversed first: runs of the same second keep the order of the list.
    oldest_first = reversed(listed.values())
    by_age = sorted(oldest_first, key=lambda run: run.created_at or 0)
    unreported = [run for run in (*retrieved, *by_age) if not before.is_reported(run)]
    ended = [run for run in unreported if run.is_terminal]
    pending = [*not_due, *(run.id for run in unreported if not run.is_terminal)]
    if len(pending) > _MAX_PENDING:
        text = f"Thread {thread_id} has {len(pending)} pending runs; only {_MAX_PENDING} are followed"
        messages.append(LogMessage(logging.WARNING, text))
        pending = pending[-_MAX_PENDING:]
    after = _advance(before, ended, tuple(pending), now)
    return ThreadChanges(() if is_first else tuple(ended), after, tuple(messages))


def event_payload(run: Run, thread_id: str) -> dict[str, Json]:
    """
    Return the event of a run that has ended, as plain JSON: ids, status, times and usage, never its content.

    :param run: the run.
    :param thread_id: the thread in whose list it is.
    """
    reason = text_or_none((run.incomplete_details or {}).get("reason"))
    code = (run.last_error.code if run.last_error else None) or reason
    usage = run.usage
    return {
        **author_ids(runs_of_thread(thread_id)),
        "run_id": run.id,
        "assistant_id": run.assistant_id,
        "status": run.status,
        "code": bounded_text(redact(code)) if code else None,
        "created_at": run.created_at,
        "started_at": run.started_at,
        "completed_at": run.completed_at,
        "failed_at": run.failed_at,
        "cancelled_at": run.cancelled_at,
        "usage": None
        if usage is None
        else {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.total_tokens,
        },
    }


def _list_runs(
    thread: RunRef, checkpoint: ThreadCheckpoint, max_pages: int, messages: list[LogMessage]
) -> ApiCall[dict[str, Run]]:
    """List the runs of a thread, newest first, until all further ones are reported."""
    api, thread_id = api_of(thread), str(thread.parent_id)
    runs: dict[str, Run] = {}
    after: str | None = None
    for _page in range(max_pages):
        body = yield api.list_runs(thread_id, after)
        items = [item for item in list_or_none(body.get("data")) or () if isinstance(item, dict)]
        page = [api.read_run(item) for item in items if item.get("id")]
        count = len(runs)
        for run in page:
            runs.setdefault(run.id, run)
        if not body.get("has_more") or len(runs) == count or _is_rest_reported(page, checkpoint):
            return runs
        after = bounded_text(text_or_none(body.get("last_id")) or page[-1].id, MAX_ID_CHARACTERS)
    text = f"Thread {thread_id} has more than {len(runs)} unreported runs; the older ones are skipped"
    messages.append(LogMessage(logging.WARNING, text))
    return runs


def _is_rest_reported(page: list[Run], checkpoint: ThreadCheckpoint) -> bool:
    """Return whether all runs after a page are reported."""
    first, last = page[0], page[-1]
    # Some servers ignore the requested order.
    is_oldest_first = (first.created_at or 0) < (last.created_at or 0)
    return not is_oldest_first and (last.id in checkpoint.pending or checkpoint.is_reported(last))


def _retrieve_runs(thread: RunRef, run_ids: list[str], messages: list[LogMessage]) -> ApiCall[list[Run]]:
    """Retrieve pending runs that are so old that the pages read do not list them."""
    api = api_of(thread)
    runs = []
    for run_id in run_ids:
        try:
            body = yield api.retrieve(replace(thread, run_id=run_id))
        except (RunNotFoundError, InvalidRunReferenceError):
            text = f"Run {run_id} of thread {thread.parent_id} was deleted before it had ended"
            messages.append(LogMessage(logging.WARNING, text))
        else:
            runs.append(api.read_run({**body, "id": run_id}))
    return runs


def _advance(
    before: ThreadCheckpoint, ended: list[Run], pending: tuple[str, ...], now: float
) -> ThreadCheckpoint:
    """Return the checkpoint after more runs have ended, without ids that its watermark covers."""
    reported = {**before.reported, **{run.id: run.created_at for run in ended}}
    # A creation time in the future must not mark runs as reported that do not exist yet.
    newest = max((min(time, int(now)) for time in reported.values() if time is not None), default=None)
    watermark = _latest(before.watermark, None if newest is None else newest - _MAX_LIST_DELAY)
    if watermark is not None:
        reported = {run_id: time for run_id, time in reported.items() if time is None or time >= watermark}
    excess = len(reported) - _MAX_REPORTED
    if excess > 0:
        watermark = _latest(watermark, *list(reported.values())[:excess])
        reported = dict(list(reported.items())[excess:])
    return ThreadCheckpoint(watermark, reported, pending)


def _latest(*times: int | None) -> int | None:
    return max((time for time in times if time is not None), default=None)
