"""The steps of a run as the page shows them."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_openai_run.api.parsing import string_or_none
from airflow_provider_openai_run.run_page.formatting import (
    format_count,
    format_duration,
    format_json,
    parse_json,
    read_count,
    read_time,
    shorten,
)
from airflow_provider_openai_run.run_page.severity import FAILURE, severity_of
from airflow_provider_openai_run.run_page.step_content import (
    ERROR_LABEL,
    Content,
    label_for,
    read_step_content,
)
from airflow_provider_openai_run.run_page.timeline import Span
from airflow_provider_openai_run.types.json import Json
from airflow_provider_openai_run.types.status import RunState, classify_status


@dataclass(frozen=True, slots=True, kw_only=True)
class StepView:
    """
    A step of a run.

    :param number: its position, from 1.
    :param label: the label of its kind, such as ``Code interpreter``.
    :param severity: one of :data:`~airflow_provider_openai_run.run_page.severity.SEVERITIES`.
    :param start: when it started, in epoch seconds; None where the API gives no times.
    :param end: when it ended, in epoch seconds; None while it is running.
    :param duration: how long it took, as text.
    :param tokens: how many tokens it used, as text.
    """

    number: int
    id: str | None
    label: str
    content: Content
    status: str | None
    severity: str
    start: float | None
    end: float | None
    duration: str | None
    tokens: str | None
    error: str | None

    @property
    def has_failed(self) -> bool:
        """Whether the step failed, or has an error."""
        return (
            self.severity == FAILURE
            or self.error is not None
            or any(block.label == ERROR_LABEL for block in self.content.blocks)
        )

    @property
    def tooltip(self) -> str:
        """The step in one line."""
        parts = [f"{self.number}. {self.label}", self.content.title, self.status, self.duration]
        tokens = f"{self.tokens} tokens" if self.tokens else None
        return " · ".join(part for part in (*parts, tokens) if part)

    @property
    def span(self) -> Span:
        """The step on the timeline."""
        return Span(
            start=self.start or 0.0,
            end=self.end,
            lane=self.label,
            severity=self.severity,
            tooltip=self.tooltip,
            step_number=self.number,
        )


def read_steps(value: Json) -> tuple[StepView, ...] | None:
    """
    Return the steps of a run; None if the value is not a list of steps.

    :param value: the run's attribute ``steps``, of any JSON type.
    """
    value = parse_json(value)
    if not isinstance(value, list):
        return None
    return tuple(_read_step(number, step) for number, step in enumerate(value, 1))


def _read_step(number: int, step: Json) -> StepView:
    if not isinstance(step, dict):
        step = {"details": step}
    details = parse_json(step.get("details", step.get("step_details")))
    if details is None and step.keys() - {"id", "object", "created_at", "type", "status"}:
        details = step
    kind = string_or_none(step.get("type"))
    status = string_or_none(step.get("status"))
    start, end = _read_times(step, status)
    content = read_step_content(details, "step" if kind is None else kind)
    usage = step.get("usage")
    tokens = read_count(usage.get("total_tokens")) if isinstance(usage, dict) else None
    return StepView(
        number=number,
        id=string_or_none(step.get("id")),
        label=label_for(content.kind),
        content=content,
        status=None if status is None else shorten(status, 40),
        severity=severity_of(status),
        start=start,
        end=end,
        duration=_format_duration(start, end),
        tokens=None if tokens is None else format_count(tokens),
        error=_format_error(step.get("last_error")),
    )


def _read_times(step: dict[str, Json], status: str | None) -> tuple[float | None, float | None]:
    start = read_time(step.get("created_at"))
    ends = (read_time(step.get(key)) for key in ("completed_at", "failed_at", "cancelled_at"))
    end = next((at for at in ends if at is not None), None)
    if end is None and classify_status(status).is_terminal:
        # The step has ended, but the API does not say when: the step or its run expired.
        end = read_time(step.get("expires_at")) if classify_status(status) is RunState.EXPIRED else start
    if start is not None and end is not None:
        end = max(start, end)
    return start, end


def _format_duration(start: float | None, end: float | None) -> str | None:
    if start is None or end is None:
        return None
    # The API's times are whole seconds.
    return format_duration(end - start) if end > start else "< 1 s"


def _format_error(value: Json) -> str | None:
    if not isinstance(value, dict):
        return value if isinstance(value, str) else None
    text = ": ".join(str(value[key]) for key in ("code", "message") if value.get(key))
    return text or format_json(value)
