from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_openai_run.run_page.timeline import Span, in_order, to_scale

BEGAN = 1_795_000_000.0


def span(start: float, end: float | None, lane: str = "Message", number: int | None = 1) -> Span:
    return Span(
        start=BEGAN + start,
        end=None if end is None else BEGAN + end,
        lane=lane,
        tone="good",
        label="step",
        number=number,
    )


def test_bars_stand_to_scale() -> None:
    drawn = to_scale([span(0, 10), span(10, 40, "Shell", 2)], BEGAN, BEGAN + 40, BEGAN + 99)
    assert drawn is not None
    assert [(lane.name, bar.x, bar.width) for lane in drawn.lanes for bar in lane.bars] == [
        ("Message", 0, 25),
        ("Shell", 25, 75),
    ]
    assert drawn.places[2].x == 25


def test_what_goes_on_reaches_until_now() -> None:
    drawn = to_scale([span(5, None)], BEGAN, None, BEGAN + 10)
    assert drawn is not None
    assert (drawn.lanes[0].bars[0].x, drawn.lanes[0].bars[0].width) == (50, 50)


def test_a_step_of_no_time_is_still_to_be_seen() -> None:
    drawn = to_scale([span(1000, 1000)], BEGAN, BEGAN + 1000, BEGAN)
    assert drawn is not None
    bar = drawn.lanes[0].bars[0]
    assert bar.width > 0
    assert bar.x + bar.width <= 100


@pytest.mark.parametrize(
    ("seconds", "marks"),
    [
        (3, ["0", "0.5 s", "1 s", "1.5 s", "2 s", "2.5 s", "3 s"]),
        (40, ["0", "5 s", "10 s", "15 s", "20 s", "25 s", "30 s", "35 s", "40 s"]),
        (300, ["0", "1 min", "2 min", "3 min", "4 min", "5 min"]),
        (7200, ["0", "15 min", "30 min", "45 min", "1 h", "1 h 15 min", "1 h 30 min", "1 h 45 min", "2 h"]),
    ],
)
def test_the_axis_has_round_marks(seconds: float, marks: list[str]) -> None:
    drawn = to_scale([span(0, seconds)], BEGAN, BEGAN + seconds, BEGAN)
    assert drawn is not None
    assert [mark.label for mark in drawn.marks] == marks


def test_without_times_steps_stand_in_their_order() -> None:
    drawn = in_order([span(0, None, "Reasoning", 1), span(0, None, "Message", 2)])
    assert drawn is not None
    assert [(lane.name, lane.bars[0].x) for lane in drawn.lanes] == [("Reasoning", 0), ("Message", 50)]
    assert (drawn.marks, drawn.seconds) == ((), None)


def test_nothing_is_drawn_of_nothing() -> None:
    assert to_scale([], None, None, BEGAN) is None
    assert in_order([]) is None


moments = st.floats(0, 4e9)


@given(st.lists(st.tuples(moments, st.none() | moments), min_size=1, max_size=20), moments)
def test_no_bar_ever_leaves_the_picture(times: list[tuple[float, float | None]], now: float) -> None:
    spans = [Span(start=start, end=end, lane="a", tone="good", label="", number=1) for start, end in times]
    drawn = to_scale(spans, None, None, now)
    assert drawn is not None
    for bar in drawn.lanes[0].bars:
        assert 0 <= bar.x <= 100
        assert 0 <= bar.width <= 100.001 - bar.x
    assert len(drawn.marks) <= 10
