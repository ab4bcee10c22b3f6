from __future__ import annotations

import json
import posixpath
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_openai_run.api.assistants import AssistantsApi
from airflow_provider_openai_run.api.registry import get_api
from airflow_provider_openai_run.exceptions import InvalidRunReferenceError
from airflow_provider_openai_run.types.run import Run
from airflow_provider_openai_run.types.run_ref import RunRef
from airflow_provider_openai_run.types.storable import storable
from tests.json_strategies import exactly, json_objects, json_values, objects_with, quick
from tests.run_strategies import good_ids

API = AssistantsApi()
REF = RunRef("assistants", "run_1", "thread_1")
TEXTS = ("thread_id", "assistant_id", "model", "status", "object")
TIMES = ("created_at", "started_at", "completed_at", "failed_at", "cancelled_at", "expires_at")
OBJECTS = ("metadata", "required_action", "incomplete_details")
any_runs = objects_with(
    *TEXTS, *TIMES, *OBJECTS, "instructions", "tools", "tool_resources", "file_ids", "usage", "last_error"
).map(lambda body: {"id": "run_1", **body})
any_steps = objects_with("id", "object", "type", "status", "step_details", "usage", "last_error", *TIMES)


def read(**fields: Any) -> Run:
    return API.read_run({"id": "run_1", **fields})


def test_a_thread_means_this_api() -> None:
    assert isinstance(get_api("assistants"), AssistantsApi)
    assert isinstance(get_api("assistants"), AssistantsApi)


@quick
@given(good_ids, good_ids)
def test_a_path_has_exactly_the_expected_segments(run_id: str, thread_id: str) -> None:
    ref = RunRef("assistants", run_id, thread_id)
    steps = API.list_steps(ref, None)
    for request, rest in (
        (API.retrieve(ref), []),
        (API.cancel(ref), ["cancel"]),
        (API.submit_tool_outputs(ref, [], {}), ["submit_tool_outputs"]),
        (steps, ["steps"]),
    ):
        assert request.path.split("/") == ["", "threads", thread_id, "runs", run_id, *rest]
        assert urlsplit(f"https://host/v1{request.path}").path == f"/v1{request.path}"
        assert posixpath.normpath(request.path) == request.path


def test_each_request_has_its_method_and_the_beta_header() -> None:
    requests = [
        (API.retrieve(REF), "GET"),
        (API.list_steps(REF, None), "GET"),
        (API.create("thread_1", {}), "POST"),
        (API.create(None, {}), "POST"),
        (API.submit_tool_outputs(REF, [], {}), "POST"),
        (API.cancel(REF), "POST"),
    ]
    for request, method in requests:
        assert request.method == method
        assert request.headers["OpenAI-Beta"] == "assistants=v2"


def test_steps_are_requested_in_pages_of_100_oldest_first() -> None:
    assert API.list_steps(REF, None).query == {"limit": "100", "order": "asc"}
    assert API.list_steps(REF, "step_1").query == {"limit": "100", "order": "asc", "after": "step_1"}
    assert API.list_steps(REF, None).required_key == "data"
    assert API.retrieve(REF).required_key == "id"


def test_a_run_is_created_on_a_thread_or_with_a_new_one() -> None:
    params: dict[str, Any] = {"assistant_id": "asst_1", "metadata": {"a": "b"}}
    assert (API.create("thread_1", params).path, API.create("thread_1", params).body) == (
        "/threads/thread_1/runs",
        params,
    )
    assert API.create(None, params).path == "/threads/runs"


@pytest.mark.parametrize("bad", ["", "a/b", ".."])
def test_a_run_is_not_created_on_an_invalid_thread_id(bad: str) -> None:
    with pytest.raises(InvalidRunReferenceError, match=r"^thread_id "):
        API.create(bad, {})


def test_tool_outputs_are_sent_unchanged() -> None:
    outputs: list[Any] = [{"tool_call_id": "call_1", "output": "42"}]
    assert API.submit_tool_outputs(REF, outputs, {"stream": False}).body == {
        "tool_outputs": outputs,
        "stream": False,
    }
    assert API.cancel(REF).body is None


@quick
@given(any_runs)
def test_a_run_of_any_shape_survives_xcom(body: dict[str, Any]) -> None:
    run = API.read_run(json.loads(json.dumps(body)))
    assert Run.from_xcom(json.loads(json.dumps(run.to_xcom()))) == run


@quick
@given(any_runs)
def test_values_of_the_documented_type_are_unchanged(body: dict[str, Any]) -> None:
    run = API.read_run(body)
    for name in TEXTS:
        if isinstance(body.get(name), str | None):
            assert getattr(run, name) == storable(body.get(name))
    for name in OBJECTS:
        if isinstance(body.get(name), dict | None):
            assert exactly(getattr(run, name)) == exactly(storable(body.get(name)))
    for name in TIMES:
        assert isinstance(getattr(run, name), int | None)
    assert exactly(run.instructions) == exactly(storable(body.get("instructions")))


@quick
@given(st.lists(json_values), json_objects)
def test_nested_tools_and_metadata_are_kept_whole(tools: list[Any], metadata: dict[str, Any]) -> None:
    run = read(tools=tools, metadata=metadata)
    assert exactly([run.tools, run.metadata]) == exactly(storable([tools, metadata]))


@pytest.mark.parametrize("name", [*TEXTS, "instructions"])
def test_null_and_the_empty_string_stay_distinct(name: str) -> None:
    assert getattr(read(**{name: ""}), name) == ""
    assert getattr(read(**{name: None}), name) is None
    assert getattr(read(), name) is None


@pytest.mark.parametrize("empty", [[], None])
def test_no_tools_and_null_stay_distinct(empty: Any) -> None:
    assert read(tools=empty).tools == empty


@pytest.mark.parametrize("bad", [5, ["run_1"], {"id": "run_1"}, True])
def test_an_id_is_always_text(bad: Any) -> None:
    assert isinstance(API.read_run({"id": bad}).id, str)


@pytest.mark.parametrize(
    ("fields", "files"),
    [
        ({}, []),
        ({"file_ids": ["a", "b"]}, ["a", "b"]),
        ({"file_ids": ["a"], "tool_resources": {"code_interpreter": {"file_ids": ["b"]}}}, ["a"]),
        ({"file_ids": [], "tool_resources": {"code_interpreter": {"file_ids": ["b"]}}}, []),
        ({"file_ids": None, "tool_resources": {"code_interpreter": {"file_ids": ["b"]}}}, ["b"]),
        ({"tool_resources": {"code_interpreter": {"file_ids": ["b", "a", "b"]}}}, ["b", "a"]),
        ({"tool_resources": {"a": {"file_ids": ["1", "2"]}, "b": {"file_ids": ["2", "3"]}}}, ["1", "2", "3"]),
        ({"tool_resources": {"file_search": {"vector_store_ids": ["vs_1"]}}}, []),
        ({"tool_resources": {"a": None, "b": [], "c": {"file_ids": None}}}, []),
        ({"tool_resources": None}, []),
        ({"tool_resources": []}, []),
    ],
)
def test_file_ids_come_from_the_run_or_its_tool_resources(fields: dict[str, Any], files: list[str]) -> None:
    assert read(**fields).file_ids == files


@quick
@given(json_values)
def test_file_ids_of_any_shape_can_be_read(value: Any) -> None:
    for fields in (
        {"file_ids": value},
        {"tool_resources": value},
        {"tool_resources": {"a": {"file_ids": [value]}}},
    ):
        assert isinstance(read(**fields).file_ids, list)


@quick
@given(any_steps)
def test_a_step_of_any_shape_keeps_its_exact_details(body: dict[str, Any]) -> None:
    step = API.read_step(json.loads(json.dumps(body)))
    if "step_details" in body:
        assert exactly(json.loads(str(step.details))) == exactly(body["step_details"])
    else:
        assert step.details is None
    assert all(isinstance(getattr(step, name), int | None) for name in TIMES if hasattr(step, name))


def test_unknown_kinds_of_steps_and_tools_are_kept_whole() -> None:
    details: dict[str, Any] = {
        "type": "bing_grounding",
        "tool_calls": [{"id": "c", "type": "connected_agent", "deep": [{"a": None}]}],
    }
    step = API.read_step({"id": "s", "type": "activities", "status": "odd", "step_details": details})
    assert (step.type, step.status) == ("activities", "odd")
    assert json.loads(str(step.details)) == details


def a_step(status: Any, *calls: Any) -> dict[str, Any]:
    return {"id": "s", "status": status, "step_details": {"type": "tool_calls", "tool_calls": list(calls)}}


def a_call(call_id: str, **function: Any) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": "f", "arguments": "{}", **function}}


def test_the_required_action_is_found_in_the_steps() -> None:
    steps = [
        a_step("completed", a_call("old", output=None)),
        a_step("in_progress", a_call("done", output="42"), a_call("open", output=None), a_call("new")),
        a_step("in_progress", {"id": "x", "type": "code_interpreter", "code_interpreter": {}}),
    ]
    assert API.required_action_of(steps) == {
        "type": "submit_tool_outputs",
        "submit_tool_outputs": {"tool_calls": [a_call("open"), a_call("new")]},
    }


@pytest.mark.parametrize(
    "steps", [[], [a_step("in_progress")], [a_step("in_progress", a_call("c", output=""))]]
)
def test_without_an_open_call_there_is_no_required_action(steps: list[dict[str, Any]]) -> None:
    assert API.required_action_of(steps) is None


@quick
@given(st.lists(objects_with("status", "step_details"), max_size=3), json_values)
def test_steps_of_any_shape_can_be_searched_for_a_required_action(
    steps: list[dict[str, Any]], value: Any
) -> None:
    action: dict[str, Any] | None = API.required_action_of(
        [*steps, a_step(value, value), a_step("in_progress", value, {"function": value})]
    )
    assert action is None or action["submit_tool_outputs"]["tool_calls"]


def test_searching_for_a_required_action_does_not_change_the_steps() -> None:
    steps = [a_step("in_progress", a_call("open", output=None))]
    before = exactly(steps)
    API.required_action_of(steps)
    assert exactly(steps) == before
