"""The page's view model, built from the XComs of a task; without Airflow, I/O or a clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from airflow_provider_openai_run.api.parsing import string_or_none
from airflow_provider_openai_run.run_page.answer import AnswerView, read_answer, read_refusal
from airflow_provider_openai_run.run_page.attributes import (
    Attribute,
    Timestamp,
    read_attributes,
    read_timestamps,
)
from airflow_provider_openai_run.run_page.formatting import format_count, format_duration, read_time, shorten
from airflow_provider_openai_run.run_page.links import Link, task_links
from airflow_provider_openai_run.run_page.notices import notices_for
from airflow_provider_openai_run.run_page.required_action import RequiredActionView, view_required_action
from airflow_provider_openai_run.run_page.rounds import RoundView, read_rounds, round_spans
from airflow_provider_openai_run.run_page.run_errors import ErrorView, read_errors
from airflow_provider_openai_run.run_page.run_input import read_input
from airflow_provider_openai_run.run_page.run_list import RunListView, view_run_list
from airflow_provider_openai_run.run_page.severity import severity_of
from airflow_provider_openai_run.run_page.statuses import last_request, read_statuses, status_spans
from airflow_provider_openai_run.run_page.step_content import Block
from airflow_provider_openai_run.run_page.step_list import StepList, build_step_list
from airflow_provider_openai_run.run_page.steps import StepView, read_steps
from airflow_provider_openai_run.run_page.task_instance import TaskInstanceInfo
from airflow_provider_openai_run.run_page.timeline import Bar, Timeline, draw_in_order, draw_to_scale
from airflow_provider_openai_run.run_page.usage import UsageView, read_usage
from airflow_provider_openai_run.run_page.xcom_data import OPERATORS, XComData, read_xcoms
from airflow_provider_openai_run.types.json import Json
from airflow_provider_openai_run.types.status import classify_status

#: What stands in place of the run's status while the task is parked.
_WAITS_FOR_PERSON = "waits for a person"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """
    All that the page shows.

    :param has_run: whether the task has a run at all.
    :param status: the run's status, or that the task waits for a person.
    :param severity: of the status; one of :data:`~airflow_provider_openai_run.run_page.severity.SEVERITIES`.
    :param run_status: the run's status, where ``status`` is about the task.
    :param running_since: when the run started, in epoch seconds, while it is running.
    :param duration: how long the run took with all its rounds, as text, if it has ended.
    :param timeline: the observed statuses, the rounds, and the steps that have times, to scale.
    :param step_sequence: the steps in their order, if they have no times.
    :param run_list: the runs of a task with many.
    :param notices: sentences that say which data is missing, and why.
    """

    task: TaskInstanceInfo
    data: XComData
    has_run: bool
    status: str | None
    severity: str
    run_status: str | None
    running_since: float | None
    duration: str | None
    links: tuple[Link, ...]
    attributes: tuple[Attribute, ...]
    timestamps: tuple[Timestamp, ...]
    errors: tuple[ErrorView, ...]
    required_action: RequiredActionView | None
    answer: AnswerView | None
    refusal: str | None
    rounds: tuple[RoundView, ...]
    timeline: Timeline | None
    step_sequence: Timeline | None
    steps: tuple[StepView, ...] | None
    step_list: StepList | None
    usage: UsageView | None
    input: tuple[Block, ...]
    notices: tuple[str, ...]
    run_list: RunListView | None = None

    @property
    def step_bars(self) -> dict[int, Bar]:
        """The bar of each step on the timeline, by step number."""
        drawn = self.step_sequence or self.timeline
        return drawn.step_bars if drawn else {}


def build_view(
    xcoms: Mapping[str, Json],
    task: TaskInstanceInfo,
    now: float,
    *,
    rendered: Mapping[str, Json] | None = None,
    unreadable: Mapping[str, str] | None = None,
) -> RunView:
    """
    Return the view model of a task instance.

    :param xcoms: the XComs of the task instance, by key.
    :param task: the task instance.
    :param now: epoch seconds.
    :param rendered: its rendered template fields, by name.
    :param unreadable: why other XComs cannot be read, by key.
    """
    data = read_xcoms(xcoms, unreadable)
    run = data.attributes
    status = string_or_none(run.get("status"))
    has_ended = classify_status(status).is_terminal
    # A response that asks for calls has ended; the task answers them, and another response follows.
    continues = task.is_live and (task.waits_for_person or bool(run.get("required_action")))
    is_over = has_ended and not continues
    steps = read_steps(run.get("steps"))
    rounds = read_rounds(data.rounds)
    start, end = _read_start(run), _read_end(run) if is_over else None
    if is_over and end is None:
        ends = [at for _, at in read_statuses(data)] + [step.end or 0.0 for step in steps or ()]
        end = max(ends, default=None) or task.ended_at
    paused_at = (_read_end(run) if has_ended else last_request(data)) if continues else None
    first_start = min((at for at in (start, *(entry.start for entry in rounds)) if at), default=None)
    timed_steps = [step.span for step in steps or () if step.start is not None]
    earlier = [entry for entry in rounds if entry.run_id != run.get("id")]
    spans = [
        *([] if earlier else status_spans(data, end or (paused_at if has_ended else None))),
        *round_spans(rounds, start, end, paused_at),
        *timed_steps,
    ]
    is_running = not is_over and task.is_live
    run_list = view_run_list(data.run_list)
    is_answered = any(entry.run_id == run.get("id") for entry in rounds) and has_ended
    view = RunView(
        task=task,
        data=data,
        has_run=bool(data) or task.operator in OPERATORS,
        status=_WAITS_FOR_PERSON if task.waits_for_person else _short(status),
        severity="waiting" if task.waits_for_person else severity_of(status),
        run_status=_short(status) if task.waits_for_person else None,
        running_since=first_start if is_running else None,
        duration=_format_duration(first_start, end),
        links=task_links(task, data.console_url),
        attributes=read_attributes(data, rounds),
        timestamps=read_timestamps(data, task, has_ended=has_ended),
        errors=read_errors(data, status),
        required_action=None
        if is_answered
        else view_required_action(run.get("required_action"), status, task),
        answer=read_answer(data, steps or () if has_ended else ()),
        refusal=read_refusal(data, steps or () if has_ended else ()),
        rounds=rounds,
        timeline=draw_to_scale(spans, first_start, end, task.observed_until(now)) if spans else None,
        step_sequence=None if timed_steps else _draw_sequence(steps or ()),
        steps=steps,
        step_list=build_step_list(steps) if steps else None,
        usage=read_usage(run.get("usage"), data.token_usage, [entry.usage for entry in earlier]),
        input=read_input(run, rendered or {}),
        notices=notices_for(data, task, status, steps),
        run_list=run_list,
    )
    return view if run_list is None or run else _with_runs(view, run_list)


def _with_runs(view: RunView, runs: RunListView) -> RunView:
    """Return the view of a task with many runs: its header is about all of them."""
    is_live = view.task.is_live
    attributes = (("Tokens", runs.tokens, False), ("Results", runs.results, True))
    times = (
        ("Started", runs.started_at),
        ("Estimated end", runs.estimated_end if is_live else None),
        ("Statuses as of", runs.polled_at),
    )
    return replace(
        view,
        status=f"{format_count(runs.ended)} of {format_count(runs.total)} ended",
        severity=runs.severity(is_live=is_live),
        running_since=runs.started_at if is_live else None,
        duration=None if is_live else _format_duration(runs.started_at, runs.polled_at),
        attributes=tuple(
            Attribute(label, text, copy) for label, text, copy in attributes if text is not None
        ),
        timestamps=tuple(Timestamp(label, at) for label, at in times if at is not None),
        notices=view.notices if view.data.unreadable else (),
    )


def _draw_sequence(steps: tuple[StepView, ...]) -> Timeline | None:
    return draw_in_order([step.span for step in steps]) if len(steps) > 1 else None


def _short(status: str | None) -> str | None:
    return None if status is None else shorten(status, 40)


def _read_start(run: dict[str, Json]) -> float | None:
    return read_time(run.get("created_at")) or read_time(run.get("started_at"))


def _read_end(run: dict[str, Json]) -> float | None:
    keys = ("completed_at", "failed_at", "cancelled_at", "expired_at")
    return next((at for key in keys if (at := read_time(run.get(key))) is not None), None)


def _format_duration(start: float | None, end: float | None) -> str | None:
    return format_duration(end - start) if start is not None and end is not None and end >= start else None
