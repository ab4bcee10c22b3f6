from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_openai_run.sandbox.builtin_scripts import BUILTIN_SCRIPTS
from airflow_provider_openai_run.sandbox.scripts import Script, Step, many_steps, read_script


def read(value: Any) -> Script:
    return read_script(value, BUILTIN_SCRIPTS)


def with_call(call: Any) -> dict[str, Any]:
    return {"type": "tool_calls", "details": {"tool_calls": [call]}}


def test_a_script_is_found_by_its_name() -> None:
    assert read("failed") is BUILTIN_SCRIPTS["failed"]


def test_an_unknown_name_raises_an_error_that_lists_the_names() -> None:
    with pytest.raises(ValueError, match="there is no script 'nope'; there are cancelled, "):
        read("nope")


def test_a_script_can_be_json() -> None:
    script = read(
        '{"phases": [[0, "queued"], [2, "failed"]], "steps": [{"at": 1, "text": "hm"}], '
        '"last_error": {"code": "invalid_prompt", "message": "no"}, "usage": null}'
    )
    assert list(script.phases) == [(0, "queued"), (2, "failed")]
    assert script.steps == (Step(at=1, text="hm"),)
    assert script.last_error == {"code": "invalid_prompt", "message": "no"}
    assert script.usage is None


def test_json_can_start_from_a_named_script_and_change_one_thing() -> None:
    script = read({"base": "failed", "usage": {"total_tokens": 7}})
    assert script.phases == BUILTIN_SCRIPTS["failed"].phases
    assert script.usage == {"total_tokens": 7}


def test_json_can_set_the_number_of_steps() -> None:
    script = read({"steps": 25})
    assert len(script.steps) == 25
    assert script.steps[-1].type == "message_creation"
    assert max(step.at + step.seconds for step in script.steps) == pytest.approx(script.seconds)


def test_json_can_set_the_duration() -> None:
    script = read({"base": "completed", "seconds": 30})
    assert list(script.phases) == [(0, "queued"), (5.0, "in_progress"), (30.0, "completed")]
    assert script.steps[-1].at == 20.0


def test_the_script_after_the_outputs_can_be_named() -> None:
    script = read({"base": "requires_action", "after_outputs": "failed"})
    assert script.after_outputs is BUILTIN_SCRIPTS["failed"]


def test_steps_of_the_base_after_the_last_phase_are_omitted() -> None:
    script = read({"phases": [[0, "in_progress"], [1, "completed"]]})
    assert script.steps == BUILTIN_SCRIPTS["completed"].steps[:1]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ('{"phases": ', "not JSON"),
        ({"phase": []}, "a script has no phase; it has after_outputs, "),
        ({"phases": []}, "begin at 0 seconds"),
        ({"phases": [[1, "queued"]]}, "begin at 0 seconds"),
        ({"phases": [[0, "queued"], [2, "failed"], [1, "queued"]]}, "in order"),
        ({"phases": [["soon", "queued"]]}, "could not convert"),
        ({"phases": 5}, "this is not a script"),
        ({"steps": [{"kind": "message"}]}, "this is not a script"),
        ({"seconds": [1]}, "this is not a script"),
        ({"base": "nope"}, "there is no script 'nope'"),
        ({"steps": None}, "this is not a script"),
        ({"steps": [{"at": "soon"}]}, "a step's times"),
        ({"steps": [{"at": -1}]}, "a step's times"),
        ({"steps": [with_call({"type": "function"})]}, "a tool call"),
        ({"steps": [with_call("function")]}, "a tool call"),
    ],
)
def test_an_invalid_script_raises_an_error_with_a_reason(value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(value)


@settings(max_examples=50)
@given(st.recursive(st.none() | st.booleans() | st.integers(-5, 500) | st.text(), st.lists, max_leaves=5))
def test_any_invalid_json_raises_only_value_error(value: Any) -> None:
    for name in ("phases", "steps", "seconds", "after_outputs"):
        with contextlib.suppress(ValueError):
            read({name: value})


@pytest.mark.parametrize("name", sorted(BUILTIN_SCRIPTS))
def test_a_script_by_name_fits_into_a_metadata_value(name: str) -> None:
    assert BUILTIN_SCRIPTS[name].description
    assert len(json.dumps({"base": name, "seconds": 12345.678, "steps": 1000})) < 512


@given(count=st.integers(0, 200), seconds=st.floats(0, 1e6))
def test_many_steps_returns_the_requested_number(count: int, seconds: float) -> None:
    steps = many_steps(count, seconds=seconds)
    assert len(steps) == count
    assert [step.at for step in steps] == sorted(step.at for step in steps)


def test_scaling_a_script_without_duration_changes_nothing() -> None:
    assert BUILTIN_SCRIPTS["instant"].scaled_to(60) is BUILTIN_SCRIPTS["instant"]
