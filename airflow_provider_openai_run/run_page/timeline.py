"""The timeline's geometry: the position of each status and step, in percent of the width."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from airflow_provider_openai_run.run_page.formatting import format_duration
from airflow_provider_openai_run.run_page.severity import FAILURE

#: Possible distances between the ticks of the axis, in seconds.
_TICK_INTERVALS = (
    *(0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600),
    *(7200, 14400, 43200, 86400),
)
_MAX_INTERVALS = 8
_MIN_WIDTH = 0.35
_MIN_WIDTH_OF_FAILURE = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """
    A period to draw.

    :param start: epoch seconds.
    :param end: epoch seconds; None while it lasts.
    :param lane: the name of the lane it belongs to.
    :param severity: one of :data:`~airflow_provider_openai_run.run_page.severity.SEVERITIES`.
    :param step_number: the number of the step it represents; None for a status.
    """

    start: float
    end: float | None
    lane: str
    severity: str
    tooltip: str
    step_number: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """
    A drawn span.

    :param x: its left edge, in percent.
    :param width: in percent.
    """

    x: float
    width: float
    severity: str
    tooltip: str
    step_number: int | None


@dataclass(frozen=True, slots=True)
class Lane:
    """A row of bars with a name."""

    name: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Tick:
    """A tick of the axis; ``x`` in percent."""

    x: float
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """
    A drawn timeline.

    :param lanes: from top to bottom.
    :param ticks: of the axis; empty where the API gives no times.
    :param seconds: its length; None where the API gives no times.
    """

    lanes: tuple[Lane, ...]
    ticks: tuple[Tick, ...]
    seconds: float | None

    @property
    def step_bars(self) -> dict[int, Bar]:
        """The bar of each step, by step number."""
        return {
            bar.step_number: bar for lane in self.lanes for bar in lane.bars if bar.step_number is not None
        }


def draw_to_scale(
    spans: Sequence[Span], start: float | None, end: float | None, now: float
) -> Timeline | None:
    """
    Return the spans drawn to scale; None if there is nothing to draw.

    :param spans: ordered by lane.
    :param start: when the run started, in epoch seconds, if known; the timeline starts at the earliest time.
    :param end: when the run ended, in epoch seconds; None while it is running.
    :param now: epoch seconds.
    """
    starts = [span.start for span in spans] + ([start] if start is not None else [])
    if not starts:
        return None
    first = min(starts)
    ends = [now if span.end is None else span.end for span in spans] + [now if end is None else end]
    seconds = max(max(ends) - first, 0.001)
    lanes: dict[str, list[Bar]] = {}
    for span in spans:
        last = max(now if span.end is None else span.end, span.start)
        x = 100 * (span.start - first) / seconds
        min_width = _MIN_WIDTH_OF_FAILURE if span.severity == FAILURE else _MIN_WIDTH
        width = max(100 * (last - span.start) / seconds, min_width)
        lanes.setdefault(span.lane, []).append(_draw_bar(min(x, 100 - min_width), width, span))
    return Timeline(lanes=_draw_lanes(lanes.items()), ticks=_draw_ticks(seconds), seconds=seconds)


def draw_in_order(spans: Sequence[Span]) -> Timeline | None:
    """
    Return the spans drawn one after the other with equal widths; None if there are none.

    For steps of an API that gives no times.

    :param spans: in their order.
    """
    lanes: dict[str, list[Bar]] = {}
    for index, span in enumerate(spans):
        width = 100 / len(spans)
        lanes.setdefault(span.lane, []).append(_draw_bar(index * width, width * 0.96, span))
    return Timeline(lanes=_draw_lanes(lanes.items()), ticks=(), seconds=None) if lanes else None


def _draw_bar(x: float, width: float, span: Span) -> Bar:
    return Bar(
        x=round(x, 3),
        width=round(min(width, 100 - x), 3),
        severity=span.severity,
        tooltip=span.tooltip,
        step_number=span.step_number,
    )


def _draw_lanes(lanes: Iterable[tuple[str, list[Bar]]]) -> tuple[Lane, ...]:
    # What failed is drawn last, so that nothing covers it.
    return tuple(
        Lane(name, tuple(sorted(bars, key=lambda bar: bar.severity == FAILURE))) for name, bars in lanes
    )


def _draw_ticks(seconds: float) -> tuple[Tick, ...]:
    day = _TICK_INTERVALS[-1]
    interval = next((each for each in _TICK_INTERVALS if seconds / each <= _MAX_INTERVALS), None)
    interval = interval or day * -(-seconds // (day * _MAX_INTERVALS))
    times = [number * interval for number in range(int(seconds / interval) + 1)]
    return tuple(Tick(round(100 * at / seconds, 3), _format_tick(at)) for at in times)


def _format_tick(seconds: float) -> str:
    """Return a multiple of a tick interval in one unit, if it divides evenly."""
    for unit, length, limit in (("d", 86_400, None), ("h", 3_600, 172_800), ("min", 60, 3_600)):
        if seconds and seconds % length == 0 and (limit is None or seconds < limit):
            return f"{seconds / length:g} {unit}"
    return format_duration(seconds) if seconds else "0"
