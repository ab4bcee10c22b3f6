from __future__ import annotations

import json
import posixpath
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_openai_run.api.registry import get_api
from airflow_provider_openai_run.api.responses import ResponsesApi
from airflow_provider_openai_run.types.run import Run, Usage
from airflow_provider_openai_run.types.run_ref import RunRef
from airflow_provider_openai_run.types.storable import storable
from tests.json_strategies import exactly, json_objects, json_values, objects_with, quick
from tests.run_strategies import good_ids

API = ResponsesApi()
REF = RunRef("responses", "resp_1")
ITEM_KINDS = st.sampled_from(
    [
        "message",
        "function_call",
        "function_call_output",
        "mcp_approval_request",
        "mcp_approval_response",
        "odd_call",
    ]
)
any_items = objects_with(
    "id", "call_id", "approval_request_id", "status", "name", "arguments", "created_at", "error", "output"
).flatmap(lambda item: ITEM_KINDS.map(lambda kind: {"type": kind, **item}) | st.just(item))
any_responses = st.builds(
    lambda body, output: {"id": "resp_1", "output": output, **body},
    objects_with(
        "model",
        "instructions",
        "tools",
        "metadata",
        "created_at",
        "completed_at",
        "object",
        "usage",
        "error",
        "incomplete_details",
        "conversation",
        "previous_response_id",
    ).flatmap(
        lambda body: st.sampled_from(["completed", "queued", "odd", None, []]).map(
            lambda s: {"status": s, **body}
        )
    ),
    st.lists(any_items | json_values, max_size=4) | json_values,
)


def read(*output: Any, **fields: Any) -> Run:
    return API.read_run({"id": "resp_1", "status": "completed", "output": list(output), **fields})


def test_a_run_id_alone_means_this_api() -> None:
    assert isinstance(get_api("responses"), ResponsesApi)


@quick
@given(good_ids)
def test_a_path_has_exactly_the_expected_segments(run_id: str) -> None:
    ref = RunRef("responses", run_id)
    for request, rest in ((API.retrieve(ref), []), (API.cancel(ref), ["cancel"])):
        assert request.path.split("/") == ["", "responses", run_id, *rest]
        assert urlsplit(f"https://host/v1{request.path}").path == f"/v1{request.path}"
        assert posixpath.normpath(request.path) == request.path


def test_each_request_has_its_method_and_steps_have_no_list() -> None:
    assert (API.retrieve(REF).method, API.cancel(REF).method, API.create(None, {}).method) == (
        "GET",
        "POST",
        "POST",
    )
    assert (API.retrieve(REF).body, API.cancel(REF).body) == (None, None)
    with pytest.raises(NotImplementedError, match="no list of steps"):
        API.list_steps(REF, None)


def test_a_response_is_created_in_the_background_and_stored() -> None:
    request = API.create(None, {"model": "m", "input": "hi"})
    assert request.path == "/responses"
    assert request.body == {"model": "m", "input": "hi", "background": True, "store": True}
    other = API.create(None, {"background": False, "store": False}).body
    assert other == {"background": False, "store": False}


def test_tool_outputs_become_the_input_of_the_successor() -> None:
    approval = {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": True}
    outputs: list[Any] = [{"tool_call_id": "call_1", "output": "42"}, approval]
    request = API.submit_tool_outputs(REF, outputs, {"model": "m"})
    assert request.path == "/responses"
    assert request.body is not None
    assert request.body["previous_response_id"] == "resp_1"
    assert request.body["model"] == "m"
    assert request.body["input"] == [
        {"type": "function_call_output", "call_id": "call_1", "output": "42"},
        approval,
    ]


@quick
@given(any_responses)
def test_a_response_of_any_shape_survives_xcom(body: dict[str, Any]) -> None:
    run = API.read_run(json.loads(json.dumps(body)))
    assert Run.from_xcom(json.loads(json.dumps(run.to_xcom()))) == run
    assert run.steps is not None
    items = (
        [item for item in body["output"] if isinstance(item, dict)]
        if isinstance(body["output"], list)
        else []
    )
    assert [exactly(json.loads(str(step.details))) for step in run.steps] == [exactly(item) for item in items]
    assert exactly(run.instructions) == exactly(storable(body.get("instructions")))


@quick
@given(st.lists(json_values), json_objects)
def test_nested_tools_and_metadata_are_kept_whole(tools: list[Any], metadata: dict[str, Any]) -> None:
    run = read(tools=tools, metadata=metadata)
    assert exactly([run.tools, run.metadata]) == exactly(storable([tools, metadata]))


@pytest.mark.parametrize("bad", [5, ["resp_1"], {"id": "resp_1"}, True])
def test_an_id_is_always_text(bad: Any) -> None:
    assert isinstance(API.read_run({"id": bad}).id, str)


def test_a_queued_response_has_no_steps_and_unknown_attributes() -> None:
    run = API.read_run({"id": "resp_1", "status": "queued", "output": [], "usage": None, "created_at": 1.9})
    assert run.steps == ()
    assert (run.created_at, run.usage, run.model, run.tools, run.started_at, run.thread_id) == (
        1,
        *[None] * 5,
    )


@pytest.mark.parametrize(
    "instructions", [None, "", "Be brief.", [{"type": "message", "content": "Be brief."}]]
)
def test_instructions_are_text_items_or_null(instructions: Any) -> None:
    assert read(instructions=instructions).instructions == instructions


def test_usage_has_the_documented_names_and_its_details() -> None:
    usage = {
        "input_tokens": 3,
        "input_tokens_details": {"cached_tokens": 1},
        "output_tokens": 4,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 7,
        "cost": 0.5,
    }
    assert read(usage=usage).usage == Usage(
        prompt_tokens=3,
        completion_tokens=4,
        total_tokens=7,
        details={
            "prompt_tokens_details": {"cached_tokens": 1},
            "completion_tokens_details": {"reasoning_tokens": 2},
            "cost": 0.5,
        },
    )


@pytest.mark.parametrize(
    ("sent", "read_as"), [(None, None), ("conv_1", "conv_1"), ({"id": "conv_1"}, "conv_1"), ({}, None)]
)
def test_the_conversation_is_known_by_its_id(sent: Any, read_as: str | None) -> None:
    assert read(conversation=sent).conversation_id == read_as


@pytest.mark.parametrize(
    ("tools", "files"),
    [
        ([], []),
        (None, []),
        (
            [{"type": "code_interpreter", "container": {"type": "auto", "file_ids": ["a", "b", "a"]}}],
            ["a", "b"],
        ),
        ([{"type": "code_interpreter", "container": "cntr_1"}, {"type": "function"}, None, "odd"], []),
    ],
)
def test_files_are_those_of_the_containers(tools: Any, files: list[str]) -> None:
    assert read(tools=tools).file_ids == files


@quick
@given(json_values)
def test_file_ids_of_any_shape_can_be_read(value: Any) -> None:
    for tools in (value, [value], [{"container": value}], [{"container": {"file_ids": value}}]):
        assert isinstance(read(tools=tools).file_ids, list)
    assert isinstance(read(tools=[{"container": {"file_ids": [value]}}]).file_ids, list)


CALL = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": '{"a": 1}'}
APPROVAL = {
    "type": "mcp_approval_request",
    "id": "mcpr_1",
    "server_label": "dice",
    "name": "roll",
    "arguments": "{}",
}


def test_a_function_call_without_an_output_is_a_required_action() -> None:
    assert read(CALL).required_action == {
        "type": "submit_tool_outputs",
        "submit_tool_outputs": {
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
            ]
        },
    }


@pytest.mark.parametrize("kind", ["computer_call", "local_shell_call", "custom_tool_call", "brand_new_call"])
def test_a_call_of_another_kind_is_kept_whole(kind: str) -> None:
    item = {"type": kind, "call_id": "call_1", "deep": [{"a": None}]}
    action: dict[str, Any] = read(item).required_action or {}
    assert action["submit_tool_outputs"]["tool_calls"] == [{"id": "call_1", "type": kind, kind: item}]


def test_an_approval_request_is_a_required_action() -> None:
    action: dict[str, Any] = read(APPROVAL).required_action or {}
    assert action["type"] == "submit_tool_approval"
    (call,) = action["submit_tool_approval"]["tool_calls"]
    assert call == {"id": "mcpr_1", "type": "mcp", "server_label": "dice", "name": "roll", "arguments": "{}"}


def test_calls_and_approvals_can_be_required_together() -> None:
    action = read(CALL, APPROVAL).required_action
    assert action is not None
    assert {"submit_tool_outputs", "submit_tool_approval"} < set(action)


@pytest.mark.parametrize(
    "output",
    [
        [],
        [{"type": "message"}],
        [CALL, {"type": "function_call_output", "call_id": "call_1", "output": "1"}],
        [{"type": "web_search_call", "id": "ws_1"}, {"type": "code_interpreter_call", "id": "ci_1"}],
        [APPROVAL, {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": False}],
        [APPROVAL, {"type": "mcp_call", "id": "mcp_1", "approval_request_id": "mcpr_1"}],
        [{"type": "tool_search_call", "call_id": None, "execution": "server"}],
    ],
)
def test_calls_that_are_answered_or_run_by_the_api_require_nothing(output: list[Any]) -> None:
    assert read(*output).required_action is None


def test_only_unanswered_calls_are_required() -> None:
    answered = {"type": "function_call_output", "call_id": "call_1", "output": "1"}
    action: dict[str, Any] = read(CALL, answered, {**CALL, "call_id": "call_2"}).required_action or {}
    assert [call["id"] for call in action["submit_tool_outputs"]["tool_calls"]] == ["call_2"]


@pytest.mark.parametrize(
    "status", ["queued", "in_progress", "failed", "cancelled", "incomplete", "odd", None]
)
def test_a_failed_response_requires_no_action(status: str | None) -> None:
    assert read(CALL, status=status).required_action is None


@quick
@given(json_values)
def test_calls_of_any_shape_can_be_read(value: Any) -> None:
    read(
        {"type": "function_call", "call_id": value, "name": value, "arguments": value},
        {"type": "function_call_output", "call_id": value},
        {"type": "mcp_approval_request", "id": value},
        {"type": "mcp_call", "approval_request_id": value},
        {"type": value, "call_id": value},
    )
