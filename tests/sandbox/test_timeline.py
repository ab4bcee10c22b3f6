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


def timeline_of(name: str, *, expires: bool = True) -> RunTimeline:
    return RunTimeline("run_1", created_at=1000.0, script=BUILTIN_SCRIPTS[name], expires=expires)


def statuses(timeline: RunTimeline, until: float = 10.0) -> list[str]:
    return [change.status for change in timeline.at(timeline.created_at + until).changes]


def test_a_run_goes_through_its_phases() -> None:
    timeline = timeline_of("completed")
    statuses_in_order = [timeline.at(1000.0 + seconds).status for seconds in (0, 0.49, 0.5, 2.99, 3, 1e6)]
    assert statuses_in_order == ["queued", "queued", "in_progress", "in_progress", "completed", "completed"]


@pytest.mark.parametrize("name", sorted(NEVER_TERMINAL))
def test_an_unfinished_run_expires_ten_minutes_after_its_creation(name: str) -> None:
    timeline = timeline_of(name)
    assert not timeline.at(1599.99).has_ended
    assert timeline.at(1600.0).status == "expired"


def test_a_response_never_expires() -> None:
    assert timeline_of("in_progress", expires=False).at(1e9).status == "in_progress"


@given(name=names, times=st.lists(st.floats(0, 700), min_size=2, max_size=6))
def test_past_status_changes_never_change(name: str, times: list[float]) -> None:
    timeline = timeline_of(name)
    before: list[str] = []
    for seconds in sorted(times):
        now = [change.status for change in timeline.at(1000.0 + seconds).changes]
        assert now[: len(before)] == before
        before = now


@given(name=names, seconds=st.floats(0, 700))
def test_a_step_is_in_progress_only_while_its_run_is_active(name: str, seconds: float) -> None:
    state = timeline_of(name).at(1000.0 + seconds)
    for step in state.steps:
        assert step.began_at <= 1000.0 + seconds
        assert (step.status == "in_progress") == (step.ended_at is None) == (step.usage is None)
        assert not (state.has_ended and step.ended_at is None)


@given(name=names, cancelled_after=st.floats(0, 2.9))
def test_a_cancelled_run_is_cancelling_first_and_stays_cancelled(name: str, cancelled_after: float) -> None:
    timeline = timeline_of(name)
    if timeline.at(1000.0 + cancelled_after).has_ended:
        return
    timeline.cancel(1000.0 + cancelled_after, seconds=1.0)
    assert timeline.at(1000.0 + cancelled_after).status == "cancelling"
    assert timeline.at(1001.0 + cancelled_after).status == "cancelled"
    assert timeline.at(1e9).status == "cancelled"


def test_an_unfinished_step_ends_with_the_status_of_its_run() -> None:
    for name, fate in (("failed", "failed"), ("expired", "expired"), ("cancelled", "cancelled")):
        done, open_ = timeline_of(name).at(1010.0).steps
        assert (done.status, open_.status) == ("completed", fate)
        assert open_.ended_at == 1003.0


def test_a_function_call_waits_for_its_output() -> None:
    timeline = timeline_of("requires_action")
    state = timeline.at(1100.0)
    assert (state.status, state.steps[0].status) == ("requires_action", "in_progress")
    calls = [call["id"] for call in state.pending_calls()]
    assert len(calls) == 2
    timeline.resume(1100.0, dict.fromkeys(calls, "sunny"))
    state = timeline.at(1100.0)
    assert (state.status, state.steps[0].status) == ("queued", "completed")
    assert [call["function"]["output"] for call in state.steps[0].calls] == ["sunny", "sunny"]
    assert state.pending_calls() == []
    assert timeline.at(1102.0).status == "completed"


def test_a_run_can_require_outputs_more_than_once() -> None:
    timeline = timeline_of("requires_action_twice")
    for start in (1000.0, 1010.0):
        state = timeline.at(start + 5)
        assert state.status == "requires_action"
        timeline.resume(start + 10, {call["id"]: "" for call in state.pending_calls()})
    assert statuses(timeline, until=100.0) == [
        *("queued", "in_progress", "requires_action"),
        *("queued", "in_progress", "requires_action"),
        *("queued", "in_progress", "completed"),
    ]


def test_a_script_can_continue_after_a_terminal_status() -> None:
    assert statuses(timeline_of("resurrected")) == ["queued", "cancelled", "in_progress", "completed"]


def test_usage_at_the_end_is_the_sum_over_the_steps() -> None:
    timeline = timeline_of("completed")
    assert timeline.at(1002.0).usage() is None
    usage = timeline.at(1003.0).usage()
    assert usage is not None
    assert usage["total_tokens"] == 2 * 150


def test_usage_can_stay_null() -> None:
    assert timeline_of("no_usage").at(1100.0).usage() is None


def test_step_ids_depend_only_on_the_run() -> None:
    first, second = (timeline_of("many_steps").at(1100.0) for _ in range(2))
    assert [step.id for step in first.steps] == [step.id for step in second.steps]
    assert len({step.id for step in first.steps}) == 45


def test_every_terminal_status_ends_some_script() -> None:
    ends = {script.phases[-1][1] for script in BUILTIN_SCRIPTS.values()}
    assert ends >= TERMINAL | {"queued", "in_progress", "cancelling", "requires_action"}
