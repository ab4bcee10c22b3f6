"""The schedule of a soak: the same for the same seed, and with everything in it that can go wrong."""

from __future__ import annotations

import itertools

import pytest

from tests.cluster.faults import KINDS, schedule

HOUR = 3600.0


@pytest.mark.parametrize("seed", range(5))
def test_a_schedule_depends_on_its_seed_only(seed: int) -> None:
    described = [(fault.at, str(fault)) for fault in schedule(seed, HOUR)]

    assert described == [(fault.at, str(fault)) for fault in schedule(seed, HOUR)]
    assert described != [(fault.at, str(fault)) for fault in schedule(seed + 1, HOUR)]


@pytest.mark.parametrize("seed", range(5))
def test_an_hour_has_every_kind_of_fault_and_ends_healed(seed: int) -> None:
    faults = schedule(seed, HOUR)

    assert {fault.kind for fault in faults} == set(KINDS)
    assert {fault.target for fault in faults if fault.kind == "kill"} == set(KINDS["kill"].targets)
    assert any(fault.seconds >= 60 for fault in faults if fault.subject == "database")
    assert max(fault.ends_at for fault in faults) <= HOUR


@pytest.mark.parametrize("seed", range(5))
def test_no_part_has_two_faults_at_once(seed: int) -> None:
    for first, second in itertools.combinations(schedule(seed, HOUR), 2):
        assert first.subject != second.subject or first.ends_at < second.at
