"""The tool rounds of a run as the page shows them."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_openai_run.api.parsing import dict_or_none, list_or_none, string_or_none
from airflow_provider_openai_run.run_page.formatting import (
    format_count,
    format_duration,
    format_value,
    parse_json,
    read_count,
    read_time,
    shorten,
)
from airflow_provider_openai_run.run_page.timeline import Span
from airflow_provider_openai_run.types.json import Json

_MODEL_LANE = "Model"
_CALLS_LANE = "Tool calls"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweredCall:
    """
    A call that was answered.

    :param arguments: as text; None where they were too long to keep.
    :param output: as text; None for an approval, or where it was too long to keep.
    :param verdict: what was decided about a call that needed approval.
    :param by_person: whether a person answered, rather than a function.
    """

    name: str
    id: str
    arguments: str | None
    output: str | None
    verdict: str | None
    by_person: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundView:
    """
    One tool round: the model asked for calls, and the task answered them.

    :param number: from 1.
    :param run_id: the run that asked.
    :param start: when the model began, in epoch seconds.
    :param requested: when it had asked for the calls.
    :param answered: when they were answered.
    :param usage: the run's usage; None where the API gives it only at the end.
    """

    number: int
    run_id: str
    start: float | None
    requested: float | None
    answered: float | None
    calls: tuple[AnsweredCall, ...]
    usage: dict[str, Json] | None

    @property
    def title(self) -> str:
        """The names of the calls."""
        return shorten(", ".join(call.name for call in self.calls))

    @property
    def duration(self) -> str | None:
        """How long the round took, as text."""
        return _format_period(self.start, self.answered)

    @property
    def answer_duration(self) -> str | None:
        """How long the answers took, as text."""
        return _format_period(self.requested, self.answered)

    @property
    def tokens(self) -> str | None:
        """How many tokens the model used, as text."""
        count = read_count((self.usage or {}).get("total_tokens"))
        return None if count is None else format_count(count)


def read_rounds(value: Json) -> tuple[RoundView, ...]:
    """
    Return the rounds that a task has pushed.

    :param value: the XCom, of any JSON type.
    """
    rounds: list[RoundView] = []
    for entry in list_or_none(parse_json(value)) or []:
        if isinstance(entry, dict):
            rounds.append(_read_round(entry, rounds[-1] if rounds else None))
    return tuple(rounds)


def round_spans(
    rounds: tuple[RoundView, ...],
    run_start: float | None,
    end: float | None,
    paused_at: float | None = None,
) -> list[Span]:
    """
    Return the rounds on the timeline: when the model worked, and when its calls were answered.

    :param rounds: the rounds that were answered.
    :param run_start: when the latest run started, in epoch seconds.
    :param end: when it ended; None while it is running.
    :param paused_at: when it asked for calls that are not answered yet; None if it has not.
    """
    model: list[Span] = []
    calls: list[Span] = []
    for entry in rounds:
        if entry.start is not None and entry.requested is not None:
            model.append(_span(_MODEL_LANE, entry.start, entry.requested, "active", f"Round {entry.number}"))
        if entry.requested is not None and entry.answered is not None:
            calls.append(_span(_CALLS_LANE, entry.requested, entry.answered, "waiting", entry.title))
    last = max(rounds[-1].answered or 0.0 if rounds else 0.0, run_start or 0.0)
    if last and (rounds or paused_at):
        model.append(_span(_MODEL_LANE, last, paused_at or end, "active", "The latest run"))
    if paused_at:
        calls.append(_span(_CALLS_LANE, paused_at, None, "waiting", "Not answered yet"))
    return [*model, *calls]


def _span(lane: str, start: float, end: float | None, severity: str, title: str) -> Span:
    end = None if end is None else max(start, end)
    tooltip = title if end is None else f"{title} · {format_duration(end - start)}"
    return Span(start=start, end=end, lane=lane, severity=severity, tooltip=tooltip)


def _read_round(entry: dict[str, Json], previous: RoundView | None) -> RoundView:
    run_id = shorten(string_or_none(entry.get("run_id")) or "", 300)
    start = read_time(entry.get("created_at"))
    if previous is not None and previous.run_id == run_id:
        # The same run continues after its calls were answered.
        start = previous.answered or start
    calls = [call for call in list_or_none(entry.get("calls")) or [] if isinstance(call, dict)]
    return RoundView(
        number=1 if previous is None else previous.number + 1,
        run_id=run_id,
        start=start,
        requested=read_time(entry.get("requested_at")),
        answered=read_time(entry.get("answered_at")),
        calls=tuple(map(_read_call, calls)),
        usage=dict_or_none(entry.get("usage")),
    )


def _read_call(call: dict[str, Json]) -> AnsweredCall:
    name = shorten(str(call.get("name") or "call"))
    server = call.get("server_label")
    approved = call.get("approved")
    return AnsweredCall(
        name=shorten(f"{server}: {name}") if server else name,
        id=shorten(str(call.get("id") or "")),
        arguments=_read_text(call, "arguments"),
        output=_read_text(call, "output"),
        verdict={True: "Approved", False: "Rejected"}[approved] if isinstance(approved, bool) else None,
        by_person=call.get("by") == "person",
    )


def _read_text(call: dict[str, Json], key: str) -> str | None:
    value = call.get(key)
    return None if value is None else format_value(value)


def _format_period(start: float | None, end: float | None) -> str | None:
    return None if start is None or end is None else format_duration(end - start)
