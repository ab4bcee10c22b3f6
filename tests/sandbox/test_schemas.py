"""Each kind of object matches OpenAI's description, except where the recorded payloads deviate too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_openai_run.sandbox import Sandbox
from airflow_provider_openai_run.sandbox.builtin_scripts import BUILTIN_SCRIPTS
from tests.sandbox.conftest import Http
from tests.sandbox.published_schemas import DESCRIPTION, RECORDED, deviations

pytestmark = pytest.mark.skipif(not DESCRIPTION.exists(), reason="needs ../shared/openapi/openai-2.3.0.yaml")

STEP = ("lacks expired_at", "lacks metadata")
MESSAGE = ("lacks completed_at", "lacks incomplete_at", "lacks incomplete_details", "lacks status")
#: Deviations of the real API from its description.
TOLERATED = {
    "RunObject instructions: is not type (null)",
    "ListRunsResponse data.*.instructions: is not type (null)",
    "ListRunStepsResponse first_id: is not type (null)",
    "ListRunStepsResponse last_id: is not type (null)",
    "ListRunsResponse first_id: is not type (null)",
    "ListRunsResponse last_id: is not type (null)",
    "Response usage: is not type (null)",
    "Response user: is not type (null)",
    "Response usage.input_tokens_details: lacks cache_write_tokens",
    *(f"RunStepObject : {lacking}" for lacking in STEP),
    *(f"ListRunStepsResponse data.*: {lacking}" for lacking in STEP),
    *(f"MessageObject : {lacking}" for lacking in MESSAGE),
    *(f"ListMessagesResponse data.*: {lacking}" for lacking in MESSAGE),
}
#: Scripts deviating the description: undocumented statuses and steps, and Azure's approvals.
UNDOCUMENTED = {"unknown_status", "unknown_status_then_completed", "unknown_steps", "requires_approval"}
DOCUMENTED = sorted(set(BUILTIN_SCRIPTS) - UNDOCUMENTED)
#: Steps that only a response can have.
RESPONSE_ONLY = {"image_generation", "mcp", "reasoning", "web_search"}


def matches_description(schema: str, body: Any) -> bool:
    deviating = deviations(schema, body) - TOLERATED
    assert not deviating, json.dumps(body, indent=1)
    return True


@pytest.mark.parametrize("name", sorted(set(DOCUMENTED) - RESPONSE_ONLY))
def test_a_run_and_its_steps_match_the_description_in_each_phase(
    sandbox: Sandbox, http: Http, name: str
) -> None:
    run = sandbox.create_run(script=name)
    path = f"/v1/threads/{run['thread_id']}/runs"
    assert matches_description("RunObject", run)
    before = 0.0
    for at, status in BUILTIN_SCRIPTS[name].phases:
        sandbox.clock.advance(at - before)
        before = at
        body = http("GET", f"{path}/{run['id']}").json()
        assert body["status"] == status
        assert matches_description("RunObject", body)
        assert matches_description("ListRunsResponse", http("GET", path).json())
        steps = http("GET", f"{path}/{run['id']}/steps").json()
        assert matches_description("ListRunStepsResponse", steps)
        for step in steps["data"][:2]:
            assert matches_description(
                "RunStepObject", http("GET", f"{path}/{run['id']}/steps/{step['id']}").json()
            )


@pytest.mark.parametrize("name", [*DOCUMENTED, "requires_approval"])
def test_a_response_matches_the_description_in_each_phase(sandbox: Sandbox, http: Http, name: str) -> None:
    response = sandbox.create_response(script=name)
    assert matches_description("Response", response)
    before = 0.0
    for at, _ in BUILTIN_SCRIPTS[name].phases:
        sandbox.clock.advance(at - before)
        before = at
        assert matches_description("Response", http("GET", f"/v1/responses/{response['id']}").json())


def test_objects_with_all_parameters_match_the_description(sandbox: Sandbox, http: Http) -> None:
    function = {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": False}
    tools = [
        {"type": "code_interpreter"},
        {"type": "file_search"},
        {"type": "function", "function": function},
    ]
    run = sandbox.create_run(
        tools=tools,
        instructions="Be brief.",
        temperature=0.5,
        max_prompt_tokens=1000,
        truncation_strategy={"type": "last_messages", "last_messages": 2},
        tool_choice={"type": "function", "function": {"name": "f"}},
        response_format={"type": "json_object"},
    )
    assert deviations("RunObject", run) == set()
    response = sandbox.create_response(
        tools=[{"type": "function", "name": "f"}],
        instructions="Be brief.",
        reasoning={"effort": "low"},
        conversation="conv_1",
        user="u",
        background=False,
    )
    assert matches_description("Response", response)


def test_the_other_objects_match_the_description(sandbox: Sandbox, http: Http) -> None:
    assistant = http("POST", "/v1/assistants", json={"model": "gpt-4o", "tools": [{"type": "file_search"}]})
    assert matches_description("AssistantObject", assistant.json())
    thread = http("POST", "/v1/threads", json={"messages": [{"role": "user", "content": "Hi."}]}).json()
    assert matches_description("ThreadObject", thread)
    path = f"/v1/threads/{thread['id']}"
    message = http("POST", f"{path}/messages", json={"role": "user", "content": "Well?"}).json()
    assert matches_description("MessageObject", message)
    sandbox.create_run(thread["id"], script="instant")
    messages = http("GET", f"{path}/messages").json()
    assert len(messages["data"]) == 3
    assert matches_description("ListMessagesResponse", messages)
    assert matches_description("DeleteThreadResponse", http("DELETE", path).json())
    response = sandbox.create_response(script="requires_action", background=False)
    outputs = [
        {"type": "function_call_output", "call_id": item["call_id"], "output": "sunny"}
        for item in response["output"]
    ]
    message = {"role": "user", "content": "Well?"}
    second = sandbox.create_response(previous_response_id=response["id"], input=[*outputs, message])
    assert matches_description(
        "ResponseItemList", http("GET", f"/v1/responses/{second['id']}/input_items").json()
    )
    assert matches_description("ConversationResource", http("POST", "/v1/conversations", json={}).json())
    assert matches_description("ListModelsResponse", http("GET", "/v1/models").json())
    assert matches_description("Model", http("GET", "/v1/models/gpt-4o").json())


@pytest.mark.parametrize("kind", ["rate_limited", "server_error", "unavailable", "wrong_key", "forbidden"])
def test_errors_match_the_description(sandbox: Sandbox, http: Http, kind: str) -> None:
    assert matches_description("ErrorResponse", http("GET", "/v1/nowhere").json())
    sandbox.faults.add(kind)
    assert matches_description("ErrorResponse", http("GET", "/v1/models").json())


def recorded() -> Iterator[tuple[str, Any]]:
    for file in sorted(RECORDED.glob("run/*v2*.json")):
        yield "RunObject", json.loads(file.read_text())
    for file in sorted(RECORDED.glob("steps/*.json")):
        body = json.loads(file.read_text())
        yield ("ListRunStepsResponse" if body["object"] == "list" else "RunStepObject"), body
    for file in sorted(RECORDED.glob("response/*.json")):
        yield "Response", json.loads(file.read_text())
    for file in sorted(RECORDED.glob("sequence/*-assistants-*.json")):
        for exchange in json.loads(file.read_text()):
            yield from listed(exchange)


def listed(exchange: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    kind = exchange["url"].partition("?")[0].rpartition("/")[2]
    schemas = {
        ("GET", "runs"): "ListRunsResponse",
        ("GET", "messages"): "ListMessagesResponse",
        ("POST", "messages"): "MessageObject",
    }
    if (exchange["method"], kind) in schemas:
        yield schemas[exchange["method"], kind], exchange["body"]


@pytest.mark.recorded
@pytest.mark.skipif(not RECORDED.exists(), reason="needs ../shared/recorded")
def test_each_tolerated_deviation_was_recorded_from_the_real_api() -> None:
    shown: set[str] = set()
    for schema, body in recorded():
        shown |= deviations(schema, body)
    assert shown >= TOLERATED


@pytest.mark.recorded
@pytest.mark.skipif(not RECORDED.exists(), reason="needs ../shared/recorded")
def test_a_run_has_the_fields_of_a_recorded_one_in_their_order(sandbox: Sandbox, http: Http) -> None:
    real = json.loads((RECORDED / "run/openai-dotnet-v2-run-completed-code_interpreter.json").read_text())
    run = sandbox.create_run()
    assert list(run) == list(real)
    sandbox.clock.advance(3)
    path = f"/v1/threads/{run['thread_id']}/runs/{run['id']}"
    run = http("GET", path).json()
    assert {name for name in run if run[name] is None} - {"instructions"} == {
        name for name in real if real[name] is None
    }
    assert list(run["usage"]) == list(real["usage"])
    steps = json.loads(
        (RECORDED / "steps/openai-dotnet-steps-code_interpreter+message-completed-n2.json").read_text()
    )
    page = http("GET", f"{path}/steps").json()
    assert list(page) == list(steps)
    assert list(page["data"][0]) == list(steps["data"][0])


@pytest.mark.recorded
@pytest.mark.skipif(not RECORDED.exists(), reason="needs ../shared/recorded")
def test_a_response_has_the_fields_of_a_recorded_one(sandbox: Sandbox) -> None:
    real = json.loads((RECORDED / "response/openai-dotnet-response-completed-bg-message.json").read_text())
    response = sandbox.create_response(script="instant")
    assert set(response) == set(real)
    assert set(response["output"][0]) == set(real["output"][0])
    assert set(response["usage"]) == set(real["usage"])
