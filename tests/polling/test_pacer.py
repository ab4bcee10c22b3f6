from __future__ import annotations

import pytest

from airflow_provider_openai_run.polling.pacer import Pacer


def sent_times(pacer: Pacer, since: float, until: float, wake_up_every: float = 0.0) -> list[float]:
    """Return when polls are sent if there are always some that are due, by a timer that may be late."""
    times, now = [], since
    while now < until:
        if pacer.ready_at() <= now:
            pacer.on_sent(now)
            times.append(now)
        else:
            now = max(pacer.ready_at(), now + wake_up_every)
    return times


@pytest.mark.parametrize(("waits", "interval"), [(300, 5.0), (1000, 5.0), (1000, 120.0)])
def test_overdue_polls_are_sent_at_little_more_than_the_steady_rate(waits: int, interval: float) -> None:
    pacer = Pacer()
    for _ in range(waits):
        pacer.change_demand(1 / interval)
    times, steady = sent_times(pacer, 100.0, 110.0), waits / interval
    assert 1.2 * steady <= len(times) / 10 <= 1.35 * steady
    assert sum(at < 101 for at in times) <= 1.6 * steady + 1


def test_a_few_waits_are_polled_five_times_a_second_at_most() -> None:
    pacer = Pacer()
    for _ in range(3):
        pacer.change_demand(1 / 120)
    assert 50 <= len(sent_times(pacer, 100.0, 110.0)) <= 53


def test_a_late_timer_does_not_lower_the_rate() -> None:
    pacer = Pacer()
    pacer.change_demand(100.0)
    assert len(sent_times(pacer, 0.0, 10.0, wake_up_every=0.1)) >= 1240


def test_waits_that_have_ended_do_not_count() -> None:
    pacer = Pacer()
    for change in (1 / 5, 1 / 7, 1 / 120):
        for _ in range(1000):
            pacer.change_demand(change)
    for change in (1 / 7, 1 / 120, 1 / 5):
        for _ in range(1000):
            pacer.change_demand(-change)
    assert len(sent_times(pacer, 0.0, 10.0)) <= 53
