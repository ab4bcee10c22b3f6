from __future__ import annotations

import time

import pytest

from airflow_provider_openai_run.sandbox import Clock


def test_a_manual_clock_stands_still() -> None:
    clock = Clock.manual(start=100.0)
    assert clock.now() == clock.now() == 100.0


def test_a_manual_clock_moves_when_advanced() -> None:
    clock = Clock.manual(start=100.0)
    assert clock.advance(2.5) == 102.5
    assert clock.now() == 102.5


def test_a_clock_starts_at_the_current_time_by_default() -> None:
    before = time.time()
    assert before <= Clock.manual().now() <= time.time()


@pytest.mark.parametrize(("speed", "passed"), [(1.0, 10.0), (60.0, 600.0), (0.5, 5.0), (0.0, 0.0)])
def test_a_clock_passes_time_at_its_speed(
    speed: float, passed: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monotonic = 50.0
    monkeypatch.setattr(time, "monotonic", lambda: monotonic)
    clock = Clock(speed=speed, start=1000.0)
    monotonic += 10.0
    assert clock.now() == 1000.0 + passed


def test_a_running_clock_can_be_advanced_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 50.0)
    clock = Clock(start=1000.0)
    clock.advance(60)
    assert clock.now() == 1060.0


def test_a_clock_never_runs_backwards() -> None:
    with pytest.raises(ValueError, match="seconds must be 0 or more"):
        Clock.manual().advance(-1)
    with pytest.raises(ValueError, match="speed must be 0 or more"):
        Clock(speed=-1)
