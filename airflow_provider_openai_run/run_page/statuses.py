"""The statuses in which a task has seen its run, on the timeline."""

from __future__ import annotations

from airflow_provider_openai_run import progress
from airflow_provider_openai_run.run_page.formatting import format_duration, read_time, shorten
from airflow_provider_openai_run.run_page.severity import severity_of
from airflow_provider_openai_run.run_page.timeline import Span
from airflow_provider_openai_run.run_page.xcom_data import XComData
from airflow_provider_openai_run.types.status import classify_status

_LANE = "Status"


def read_statuses(data: XComData) -> list[tuple[str, float]]:
    """Return the observed statuses, each with the time of its first observation in epoch seconds."""
    entries = data.progress.get("statuses")
    return [
        (shorten(status, 40), at)
        for entry in (entries if isinstance(entries, list) else [])
        if isinstance(entry, dict)
        and isinstance(status := entry.get("status"), str)
        and (at := read_time(entry.get("at"))) is not None
    ]


def last_request(data: XComData) -> float | None:
    """Return when the run was seen to require an action, in epoch seconds, if that is its latest status."""
    return read_time(progress.last_request(data.progress))


def status_spans(data: XComData, end: float | None) -> list[Span]:
    """
    Return the statuses as periods.

    :param data: the data of the run.
    :param end: when the run ended, in epoch seconds; polls that saw its end later do not prolong its last
        status. None while it is running.
    """
    statuses = read_statuses(data)
    next_starts = [*(at for _, at in statuses[1:]), end]
    spans = []
    for (status, start), next_start in zip(statuses, next_starts, strict=False):
        if classify_status(status).is_terminal or (end is not None and start > end):
            continue
        span_end = None if next_start is None else max(next_start, start)
        if span_end is not None and end is not None:
            span_end = min(span_end, end)
        tooltip = status if span_end is None else f"{status} · {format_duration(span_end - start)}"
        severity = severity_of(status)
        spans.append(Span(start=start, end=span_end, lane=_LANE, severity=severity, tooltip=tooltip))
    return spans
