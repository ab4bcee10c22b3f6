"""The runs of a task with many: a progress bar, the counts by status, and a table."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from airflow_provider_openai_run.run_list_progress import NOT_POLLED, RunListProgress, RunRow
from airflow_provider_openai_run.run_page.formatting import format_count, format_time, pluralize, shorten
from airflow_provider_openai_run.run_page.links import is_web_url
from airflow_provider_openai_run.run_page.severity import FAILURE, severity_of
from airflow_provider_openai_run.types.status import RunState, classify_status

#: The order of the statuses in the bar, by severity: what has ended stands left.
_ORDER = ("success", "stopped", FAILURE, "waiting", "active", "unknown")
_MAX_ID_CHARACTERS = 80
_MAX_ERROR_CHARACTERS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusCount:
    """
    How many runs have a status.

    :param severity: one of :data:`~airflow_provider_openai_run.run_page.severity.SEVERITIES`.
    :param x: the left edge in the bar, in percent.
    :param width: in percent.
    """

    status: str
    count: int
    severity: str
    x: float
    width: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RowView:
    """
    One run.

    :param url: of its page in the vendor's console; None if there is none.
    :param at: when its status was first read, in epoch seconds.
    """

    run_id: str
    custom_id: str | None
    status: str
    severity: str
    error: str | None
    url: str | None
    at: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunListView:
    """
    The runs of a task.

    :param ended: how many have ended.
    :param hidden: how many the table leaves out.
    :param summary: the progress in words, for the bar.
    """

    total: int
    ended: int
    has_failed: bool
    summary: str
    counts: tuple[StatusCount, ...]
    rows: tuple[RowView, ...]
    hidden: int
    tokens: str | None
    results: str | None
    started_at: float | None
    polled_at: float | None
    estimated_end: float | None

    @property
    def has_custom_ids(self) -> bool:
        """Whether the table has a column for the author's ids."""
        return any(row.custom_id is not None for row in self.rows)

    @property
    def has_errors(self) -> bool:
        """Whether the table has a column for errors."""
        return any(row.error is not None for row in self.rows)

    def severity(self, *, is_live: bool) -> str:
        """
        Return the severity of the whole.

        :param is_live: whether the task goes on.
        """
        if is_live:
            return "active"
        return FAILURE if self.has_failed else "success" if self.ended >= self.total else "stopped"


def view_run_list(progress: RunListProgress | None) -> RunListView | None:
    """
    Return the view of the runs; None if the task has none.

    :param progress: the XCom ``openai_run_list_progress``, as it was read.
    """
    if progress is None:
        return None
    counts = _draw_counts(progress)
    ended = sum(item.count for item in counts if classify_status(item.status).is_terminal)
    rows = tuple(_view_row(row, progress.run_url) for row in progress.rows)
    in_words = ", ".join(f"{format_count(item.count)} {item.status}" for item in counts)
    return RunListView(
        total=progress.total,
        ended=ended,
        has_failed=any(_is_failure(item.status) for item in counts),
        summary=f"{format_count(ended)} of {pluralize(progress.total, 'run')} ended: {in_words}",
        counts=counts,
        rows=rows,
        hidden=max(progress.total - len(rows), 0),
        tokens=None if progress.tokens is None else format_count(progress.tokens),
        results=None if progress.results is None else shorten(progress.results, 300),
        started_at=_shown_time(progress.started_at),
        polled_at=_shown_time(progress.polled_at),
        estimated_end=_shown_time(progress.estimated_end),
    )


def _draw_counts(progress: RunListProgress) -> tuple[StatusCount, ...]:
    ordered = sorted(progress.counts.items(), key=lambda item: (_ORDER.index(severity_of(item[0])), item[0]))
    whole = max(progress.total, sum(progress.counts.values()), 1)
    drawn, before = [], 0
    for status, count in ordered:
        x, width = round(100 * before / whole, 3), round(100 * count / whole, 3)
        name = shorten(status, 40)
        drawn.append(StatusCount(status=name, count=count, severity=severity_of(status), x=x, width=width))
        before += count
    return tuple(drawn)


def _view_row(row: RunRow, run_url: str | None) -> RowView:
    is_given_up = row.error is not None and not classify_status(row.status).is_terminal
    url = run_url.replace("{run_id}", quote(row.run_id, safe="")) if run_url and row.run_id else None
    return RowView(
        run_id=shorten(row.run_id, _MAX_ID_CHARACTERS) if row.run_id else "not created",
        custom_id=None if row.custom_id is None else shorten(row.custom_id, _MAX_ID_CHARACTERS),
        status=shorten(row.status or NOT_POLLED, 40),
        severity=FAILURE if is_given_up else severity_of(row.status),
        error=None if row.error is None else shorten(row.error, _MAX_ERROR_CHARACTERS),
        url=url if is_web_url(url) else None,
        at=_shown_time(row.at),
    )


def _is_failure(status: str) -> bool:
    state = classify_status(status)
    return state.is_terminal and state is not RunState.SUCCEEDED


def _shown_time(at: float | None) -> float | None:
    """Return a time that the page can show; None for one beyond the calendar."""
    try:
        format_time(at or 0.0)
    except (ValueError, OverflowError, OSError):
        return None
    return at
