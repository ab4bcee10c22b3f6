from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_openai_run.sandbox.builtin_scripts import BUILTIN_SCRIPTS
from airflow_provider_openai_run.sandbox.scripts import TERMINAL
from airflow_provider_openai_run.sandbox.timeline import RunTimeline

names = st.sampled_from(sorted(BUILTIN_SCRIPTS))
NEVER_TERMINAL = {
    "queued",
    "in_progress",
    "cancelling",
    "unknown_status",
    "requires_action",
    "requires_approval",
}


def life_of(name: str, *, expires: bool = True) -> RunTimeline:
    return RunTimeline("run_1", created_at=1000.0, script=BUILTIN_SCRIPTS[name], expires=expires)


def statuses(life: RunTimeline, until: float = 10.0) -> list[str]:
    return [entry.status for entry in life.at(life.created_at + until).entered]


def test_a_run_goes_through_its_phases() -> None:
    life = life_of("completed")
    seen = [life.at(1000.0 + seconds).status for seconds in (0, 0.49, 0.5, 2.99, 3, 1e6)]
    assert seen == ["queued", "queued", "in_progress", "in_progress", "completed", "completed"]


@pytest.mark.parametrize("name", sorted(NEVER_TERMINAL))
def test_a_run_that_does_not_end_expires_ten_minutes_after_its_creation(name: str) -> None:
    life = life_of(name)
    assert not life.at(1599.99).has_ended
    assert life.at(1600.0).status == "expired"


def test_a_response_never_expires() -> None:
    assert life_of("in_progress", expires=False).at(1e9).status == "in_progress"


@given(name=names, moments=st.lists(st.floats(0, 700), min_size=2, max_size=6))
def test_what_has_happened_stays_so(name: str, moments: list[float]) -> None:
    life = life_of(name)
    before: list[str] = []
    for moment in sorted(moments):
        now = [entry.status for entry in life.at(1000.0 + moment).entered]
        assert now[: len(before)] == before
        before = now


@given(name=names, moment=st.floats(0, 700))
def test_a_step_is_open_only_as_long_as_its_run_is(name: str, moment: float) -> None:
    state = life_of(name).at(1000.0 + moment)
    for played in state.steps:
        assert played.began_at <= 1000.0 + moment
        assert (played.status == "in_progress") == (played.ended_at is None) == (played.usage is None)
        assert not (state.has_ended and played.ended_at is None)


@given(name=names, cancelled_after=st.floats(0, 2.9))
def test_a_cancelled_run_is_cancelling_and_then_cancelled_for_good(name: str, cancelled_after: float) -> None:
    life = life_of(name)
    if life.at(1000.0 + cancelled_after).has_ended:
        return
    life.cancel(1000.0 + cancelled_after, seconds=1.0)
    assert life.at(1000.0 + cancelled_after).status == "cancelling"
    assert life.at(1001.0 + cancelled_after).status == "cancelled"
    assert life.at(1e9).status == "cancelled"


def test_a_step_that_was_under_way_shares_the_fate_of_its_run() -> None:
    for name, fate in (("failed", "failed"), ("expired", "expired"), ("cancelled", "cancelled")):
        done, open_ = life_of(name).at(1010.0).steps
        assert (done.status, open_.status) == ("completed", fate)
        assert open_.ended_at == 1003.0


def test_a_function_call_stays_open_until_its_outputs_come() -> None:
    life = life_of("requires_action")
    state = life.at(1100.0)
    assert (state.status, state.steps[0].status) == ("requires_action", "in_progress")
    calls = [call["id"] for call in state.pending_calls()]
    assert len(calls) == 2
    life.resume(1100.0, dict.fromkeys(calls, "sunny"))
    state = life.at(1100.0)
    assert (state.status, state.steps[0].status) == ("queued", "completed")
    assert [call["function"]["output"] for call in state.steps[0].calls] == ["sunny", "sunny"]
    assert state.pending_calls() == []
    assert life.at(1102.0).status == "completed"


def test_a_run_may_ask_for_outputs_more_than_once() -> None:
    life = life_of("requires_action_twice")
    for start in (1000.0, 1010.0):
        state = life.at(start + 5)
        assert state.status == "requires_action"
        life.resume(start + 10, {call["id"]: "" for call in state.pending_calls()})
    assert statuses(life, until=100.0) == [
        *("queued", "in_progress", "requires_action"),
        *("queued", "in_progress", "requires_action"),
        *("queued", "in_progress", "completed"),
    ]


def test_a_script_may_go_on_after_a_terminal_status() -> None:
    assert statuses(life_of("resurrected")) == ["queued", "cancelled", "in_progress", "completed"]


def test_usage_is_known_at_the_end_and_is_the_sum_of_the_steps() -> None:
    life = life_of("completed")
    assert life.at(1002.0).usage() is None
    usage = life.at(1003.0).usage()
    assert usage is not None
    assert usage["total_tokens"] == 2 * 150


def test_usage_may_stay_unknown() -> None:
    assert life_of("no_usage").at(1100.0).usage() is None


def test_ids_of_steps_follow_from_the_run() -> None:
    first, second = (life_of("many_steps").at(1100.0) for _ in range(2))
    assert [step.id for step in first.steps] == [step.id for step in second.steps]
    assert len({step.id for step in first.steps}) == 45


def test_every_terminal_status_is_the_end_of_some_script() -> None:
    ends = {script.phases[-1][1] for script in BUILTIN_SCRIPTS.values()}
    assert ends >= TERMINAL | {"queued", "in_progress", "cancelling", "requires_action"}
