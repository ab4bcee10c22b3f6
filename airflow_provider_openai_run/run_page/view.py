"""The page's view model, built from the XComs of a task; without Airflow, I/O or a clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from airflow_provider_openai_run.api.parsing import string_or_none
from airflow_provider_openai_run.api.registry import APIS
from airflow_provider_openai_run.cancellation import CancelReason
from airflow_provider_openai_run.run_page.formatting import (
    format_duration,
    format_json,
    format_value,
    read_time,
    shorten,
)
from airflow_provider_openai_run.run_page.notices import notices_for
from airflow_provider_openai_run.run_page.required_action import RequiredActionView, view_required_action
from airflow_provider_openai_run.run_page.severity import severity_of
from airflow_provider_openai_run.run_page.step_content import Block
from airflow_provider_openai_run.run_page.steps import StepView, read_steps
from airflow_provider_openai_run.run_page.task_instance import TaskInstanceInfo
from airflow_provider_openai_run.run_page.timeline import Bar, Span, Timeline, draw_in_order, draw_to_scale
from airflow_provider_openai_run.run_page.usage import UsageView, read_usage
from airflow_provider_openai_run.run_page.xcom_data import OPERATORS, XComData, read_xcoms
from airflow_provider_openai_run.types.json import Json
from airflow_provider_openai_run.types.status import classify_status

_STATUS_LANE = "Status"


@dataclass(frozen=True, slots=True)
class Attribute:
    """
    A short value with a label.

    :param can_copy: whether a button copies the value.
    """

    label: str
    text: str
    can_copy: bool = False


@dataclass(frozen=True, slots=True)
class Timestamp:
    """A time with a label; ``at`` in epoch seconds."""

    label: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorView:
    """
    Why the run failed, or why the task stopped waiting for it.

    :param request_id: the API's id of the request, for its support.
    :param details: the rest of the API's error as JSON.
    """

    title: str
    message: str
    request_id: str | None
    details: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """
    All that the page shows.

    :param has_run: whether the task has a run at all.
    :param severity: of the status; one of :data:`~airflow_provider_openai_run.run_page.severity.SEVERITIES`.
    :param running_since: when the run started, in epoch seconds, while it is running.
    :param duration: how long the run took, as text, if it has ended.
    :param timeline: the observed statuses, and the steps that have times, to scale.
    :param step_sequence: the steps in their order, if they have no times.
    :param notices: sentences that say which data is missing, and why.
    """

    task: TaskInstanceInfo
    data: XComData
    has_run: bool
    status: str | None
    severity: str
    running_since: float | None
    duration: str | None
    attributes: tuple[Attribute, ...]
    timestamps: tuple[Timestamp, ...]
    timeline: Timeline | None
    step_sequence: Timeline | None
    steps: tuple[StepView, ...] | None
    usage: UsageView | None
    errors: tuple[ErrorView, ...]
    required_action: RequiredActionView | None
    answer: Block | None
    notices: tuple[str, ...]

    @property
    def step_bars(self) -> dict[int, Bar]:
        """The bar of each step on the timeline, by step number."""
        drawn = self.step_sequence or self.timeline
        return drawn.step_bars if drawn else {}


def build_view(xcoms: Mapping[str, Json], task: TaskInstanceInfo, now: float) -> RunView:
    """
    Return the view model of a task instance.

    :param xcoms: the stored XComs of the task instance, by key.
    :param task: the task instance.
    :param now: epoch seconds.
    """
    data = read_xcoms(xcoms)
    run = data.attributes
    status = string_or_none(run.get("status"))
    has_ended = classify_status(status).is_terminal
    steps = read_steps(run.get("steps"))
    start, end = _read_start(run), _read_end(run) if has_ended else None
    if has_ended and end is None:
        ends = [at for _, at in _read_statuses(data)] + [step.end or 0.0 for step in steps or ()]
        end = max(ends, default=None) or task.ended_at
    timed_steps = [step.span for step in steps or () if step.start is not None]
    spans = [*_status_spans(data, end), *timed_steps]
    is_running = not has_ended and task.is_live
    return RunView(
        task=task,
        data=data,
        has_run=bool(data) or task.operator in OPERATORS,
        status=None if status is None else shorten(status, 40),
        severity=severity_of(status),
        running_since=start if is_running else None,
        duration=_format_duration(start, end),
        attributes=_attributes(data),
        timestamps=_timestamps(data, task, has_ended=has_ended),
        timeline=draw_to_scale(spans, start, end, task.observed_until(now)) if spans else None,
        step_sequence=None if timed_steps else draw_in_order([step.span for step in steps or ()]),
        steps=steps,
        usage=read_usage(run.get("usage"), data.token_usage),
        errors=_errors(data, status),
        required_action=view_required_action(run.get("required_action"), status),
        answer=_answer(data, steps or () if has_ended else ()),
        notices=notices_for(data, task, status, steps),
    )


def _read_start(run: dict[str, Json]) -> float | None:
    return read_time(run.get("created_at")) or read_time(run.get("started_at"))


def _read_end(run: dict[str, Json]) -> float | None:
    keys = ("completed_at", "failed_at", "cancelled_at")
    return next((at for key in keys if (at := read_time(run.get(key))) is not None), None)


def _format_duration(start: float | None, end: float | None) -> str | None:
    return format_duration(end - start) if start is not None and end is not None and end >= start else None


def _read_statuses(data: XComData) -> list[tuple[str, float]]:
    """Return the observed statuses, each with the time of its first observation."""
    entries = data.progress.get("statuses")
    return [
        (shorten(status, 40), at)
        for entry in (entries if isinstance(entries, list) else [])
        if isinstance(entry, dict)
        and isinstance(status := entry.get("status"), str)
        and (at := read_time(entry.get("at"))) is not None
    ]


def _status_spans(data: XComData, end: float | None) -> list[Span]:
    statuses = _read_statuses(data)
    next_starts = [*(at for _, at in statuses[1:]), end]
    spans = []
    for (status, start), next_start in zip(statuses, next_starts, strict=False):
        if classify_status(status).is_terminal:
            continue
        span_end = None if next_start is None else max(next_start, start)
        tooltip = status if span_end is None else f"{status} · {format_duration(span_end - start)}"
        severity = severity_of(status)
        spans.append(Span(start=start, end=span_end, lane=_STATUS_LANE, severity=severity, tooltip=tooltip))
    return spans


_ATTRIBUTE_LABELS = (
    ("model", "Model", False),
    ("id", "Run", True),
    ("thread_id", "Thread", True),
    ("assistant_id", "Assistant", True),
    ("conversation_id", "Conversation", True),
    ("previous_response_id", "Previous response", True),
)


def _attributes(data: XComData) -> tuple[Attribute, ...]:
    run = data.attributes
    attributes = [
        Attribute(label, shorten(format_value(run[name]), 300), can_copy)
        for name, label, can_copy in _ATTRIBUTE_LABELS
        if run.get(name)
    ]
    if api := run.get("api"):
        name = shorten(format_value(api), 60)
        attributes.append(Attribute("API", APIS[name].title if name in APIS else name))
    if reason := data.cancel_reason:
        attributes.append(Attribute("Cancelled because", _describe_cancel_reason(reason)))
    return tuple(attributes)


def _describe_cancel_reason(reason: str) -> str:
    """Return the meaning of a reason; for one of a newer version, the reason itself."""
    return CancelReason(reason).description if reason in set(CancelReason) else shorten(reason, 300)


_TIMESTAMP_LABELS = (
    ("created_at", "Created"),
    ("started_at", "Started"),
    ("completed_at", "Completed"),
    ("failed_at", "Failed"),
    ("cancelled_at", "Cancelled"),
)
_LIVE_TIMESTAMP_LABELS = (("expires_at", "Expires"), ("polled_at", "Status as of"))


def _timestamps(data: XComData, task: TaskInstanceInfo, *, has_ended: bool) -> tuple[Timestamp, ...]:
    polled_at = data.progress.get("polled_at") if task.is_live else None
    values = {**data.attributes, "polled_at": polled_at}
    labels = _TIMESTAMP_LABELS if has_ended else (*_TIMESTAMP_LABELS, *_LIVE_TIMESTAMP_LABELS)
    return tuple(
        Timestamp(label, at) for name, label in labels if (at := read_time(values.get(name))) is not None
    )


def _errors(data: XComData, status: str | None) -> tuple[ErrorView, ...]:
    run, progress = data.attributes, data.progress
    request_id = string_or_none(progress.get("request_id"))
    errors = []
    if (last_error := run.get("last_error")) is not None:
        errors.append(_run_error(last_error, request_id))
    if isinstance(details := run.get("incomplete_details"), dict) and details:
        reason = format_value(details["reason"]) if details.get("reason") else format_json(details)
        errors.append(ErrorView(title="Incomplete", message=reason, request_id=request_id))
    if isinstance(error := progress.get("error"), dict):
        title = shorten(str(error.get("type") or "The task stopped waiting"), 60)
        message = format_value(error.get("message", error))
        errors.append(ErrorView(title=title, message=message, request_id=request_id))
    elif not errors and isinstance(cause := progress.get("reason"), str):
        errors.append(ErrorView(title=f"Ended as {status}", message=cause, request_id=request_id))
    return tuple(errors)


def _run_error(error: Json, request_id: str | None) -> ErrorView:
    if not isinstance(error, dict):
        return ErrorView(title="Error", message=format_value(error), request_id=request_id)
    details: Json = {
        key: value for key, value in error.items() if key not in {"code", "message"} and value is not None
    }
    return ErrorView(
        title=shorten(str(error.get("code") or "Error"), 80),
        message=format_value(error["message"]) if error.get("message") else "The API gave no message.",
        request_id=request_id,
        details=format_json(details) if details else None,
    )


def _answer(data: XComData, steps: tuple[StepView, ...]) -> Block | None:
    """Return the answer in XCom; without one, the text of the last message among the steps."""
    if data.answer not in (None, ""):
        return Block("Answer", format_value(data.answer), is_prose=isinstance(data.answer, str))
    messages = [step.content for step in steps if step.content.kind == "message"]
    texts = [block.text for content in messages[-1:] for block in content.blocks if block.label == "Text"]
    return Block("Answer", "\n\n".join(texts), is_prose=True) if texts else None
