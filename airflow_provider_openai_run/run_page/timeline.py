"""The geometry of the timeline: where each step and each status stands, in per cent of the width."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from airflow_provider_openai_run.run_page.formatting import duration

#: How far apart the marks of the axis may be, in seconds.
_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)
_MOST_MARKS = 8
_LEAST_WIDTH = 0.35


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """
    Something that took time.

    :param start: in epoch seconds.
    :param end: the same; None while it goes on.
    :param lane: what it is drawn beside.
    :param tone: how it ended, for its colour.
    :param label: what a pointer that rests on it is told.
    :param number: the step it stands for.
    """

    start: float
    end: float | None
    lane: str
    tone: str
    label: str
    number: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A span as it is drawn."""

    x: float
    width: float
    tone: str
    label: str
    number: int | None


@dataclass(frozen=True, slots=True)
class Lane:
    """Bars beside each other."""

    name: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """A mark on the axis."""

    x: float
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """
    A timeline as it is drawn.

    :param lanes: from top to bottom.
    :param marks: of the axis; none where the API gave no times.
    :param seconds: how long all of it is; None where the API gave no times.
    """

    lanes: tuple[Lane, ...]
    marks: tuple[RunIdentity, ...]
    seconds: float | None

    @property
    def places(self) -> dict[int, Bar]:
        """Where each step stands, by its number."""
        return {bar.number: bar for lane in self.lanes for bar in lane.bars if bar.number is not None}


def to_scale(spans: Sequence[Span], begin: float | None, end: float | None, now: float) -> Timeline | None:
    """
    Draw spans to scale.

    :param spans: in the order of their lanes.
    :param begin: when all began, if that is known; nothing is drawn before the earliest span.
    :param end: when all ended; None while it goes on.
    :param now: epoch seconds.
    :return: None if there is nothing that took time.
    """
    starts = [span.start for span in spans] + ([begin] if begin is not None else [])
    if not starts:
        return None
    first = min(starts)
    ends = [now if span.end is None else span.end for span in spans] + [now if end is None else end]
    seconds = max(max(ends) - first, 0.001)
    lanes: dict[str, list[Bar]] = {}
    for span in spans:
        last = max(now if span.end is None else span.end, span.start)
        x = 100 * (span.start - first) / seconds
        width = max(100 * (last - span.start) / seconds, _LEAST_WIDTH)
        lanes.setdefault(span.lane, []).append(_bar(min(x, 100 - _LEAST_WIDTH), width, span))
    return Timeline(lanes=_lanes(lanes.items()), marks=_marks(seconds), seconds=seconds)


def in_order(spans: Sequence[Span]) -> Timeline | None:
    """
    Draw spans evenly, one after the other, where the API gave no times.

    :param spans: in their order.
    :return: None if there are none.
    """
    lanes: dict[str, list[Bar]] = {}
    for place, span in enumerate(spans):
        each = 100 / len(spans)
        lanes.setdefault(span.lane, []).append(_bar(place * each, each * 0.96, span))
    return Timeline(lanes=_lanes(lanes.items()), marks=(), seconds=None) if lanes else None


def _bar(x: float, width: float, span: Span) -> Bar:
    return Bar(
        x=round(x, 3),
        width=round(min(width, 100 - x), 3),
        tone=span.tone,
        label=span.label,
        number=span.number,
    )


def _lanes(lanes: Iterable[tuple[str, list[Bar]]]) -> tuple[Lane, ...]:
    return tuple(Lane(name, tuple(bars)) for name, bars in lanes)


def _marks(seconds: float) -> tuple[RunIdentity, ...]:
    day = _STEPS[-1]
    step = next((step for step in _STEPS if seconds / step <= _MOST_MARKS), None)
    step = step or day * -(-seconds // (day * _MOST_MARKS))
    marks = [number * step for number in range(int(seconds / step) + 1)]
    return tuple(RunIdentity(round(100 * at / seconds, 3), _mark(at)) for at in marks)


def _mark(seconds: float) -> str:
    """Give a round duration in one unit, as far as it goes into one."""
    for unit, length, most in (("d", 86_400, None), ("h", 3_600, 172_800), ("min", 60, 3_600)):
        if seconds and seconds % length == 0 and (most is None or seconds < most):
            return f"{seconds / length:g} {unit}"
    return duration(seconds) if seconds else "0"
