"""The steps of a run as the page shows them."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_openai_run.run_page.formatting import (
    count,
    duration,
    first_line,
    parsed,
    pretty,
    when,
    whole,
)
from airflow_provider_openai_run.run_page.step_content import Content, content_of, label_for
from airflow_provider_openai_run.run_page.timeline import Span
from airflow_provider_openai_run.types.run import Json
from airflow_provider_openai_run.types.status import RunState, classify_status

#: What a status looks like.
SEVERITIES = {
    RunState.ACTIVE: "active",
    RunState.NEEDS_ACTION: "waiting",
    RunState.SUCCEEDED: "good",
    RunState.FAILED: "bad",
    RunState.CANCELLED: "stopped",
    RunState.EXPIRED: "stopped",
    RunState.INCOMPLETE: "stopped",
    RunState.UNKNOWN: "plain",
}


def severity_of(status: Json) -> str:
    """Give what a status looks like; no word of the API's gets into a class name."""
    return SEVERITIES[classify_status(status if isinstance(status, str) else None)]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepView:
    """
    A step.

    :param number: its place, from 1.
    :param start: when it began, in epoch seconds; None where the API gives no times.
    :param end: when it ended; None while it goes on.
    :param took: how long it took, in words.
    :param tokens: how many it used, in words.
    """

    number: int
    id: str | None
    word: str
    content: Content
    status: str | None
    tone: str
    start: float | None
    end: float | None
    took: str | None
    tokens: str | None
    error: str | None

    @property
    def label(self) -> str:
        """The step in one line, for a pointer that rests on it."""
        parts = [f"{self.number}. {self.word}", self.content.title, self.status, self.took]
        tokens = f"{self.tokens} tokens" if self.tokens else None
        return " · ".join(part for part in (*parts, tokens) if part)

    @property
    def span(self) -> Span:
        """The step for the timeline."""
        return Span(
            start=self.start or 0.0,
            end=self.end,
            lane=self.word,
            tone=self.tone,
            label=self.label,
            number=self.number,
        )


def steps_of(value: Json) -> tuple[StepView, ...] | None:
    """
    Read the steps.

    :param value: the attribute ``steps``, of whatever shape.
    :return: None if it holds none.
    """
    value = parsed(value)
    if not isinstance(value, list):
        return None
    return tuple(_step(number, step) for number, step in enumerate(value, 1))


def _step(number: int, step: Json) -> StepView:
    if not isinstance(step, dict):
        step = {"details": step}
    details = parsed(step.get("details", step.get("step_details")))
    if details is None and step.keys() - {"id", "object", "created_at", "type", "status"}:
        details = step
    kind = step.get("type") if isinstance(step.get("type"), str) else "step"
    status = step.get("status") if isinstance(step.get("status"), str) else None
    start = when(step.get("created_at"))
    ends = (when(step.get(key)) for key in ("completed_at", "failed_at", "cancelled_at"))
    end = next((at for at in ends if at is not None), None)
    if end is None and classify_status(status).is_terminal:
        # It did end, but the API does not say when: it expired, or its run did.
        end = when(step.get("expires_at")) if classify_status(status) is RunState.EXPIRED else start
    if start is not None and end is not None:
        end = max(start, end)
    content = content_of(details, kind)
    usage = step.get("usage")
    tokens = whole(usage.get("total_tokens")) if isinstance(usage, dict) else None
    return StepView(
        number=number,
        id=step.get("id") if isinstance(step.get("id"), str) else None,
        word=label_for(content.kind),
        content=content,
        status=None if status is None else first_line(status, 40),
        tone=severity_of(status),
        start=start,
        end=end,
        took=_took(start, end),
        tokens=None if tokens is None else count(tokens),
        error=_error(step.get("last_error")),
    )


def _took(start: float | None, end: float | None) -> str | None:
    if start is None or end is None:
        return None
    # The API tells whole seconds.
    return duration(end - start) if end > start else "< 1 s"


def _error(value: Json) -> str | None:
    if not isinstance(value, dict):
        return value if isinstance(value, str) else None
    text = ": ".join(str(value[key]) for key in ("code", "message") if value.get(key))
    return text or pretty(value)
