"""The XCom that a task with many runs pushes for its page: counts by status, and a bounded table of runs."""

from __future__ import annotations

import heapq
import logging
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from airflow_provider_openai_run import task_xcoms
from airflow_provider_openai_run.api.parsing import dict_or_none, list_or_none, string_or_none, unix_time
from airflow_provider_openai_run.types.json import Json
from airflow_provider_openai_run.types.redaction import redact
from airflow_provider_openai_run.types.status import RunState, classify_status
from airflow_provider_openai_run.types.storable import MAX_ID_CHARACTERS, bounded_text

if TYPE_CHECKING:
    from airflow_provider_openai_run.polling.run_list import RunListState
    from airflow_provider_openai_run.task_xcoms import RunningTask, TaskInstanceKey

log = logging.getLogger(__name__)

#: The XCom key.
RUN_LIST_PROGRESS_KEY = "openai_run_list_progress"

#: How many runs the table has at most.
MAX_ROWS = 200

#: The shortest time between two pushes, in seconds.
PUSH_INTERVAL = 10.0

#: What stands for the statuses beyond the most frequent ones.
OTHER_STATUSES = "other"
#: What stands for the status of a run that has none yet.
NOT_POLLED = "not polled yet"

_MAX_STATUSES = 20
_MAX_ERROR_CHARACTERS = 200
_MAX_PATH_CHARACTERS = 2000
_MAX_COUNT = 10**15
_FAILED = frozenset({RunState.FAILED, RunState.CANCELLED, RunState.EXPIRED, RunState.INCOMPLETE})
_WARNING = "The progress XCom could not be set, so the run's page is not updated: %s"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """
    One run of the table.

    :param run_id: the run's id; None if it has none yet.
    :param status: its last known status; None if none is known.
    :param custom_id: the author's own id of the request.
    :param error: why it failed, or why the task has given it up.
    :param at: when the status was first read, in epoch seconds.
    """

    run_id: str | None
    status: str | None
    custom_id: str | None = None
    error: str | None = None
    at: float | None = None

    @property
    def rank(self) -> int:
        """The place of the run in the table: failed ones first, then active ones, then successful ones."""
        state = classify_status(self.status)
        if self.error is not None or state in _FAILED:
            return 0
        return 2 if state is RunState.SUCCEEDED else 1

    def to_xcom(self) -> dict[str, Json]:
        """Return the row as small, storable JSON, without what is not known."""
        texts = {
            "run_id": _cut(self.run_id, MAX_ID_CHARACTERS),
            "custom_id": _cut(self.custom_id, MAX_ID_CHARACTERS),
            "status": _cut(self.status),
            "error": None if self.error is None else _cut(redact(self.error), _MAX_ERROR_CHARACTERS),
        }
        row: dict[str, Json] = {name: text for name, text in texts.items() if text is not None}
        if self.at is not None:
            row["at"] = round(self.at, 3)
        return row

    @classmethod
    def from_xcom(cls, value: Json) -> Self:
        """
        Return the row that :meth:`to_xcom` described; what has another type counts as not known.

        :param value: any JSON.
        """
        fields = dict_or_none(value) or {}
        return cls(
            run_id=string_or_none(fields.get("run_id")),
            status=string_or_none(fields.get("status")),
            custom_id=string_or_none(fields.get("custom_id")),
            error=string_or_none(fields.get("error")),
            at=_time(fields.get("at")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunListProgress:
    """
    How far the runs of a task are.

    :param total: how many runs there are.
    :param counts: how many of them have each status; :data:`NOT_POLLED` for those without one.
    :param rows: the runs of the table, in the order of the list; :meth:`to_xcom` selects from them.
    :param tokens: how many tokens the ended runs have used; None if that is not known.
    :param started_at: when the task began, in epoch seconds.
    :param polled_at: when the statuses were read, in epoch seconds.
    :param estimated_end: when all runs will have ended at the present rate, in epoch seconds; see
        :func:`estimate_end`.
    :param results: the path of the results, if the task writes any.
    :param run_url: the URL of a run's page in the vendor's console, with ``{run_id}`` in the place of the
        id; None if there is none.
    """

    total: int
    counts: Mapping[str, int]
    rows: Iterable[RunRow] = ()
    tokens: int | None = None
    started_at: float | None = None
    polled_at: float | None = None
    estimated_end: float | None = None
    results: str | None = None
    run_url: str | None = None

    def to_xcom(self) -> dict[str, Json]:
        """
        Return the progress as small, storable JSON.

        It has at most 200 rows: failed runs first, then active ones, then those that ended last in the list.
        """
        times = {name: getattr(self, name) for name in ("started_at", "polled_at", "estimated_end")}
        return {
            "total": self.total,
            "counts": _bounded_counts(self.counts),
            "runs": [row.to_xcom() for row in heapq.nsmallest(MAX_ROWS, self.rows, key=_rank)],
            "tokens": self.tokens,
            **{name: None if at is None else round(at, 3) for name, at in times.items()},
            "results": _cut(self.results, _MAX_PATH_CHARACTERS),
            "run_url": _cut(self.run_url, _MAX_PATH_CHARACTERS),
        }

    @classmethod
    def from_xcom(cls, value: Json) -> Self | None:
        """
        Return the progress that :meth:`to_xcom` described.

        :param value: any JSON, also of another version or cut by an XCom backend; what has another type
            counts as not known.
        :return: None for anything but an object with a total.
        """
        fields = dict_or_none(value) or {}
        total = _count(fields.get("total"))
        if total is None:
            return None
        counts = dict_or_none(fields.get("counts")) or {}
        return cls(
            total=total,
            counts={name: count for name, item in counts.items() if (count := _count(item))},
            rows=tuple(map(RunRow.from_xcom, (list_or_none(fields.get("runs")) or [])[:MAX_ROWS])),
            tokens=_count(fields.get("tokens")),
            started_at=_time(fields.get("started_at")),
            polled_at=_time(fields.get("polled_at")),
            estimated_end=_time(fields.get("estimated_end")),
            results=string_or_none(fields.get("results")),
            run_url=string_or_none(fields.get("run_url")),
        )


def estimate_end(started_at: float, now: float, *, ended: int, total: int) -> float | None:
    """
    Return when all runs will have ended if they go on as they did, in epoch seconds.

    :param started_at: when the first began, in epoch seconds.
    :param now: epoch seconds.
    :param ended: how many have ended.
    :param total: how many there are.
    :return: None before the first has ended, and once all have.
    """
    if not 0 < ended < total or now <= started_at:
        return None
    return started_at + (now - started_at) * total / ended


def progress_of(
    state: RunListState,
    now: float,
    *,
    started_at: float,
    custom_ids: Sequence[str] | None = None,
    base: RunListProgress | None = None,
    run_url: str | None = None,
) -> RunListProgress:
    """
    Return the progress of a wait for many runs.

    :param state: what the wait knows of the runs.
    :param now: epoch seconds.
    :param started_at: when the task began to wait, in epoch seconds.
    :param custom_ids: the author's own ids of the requests, in the order of the runs.
    :param base: the progress of a larger set of which these runs are a part: its total; the counts, rows and
        tokens of the others; the path of the results.
    :param run_url: as for :class:`RunListProgress`.
    """
    base = base or RunListProgress(total=len(state.run_ids), counts={})
    ended_before = sum(count for name, count in base.counts.items() if classify_status(name).is_terminal)
    counts = dict(base.counts)
    for status, count in state.counts.items():
        counts[status or NOT_POLLED] = counts.get(status or NOT_POLLED, 0) + count
    tokens = [number for number in (base.tokens, state.tokens) if number is not None]
    started_at = base.started_at or started_at
    return RunListProgress(
        total=base.total,
        counts=counts,
        rows=[*base.rows, *_rows_of(state, custom_ids)],
        tokens=sum(tokens) if tokens else None,
        started_at=started_at,
        polled_at=now,
        estimated_end=estimate_end(started_at, now, ended=ended_before + state.ended, total=base.total),
        results=base.results,
        run_url=run_url or base.run_url,
    )


class PushSchedule:
    """
    Decides when the progress is pushed: at the first change, then at most every ten seconds, and at the end.

    :param interval: the shortest time between two pushes, in seconds.
    """

    def __init__(self, interval: float = PUSH_INTERVAL) -> None:
        self._interval = interval
        self._next_at = -math.inf

    def seconds_until_due(self, now: float) -> float:
        """
        Return how many seconds later the next push is due, one at least.

        :param now: seconds of the same clock.
        """
        return max(1.0, self._next_at - now)

    def is_due(self, now: float, *, is_last: bool = False) -> bool:
        """
        Return whether to push now; the push counts as made then.

        :param now: seconds of any clock that does not go back.
        :param is_last: whether nothing follows.
        """
        if not is_last and now < self._next_at:
            return False
        self._next_at = now + self._interval
        return True


def push(progress: RunListProgress, ti: RunningTask) -> None:
    """
    Push the progress on a worker; a failure is only logged.

    :param progress: what to push; see :class:`PushSchedule` for when.
    :param ti: the running task instance.
    """
    try:
        ti.xcom_push(key=RUN_LIST_PROGRESS_KEY, value=progress.to_xcom())
    except Exception as error:  # noqa: BLE001 - an XCom backend may raise anything, and only the page reads it
        log.warning(_WARNING, error)


async def push_async(progress: RunListProgress, ti: TaskInstanceKey, *, is_last: bool = False) -> bool:
    """
    Push the progress in the triggerer; a failure is only logged.

    The triggers of an event loop push one at a time. The last push of a trigger does not wait for the others:
    it is left out then, because the trigger's event must not be delayed for the page.

    :param progress: what to push; see :class:`PushSchedule` for when.
    :param ti: the task instance that is deferred.
    :param is_last: whether the trigger's event follows.
    :return: whether the next push may succeed: Airflow can set XComs here (3.3 and later) and did not fail.
    """
    xcom = await task_xcoms.async_xcom()
    if xcom is None:
        return False
    if is_last and task_xcoms.is_busy():
        return True
    value, ids = progress.to_xcom(), task_xcoms.own_ids(ti)
    reason = await task_xcoms.write_in_turn(lambda: xcom.aset(RUN_LIST_PROGRESS_KEY, value, **ids))
    if reason is not None:
        log.warning(_WARNING, reason)
    return reason is None


def _rows_of(state: RunListState, custom_ids: Sequence[str] | None) -> Iterator[RunRow]:
    """Return rows of which the table is selected: not all of ten thousand."""
    shown = Counter[str | None]()
    for index, (run_id, status) in enumerate(zip(state.run_ids, state.statuses, strict=True)):
        reason = state.reason(index)
        if reason is None and shown[status] >= MAX_ROWS:
            continue
        shown[status] += 1
        custom_id = custom_ids[index] if custom_ids else None
        at = state.changed_at[index] or None
        yield RunRow(run_id=run_id, status=status, custom_id=custom_id, error=reason, at=at)


def _rank(row: RunRow) -> int:
    return row.rank


def _bounded_counts(counts: Mapping[str, int]) -> dict[str, Json]:
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    bounded: dict[str, Json] = {bounded_text(name): count for name, count in ordered[:_MAX_STATUSES]}
    if rest := sum(count for _, count in ordered[_MAX_STATUSES:]):
        bounded[OTHER_STATUSES] = rest
    return bounded


def _cut(text: str | None, *limit: int) -> str | None:
    return None if text is None else bounded_text(text, *limit)


def _count(value: Json) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value <= _MAX_COUNT else None


def _time(value: Json) -> float | None:
    at = None if isinstance(value, str) else unix_time(value)
    return float(at) if at is not None and 0 < at <= _MAX_COUNT else None
