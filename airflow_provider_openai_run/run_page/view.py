"""What the run's page shows: made of the XComs of a task, without Airflow and without a clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from airflow_provider_openai_run.run_page.formatting import duration, first_line, pretty, readable, when
from airflow_provider_openai_run.run_page.notices import notices_for
from airflow_provider_openai_run.run_page.required_action import Pending, pending_of
from airflow_provider_openai_run.run_page.step_content import Block
from airflow_provider_openai_run.run_page.steps import StepView, severity_of, steps_of
from airflow_provider_openai_run.run_page.task_instance import TaskInstanceInfo
from airflow_provider_openai_run.run_page.timeline import Bar, Span, Timeline, in_order, to_scale
from airflow_provider_openai_run.run_page.usage import UsageView, usage_of
from airflow_provider_openai_run.run_page.xcom_data import OPERATORS, XComData, read_xcoms
from airflow_provider_openai_run.types.run import Json
from airflow_provider_openai_run.types.status import classify_status

_STATUS_LANE = "Status"


@dataclass(frozen=True, slots=True)
class Fact:
    """
    A short value with its name.

    :param is_id: whether it is something to copy.
    """

    label: str
    text: str
    is_id: bool = False


@dataclass(frozen=True, slots=True)
class Moment:
    """A time with its name."""

    label: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """
    Why the run or the wait for it failed.

    :param details: whatever else the API said.
    """

    title: str
    message: str
    request_id: str | None
    details: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """
    The whole page.

    :param is_ours: whether the task is about a run at all.
    :param since: when the run began, if it goes on; for a clock that runs.
    :param took: how long it took, in words, if it has ended.
    :param timeline: to scale: the statuses that were seen, and the steps as far as the API gave their times.
    :param sequence: the steps in their order, where it gave none.
    :param missing: what there is not, and why, in sentences.
    """

    task: TaskInstanceInfo
    told: XComData
    is_ours: bool
    status: str | None
    tone: str
    since: float | None
    took: str | None
    facts: tuple[Fact, ...]
    moments: tuple[Moment, ...]
    timeline: Timeline | None
    sequence: Timeline | None
    steps: tuple[StepView, ...] | None
    usage: UsageView | None
    troubles: tuple[Trouble, ...]
    pending: Pending | None
    answer: Block | None
    missing: tuple[str, ...]

    @property
    def places(self) -> dict[int, Bar]:
        """Where each step stands on the timeline, by its number."""
        drawn = self.sequence or self.timeline
        return drawn.places if drawn else {}


def view_of(xcoms: Mapping[str, Json], task: TaskInstanceInfo, now: float) -> RunView:
    """
    Give what is to be shown.

    :param xcoms: the XComs of the task instance, by key.
    :param task: what Airflow knows of the task instance.
    :param now: epoch seconds.
    """
    told = read_xcoms(xcoms)
    run = told.attributes
    status = run.get("status") if isinstance(run.get("status"), str) else None
    has_ended = classify_status(status).is_terminal
    steps = steps_of(run.get("steps"))
    begin, end = _begin(run), _end(run) if has_ended else None
    if has_ended and end is None:
        end = max([at for _, at in _statuses(told)] + [step.end or 0.0 for step in steps or ()], default=None)
        end = end or task.ended_at
    timed = [step.span for step in steps or () if step.start is not None]
    spans = [*_status_spans(told, end), *timed]
    return RunView(
        task=task,
        told=told,
        is_ours=bool(told) or task.operator in OPERATORS,
        status=None if status is None else first_line(status, 40),
        tone=severity_of(status),
        since=begin if begin is not None and not has_ended and task.is_live else None,
        took=duration(end - begin) if begin is not None and end is not None and end >= begin else None,
        facts=_facts(told),
        moments=_moments(told, task, has_ended=has_ended),
        timeline=to_scale(spans, begin, end, task.last_moment(now)) if spans else None,
        sequence=None if timed else in_order([step.span for step in steps or ()]),
        steps=steps,
        usage=usage_of(run.get("usage"), told.token_usage),
        troubles=_troubles(told, status),
        pending=pending_of(run.get("required_action"), status),
        answer=_answer(told, steps or () if has_ended else ()),
        missing=notices_for(told, task, status, steps),
    )


def _begin(run: dict[str, Json]) -> float | None:
    return when(run.get("created_at")) or when(run.get("started_at"))


def _end(run: dict[str, Json]) -> float | None:
    keys = ("completed_at", "failed_at", "cancelled_at")
    return next((at for key in keys if (at := when(run.get(key))) is not None), None)


def _statuses(told: XComData) -> list[tuple[str, float]]:
    entries = told.published.get("statuses")
    seen = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    return [
        (first_line(entry["status"], 40), at)
        for entry in seen
        if isinstance(entry.get("status"), str) and (at := when(entry.get("at"))) is not None
    ]


def _status_spans(told: XComData, end: float | None) -> list[Span]:
    statuses = _statuses(told)
    spans = []
    for place, (status, at) in enumerate(statuses):
        until = statuses[place + 1][1] if place + 1 < len(statuses) else end
        if classify_status(status).is_terminal:
            continue
        ended = until if until is None else max(until, at)
        label = status if ended is None else f"{status} · {duration(ended - at)}"
        spans.append(Span(start=at, end=ended, lane=_STATUS_LANE, tone=severity_of(status), label=label))
    return spans


_FACTS = (
    ("model", "Model", False),
    ("id", "Run", True),
    ("thread_id", "Thread", True),
    ("assistant_id", "Assistant", True),
    ("conversation_id", "Conversation", True),
    ("previous_response_id", "Previous response", True),
)


def _facts(told: XComData) -> tuple[Fact, ...]:
    run = told.attributes
    label = {"response": "Response"}.get(str(run.get("object")), "Run")
    return tuple(
        Fact(label if name == "id" else title, first_line(readable(run[name]), 300), is_id)
        for name, title, is_id in _FACTS
        if run.get(name)
    )


_MOMENTS = (
    ("created_at", "Created"),
    ("started_at", "Started"),
    ("completed_at", "Completed"),
    ("failed_at", "Failed"),
    ("cancelled_at", "Cancelled"),
)


def _moments(told: XComData, task: TaskInstanceInfo, *, has_ended: bool) -> tuple[Moment, ...]:
    seen_at = told.published.get("seen_at") if task.is_live else None
    known = {**told.attributes, "seen_at": seen_at}
    names = _MOMENTS if has_ended else (*_MOMENTS, ("expires_at", "Expires"), ("seen_at", "Status seen"))
    return tuple(Moment(label, at) for name, label in names if (at := when(known.get(name))) is not None)


def _troubles(told: XComData, status: str | None) -> tuple[Trouble, ...]:
    run, published = told.attributes, told.published
    request_id = published.get("request_id")
    request_id = request_id if isinstance(request_id, str) else None
    troubles = []
    if (error := run.get("last_error")) is not None:
        troubles.append(_of_error(error, request_id))
    if isinstance(cause := run.get("incomplete_details"), dict) and cause:
        reason = readable(cause["reason"]) if cause.get("reason") else pretty(cause)
        troubles.append(Trouble(title="Incomplete", message=reason, request_id=request_id))
    if isinstance(end := published.get("error"), dict):
        title = first_line(str(end.get("type") or "The wait ended"), 60)
        message = readable(end.get("message", end))
        troubles.append(Trouble(title=title, message=message, request_id=request_id))
    elif not troubles and isinstance(why := published.get("reason"), str):
        troubles.append(Trouble(title=f"Ended as {status}", message=why, request_id=request_id))
    return tuple(troubles)


def _of_error(error: Json, request_id: str | None) -> Trouble:
    if not isinstance(error, dict):
        return Trouble(title="Error", message=readable(error), request_id=request_id)
    more = {
        key: value for key, value in error.items() if key not in {"code", "message"} and value is not None
    }
    return Trouble(
        title=first_line(str(error.get("code") or "Error"), 80),
        message=readable(error["message"]) if error.get("message") else "The API gave no message.",
        request_id=request_id,
        details=pretty(more) if more else None,
    )


def _answer(told: XComData, steps: tuple[StepView, ...]) -> Block | None:
    if told.answer not in (None, ""):
        return Block("Answer", readable(told.answer), is_prose=isinstance(told.answer, str))
    messages = [step.content for step in steps if step.content.kind == "message"]
    texts = [block.text for content in messages[-1:] for block in content.blocks if block.label == "Text"]
    return Block("Answer", "\n\n".join(texts), is_prose=True) if texts else None
