from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given

from airflow_provider_openai_run.types.run import DOCUMENTED_ATTRIBUTES, Run, RunError, RunStep, Usage
from airflow_provider_openai_run.types.run_ref import RunRef
from airflow_provider_openai_run.types.status import STATUSES, RunState
from tests.json_strategies import quick
from tests.run_strategies import runs


@quick
@given(runs)
def test_a_run_survives_xcom_as_json(run: Run) -> None:
    assert Run.from_xcom(json.loads(json.dumps(run.to_xcom()))) == run


@quick
@given(runs)
def test_every_documented_attribute_is_always_there(run: Run) -> None:
    value = run.to_xcom()
    assert set(DOCUMENTED_ATTRIBUTES) <= set(value)
    assert ("raw" in value) is (run.raw is not None)


def test_the_documented_attributes_are_the_seventeen() -> None:
    assert len(DOCUMENTED_ATTRIBUTES) == 17
    assert " ".join(DOCUMENTED_ATTRIBUTES) == (
        "id thread_id assistant_id model instructions tools file_ids metadata status created_at started_at "
        "completed_at object usage steps last_error required_action"
    )


def test_a_run_with_only_an_id_has_none_everywhere_and_no_files() -> None:
    value = Run(id="r").to_xcom()
    assert {name: item for name, item in value.items() if item is not None} == {"id": "r", "file_ids": []}


def test_a_step_has_the_documented_names() -> None:
    value = RunStep(id="s", type="tool_calls", details="{}").to_xcom()
    assert {"id", "object", "created_at", "type", "status", "details"} <= set(value)


def test_usage_and_errors_are_pushed_flat() -> None:
    usage = Usage(
        prompt_tokens=1, completion_tokens=2, total_tokens=3, details={"prompt_tokens_details": {"a": 1}}
    )
    assert usage.to_xcom() == {
        "prompt_tokens": 1,
        "completion_tokens": 2,
        "total_tokens": 3,
        "prompt_tokens_details": {"a": 1},
    }
    error = RunError(code="c", message="m", details={"param": None})
    assert error.to_xcom() == {"code": "c", "message": "m", "param": None}


def test_a_detail_called_details_survives() -> None:
    usage = Usage(total_tokens=1, details={"details": {"deep": 1}})
    assert Usage.from_xcom(usage.to_xcom()) == usage


def test_an_xcom_of_another_version_can_be_read() -> None:
    run = Run.from_xcom(
        {"id": "r", "status": "completed", "from_the_future": 1, "steps": [{"from_the_future": 1}]}
    )
    assert run.status == "completed"
    assert run.usage is None
    assert run.steps == (RunStep(id=None),)
    assert Run.from_xcom({}).to_xcom()["id"] is None


@pytest.mark.parametrize(
    "value", [Run(id="r"), RunStep(id="s"), Usage(), RunError(), RunRef("responses", "r")]
)
def test_values_are_frozen(value: Any) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, dataclasses.fields(value)[0].name, "other")


@pytest.mark.parametrize(
    ("status", "state"), [*STATUSES.items(), (None, RunState.UNKNOWN), ("?", RunState.UNKNOWN)]
)
def test_the_state_of_a_run_is_that_of_its_status(status: str | None, state: RunState) -> None:
    run = Run(id="r", status=status, completed_at=1)
    assert run.state is state
    assert run.is_terminal is state.is_terminal
    assert run.is_successful is (status == "completed")


@pytest.mark.parametrize(
    ("run", "named"),
    [
        (
            Run(id="r", last_error=RunError(code="rate_limit", message="Slow down.")),
            ["rate_limit", "Slow down."],
        ),
        (Run(id="r", last_error=RunError(message="Slow down.")), ["Slow down."]),
        (Run(id="r", last_error=RunError(code="rate_limit")), ["rate_limit"]),
        (Run(id="r", incomplete_details={"reason": "max_output_tokens"}), ["max_output_tokens"]),
    ],
)
def test_the_reason_is_the_message_of_the_api(run: Run, named: list[str]) -> None:
    assert run.reason is not None
    assert all(word in run.reason for word in named)
    assert "None" not in run.reason


@pytest.mark.parametrize(
    "run",
    [
        Run(id="r"),
        Run(id="r", incomplete_details={}),
        Run(id="r", incomplete_details={"reason": None}),
        Run(id="r", last_error=RunError()),
    ],
)
def test_without_an_error_there_is_no_reason(run: Run) -> None:
    assert not run.reason


def test_an_empty_error_does_not_hide_why_a_run_is_incomplete() -> None:
    run = Run(id="r", last_error=RunError(), incomplete_details={"reason": "content_filter"})
    assert run.reason is not None
    assert "content_filter" in run.reason


def test_the_failing_step_is_the_last_unsuccessful_one() -> None:
    fine, failed = RunStep(id="1", status="completed"), RunStep(id="2", status="failed")
    erroneous = RunStep(id="3", status="in_progress", last_error=RunError(code="server_error"))
    assert Run(id="r", steps=(failed, erroneous, fine)).failing_step is erroneous
    assert Run(id="r", steps=(erroneous, failed, fine)).failing_step is failed


@pytest.mark.parametrize(
    "steps", [None, (), (RunStep(id="1", status="completed"), RunStep(id="2", status="odd"))]
)
def test_without_an_unsuccessful_step_none_is_failing(steps: tuple[RunStep, ...] | None) -> None:
    assert Run(id="r", steps=steps).failing_step is None
