from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_openai_run.run_page.timeline import Span, draw_in_order, draw_to_scale

START = 1_795_000_000.0


def span(start: float, end: float | None, lane: str = "Message", step_number: int | None = 1) -> Span:
    return Span(
        start=START + start,
        end=None if end is None else START + end,
        lane=lane,
        severity="success",
        tooltip="step",
        step_number=step_number,
    )


def test_bars_have_positions_to_scale() -> None:
    timeline = draw_to_scale([span(0, 10), span(10, 40, "Shell", 2)], START, START + 40, START + 99)
    assert timeline is not None
    assert [(lane.name, bar.x, bar.width) for lane in timeline.lanes for bar in lane.bars] == [
        ("Message", 0, 25),
        ("Shell", 25, 75),
    ]
    assert timeline.step_bars[2].x == 25


def test_an_open_span_lasts_until_now() -> None:
    timeline = draw_to_scale([span(5, None)], START, None, START + 10)
    assert timeline is not None
    assert (timeline.lanes[0].bars[0].x, timeline.lanes[0].bars[0].width) == (50, 50)


def test_a_step_of_zero_length_is_visible() -> None:
    timeline = draw_to_scale([span(1000, 1000)], START, START + 1000, START)
    assert timeline is not None
    bar = timeline.lanes[0].bars[0]
    assert bar.width > 0
    assert bar.x + bar.width <= 100


@pytest.mark.parametrize(
    ("seconds", "labels"),
    [
        (3, ["0", "0.5 s", "1 s", "1.5 s", "2 s", "2.5 s", "3 s"]),
        (40, ["0", "5 s", "10 s", "15 s", "20 s", "25 s", "30 s", "35 s", "40 s"]),
        (300, ["0", "1 min", "2 min", "3 min", "4 min", "5 min"]),
        (7200, ["0", "15 min", "30 min", "45 min", "1 h", "1 h 15 min", "1 h 30 min", "1 h 45 min", "2 h"]),
    ],
)
def test_the_axis_has_round_tick_labels(seconds: float, labels: list[str]) -> None:
    timeline = draw_to_scale([span(0, seconds)], START, START + seconds, START)
    assert timeline is not None
    assert [tick.label for tick in timeline.ticks] == labels


def test_steps_without_times_have_equal_widths() -> None:
    timeline = draw_in_order([span(0, None, "Reasoning", 1), span(0, None, "Message", 2)])
    assert timeline is not None
    assert [(lane.name, lane.bars[0].x) for lane in timeline.lanes] == [("Reasoning", 0), ("Message", 50)]
    assert (timeline.ticks, timeline.seconds) == ((), None)


def test_without_spans_there_is_no_timeline() -> None:
    assert draw_to_scale([], None, None, START) is None
    assert draw_in_order([]) is None


seconds_since_1970 = st.floats(0, 4e9)


@given(
    st.lists(st.tuples(seconds_since_1970, st.none() | seconds_since_1970), min_size=1, max_size=20),
    seconds_since_1970,
)
def test_every_bar_is_inside_the_timeline(times: list[tuple[float, float | None]], now: float) -> None:
    spans = [
        Span(start=start, end=end, lane="a", severity="success", tooltip="", step_number=1)
        for start, end in times
    ]
    timeline = draw_to_scale(spans, None, None, now)
    assert timeline is not None
    for bar in timeline.lanes[0].bars:
        assert 0 <= bar.x <= 100
        assert 0 <= bar.width <= 100.001 - bar.x
    assert len(timeline.ticks) <= 10
