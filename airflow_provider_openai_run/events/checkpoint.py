"""Which runs of a thread have ended since it was last looked at.

Pure decisions: an operation like those of :mod:`airflow_provider_openai_run.api.calls` asks for the
runs of a thread and gives what is new, and a :class:`ThreadCheckpoint` is what has to be remembered for the next time.
The newest run alone would not do as a watermark: an older one may still be going, and times are in whole
seconds.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from airflow_provider_openai_run.api.assistants import AssistantsApi
from airflow_provider_openai_run.api.parsing import dict_or_none, list_or_none, string_items, text_or_none
from airflow_provider_openai_run.exceptions import InvalidRunReferenceError, RunNotFoundError
from airflow_provider_openai_run.types.outcome import LogMessage
from airflow_provider_openai_run.types.redaction import redact
from airflow_provider_openai_run.types.run import Json, Run
from airflow_provider_openai_run.types.run_ref import RunRef

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_openai_run.api.calls import ApiCall

#: How much later than the newest run an older one may come into the list, in seconds.
_LATE_BY = 600
#: How many settled runs are remembered by their ids, beside those settled by their age: more than a page has.
_MOST_SETTLED = 300
#: How many runs are remembered that have not ended, and how many of them are asked for one by one at a look.
_MOST_OPEN = 300
_MOST_STRAGGLERS = 10
#: How many pages of a hundred runs are read at the first look, and later, at most.
_PAGES_AT_FIRST = 10
_MOST_PAGES = 30
_LONGEST_WORD = 200


@dataclass(frozen=True, slots=True)
class ThreadCheckpoint:
    """
    What is known of the runs of a thread. A run is settled once its end was told, or need not be.

    :param horizon: runs created before it (Unix seconds) are settled, but for the open ones; None: it is not
        known since when.
    :param settled: when the latest settled runs were created, by their ids, the oldest first; None for a
        server that does not say when.
    :param open: the ids of runs that had not ended; those not asked about for longest first.
    """

    horizon: int | None = None
    settled: Mapping[str, int | None] = field(default_factory=dict)
    open: tuple[str, ...] = ()

    def has_settled(self, run: Run) -> bool:
        """Tell whether nothing is to be told of a run any more."""
        if run.id in self.open:
            return False
        aged = self.horizon is not None and run.created_at is not None and run.created_at < self.horizon
        return aged or run.id in self.settled

    def to_json(self) -> dict[str, Json]:
        """Give the ledger as plain JSON."""
        return {"horizon": self.horizon, "settled": dict(self.settled), "open": list(self.open)}

    @classmethod
    def from_json(cls, value: Json) -> Self | None:
        """Read what :meth:`to_json` gave; None for anything else."""
        if not isinstance(value, dict) or "horizon" not in value:
            return None
        horizon, settled = value["horizon"], dict_or_none(value.get("settled"))
        times = [horizon, *(settled or {}).values()]
        if settled is None or not all(time is None or isinstance(time, int) for time in times):
            return None
        return cls(horizon, settled, tuple(string_items(value.get("open"))))


@dataclass(frozen=True, slots=True)
class News:
    """
    What a look at a thread has brought.

    :param ended: the runs that have ended and were not settled, the oldest first.
    :param ledger: what to remember once they are told.
    :param notes: what to log.
    """

    ended: tuple[Run, ...]
    ledger: ThreadCheckpoint
    notes: tuple[LogMessage, ...] = ()


def read_thread(
    thread_id: str, ledger: ThreadCheckpoint | None, now: float, *, include_past: bool = False
) -> ApiCall[News]:
    """
    Look which runs of a thread have ended.

    :param thread_id: the thread.
    :param ledger: what the look before gave; None at the first look.
    :param now: epoch seconds.
    :param include_past: whether runs that have ended before the first look are news, too.
    :raises RunRequestError: whatever is thrown in; nothing has happened then.
    """
    is_first = ledger is None and not include_past
    before = ledger or ThreadCheckpoint()
    notes: list[LogMessage] = []
    listed = yield from _list_runs(thread_id, before, _PAGES_AT_FIRST if is_first else _MOST_PAGES, notes)
    stragglers = [run_id for run_id in before.open if run_id not in listed]
    asked, unasked = stragglers[:_MOST_STRAGGLERS], stragglers[_MOST_STRAGGLERS:]
    found = yield from _retrieve_runs(thread_id, asked, notes)
    oldest_first = reversed(listed.values())
    latest = sorted(oldest_first, key=lambda run: run.created_at or 0)
    unsettled = [run for run in (*found, *latest) if not before.has_settled(run)]
    ended = [run for run in unsettled if run.is_terminal]
    still_open = [*unasked, *(run.id for run in unsettled if not run.is_terminal)]
    if len(still_open) > _MOST_OPEN:
        text = f"{len(still_open)} runs of {thread_id} have not ended; only {_MOST_OPEN} are watched on"
        notes.append(LogMessage(logging.WARNING, text))
        still_open = still_open[-_MOST_OPEN:]
    after = _settled(before, ended, tuple(still_open), now)
    return News(() if is_first else tuple(ended), after, tuple(notes))


def event_for(run: Run, thread_id: str) -> dict[str, Json]:
    """
    Give what is told of a run that has ended, as plain JSON: ids, status, times and usage, never its content.

    :param run: the run.
    :param thread_id: the thread it was listed with.
    """
    reason = text_or_none((run.incomplete_details or {}).get("reason"))
    code = (run.last_error.code if run.last_error else None) or reason
    usage = run.usage
    return {
        "run_id": run.id,
        "thread_id": thread_id,
        "assistant_id": run.assistant_id,
        "status": run.status,
        "code": redact(code)[:_LONGEST_WORD] if code else None,
        "created_at": run.created_at,
        "started_at": run.started_at,
        "completed_at": run.completed_at,
        "failed_at": run.failed_at,
        "cancelled_at": run.cancelled_at,
        "usage": usage
        and {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.total_tokens,
        },
    }


def _list_runs(
    thread_id: str, ledger: ThreadCheckpoint, most_pages: int, notes: list[LogMessage]
) -> ApiCall[dict[str, Run]]:
    """List the runs of a thread, the newest first, down to where all are known."""
    api = AssistantsApi()
    runs: dict[str, Run] = {}
    after: str | None = None
    for _page in range(most_pages):
        body = yield api.list_runs(thread_id, after)
        raw = [run for run in list_or_none(body.get("data")) or () if isinstance(run, dict)]
        page = [api.read_run(run) for run in raw if run.get("id")]
        known = len(runs)
        for run in page:
            runs.setdefault(run.id, run)
        if not body.get("has_more") or len(runs) == known or _is_known_from(page, ledger):
            return runs
        after = text_or_none(body.get("last_id")) or page[-1].id
    text = f"Thread {thread_id} has more than {len(runs)} runs that are new here; the older ones are left out"
    notes.append(LogMessage(logging.WARNING, text))
    return runs


def _is_known_from(page: list[Run], ledger: ThreadCheckpoint) -> bool:
    """Tell whether all that comes after a page is known."""
    first, last = page[0], page[-1]
    # Some servers do not heed the order that is asked for.
    oldest_first = (first.created_at or 0) < (last.created_at or 0)
    return not oldest_first and (last.id in ledger.open or ledger.has_settled(last))


def _retrieve_runs(thread_id: str, run_ids: list[str], notes: list[LogMessage]) -> ApiCall[list[Run]]:
    """Retrieve open runs that so many newer ones have come after that they were not listed."""
    api = AssistantsApi()
    runs = []
    for run_id in run_ids:
        try:
            body = yield api.retrieve(RunRef(api.name, run_id, thread_id))
        except (RunNotFoundError, InvalidRunReferenceError):
            text = f"Run {run_id} of {thread_id}, which had not ended, is not there any more"
            notes.append(LogMessage(logging.WARNING, text))
        else:
            runs.append(api.read_run({**body, "id": run_id}))
    return runs


def _settled(
    before: ThreadCheckpoint, ended: list[Run], still_open: tuple[str, ...], now: float
) -> ThreadCheckpoint:
    """Settle runs; let those go by their age whose ids need not be remembered any more."""
    settled = {**before.settled, **{run.id: run.created_at for run in ended}}
    # No clock of a server's may settle what is to come.
    newest = max((min(time, int(now)) for time in settled.values() if time is not None), default=None)
    horizon = _latest(before.horizon, None if newest is None else newest - _LATE_BY)
    if horizon is not None:
        settled = {run_id: time for run_id, time in settled.items() if time is None or time >= horizon}
    too_many = len(settled) - _MOST_SETTLED
    if too_many > 0:
        horizon = _latest(horizon, *list(settled.values())[:too_many])
        settled = dict(list(settled.items())[too_many:])
    return ThreadCheckpoint(horizon, settled, still_open)


def _latest(*times: int | None) -> int | None:
    return max((time for time in times if time is not None), default=None)
