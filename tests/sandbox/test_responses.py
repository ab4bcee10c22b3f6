"""Responses, through the real SDK."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from airflow_provider_openai_run.sandbox import Sandbox
from airflow_provider_openai_run.sandbox.builtin_scripts import BUILTIN_SCRIPTS

STATUSES = {"queued", "in_progress", "completed", "failed", "cancelled", "incomplete"}
FUNCTION: Any = {"type": "function", "name": "get_weather", "parameters": {"type": "object"}, "strict": False}


def retrieve(client: openai.OpenAI, response_id: str) -> Any:
    return client.responses.retrieve(response_id)


def create(client: openai.OpenAI, script: str | None = None, **params: Any) -> Any:
    defaults: dict[str, Any] = {"model": "gpt-4o-mini", "input": "What is the answer?", "background": True}
    metadata = {} if script is None else {"sandbox_script": script}
    return client.responses.create(**(defaults | params | {"metadata": metadata}))


def test_a_background_response_runs_from_queued_to_completed(client: openai.OpenAI, sandbox: Sandbox) -> None:
    response = create(client)
    assert (response.status, response.output, response.usage, response.background) == (
        "queued",
        [],
        None,
        True,
    )
    sandbox.clock.advance(1)
    response = retrieve(client, response.id)
    assert (response.status, response.output, response.usage) == ("in_progress", [], None)
    sandbox.clock.advance(2)
    response = retrieve(client, response.id)
    assert (response.status, response.output_text) == ("completed", "The answer is 42.")
    assert [item.type for item in response.output] == ["code_interpreter_call", "message"]
    assert response.usage.total_tokens == 300
    assert response.completed_at == response.created_at + 3


def test_a_response_without_background_is_complete_at_once(client: openai.OpenAI, sandbox: Sandbox) -> None:
    response = create(client, background=False)
    assert (response.status, response.background, response.output_text) == (
        "completed",
        False,
        "The answer is 42.",
    )


@pytest.mark.parametrize("name", sorted(set(BUILTIN_SCRIPTS) - {"unknown_status"}))
def test_every_script_ends_in_a_status_of_the_responses_api(
    client: openai.OpenAI, sandbox: Sandbox, name: str
) -> None:
    response = create(client, name)
    sandbox.clock.advance(BUILTIN_SCRIPTS[name].seconds)
    assert retrieve(client, response.id).status in STATUSES


def test_an_undocumented_status_is_returned_unchanged(client: openai.OpenAI, sandbox: Sandbox) -> None:
    response = create(client, "unknown_status")
    sandbox.clock.advance(1)
    assert retrieve(client, response.id).status == "paused_by_vendor"


def test_a_response_can_have_failed_when_it_is_created(client: openai.OpenAI, sandbox: Sandbox) -> None:
    response = create(client, "failed_at_once")
    assert (response.status, response.output) == ("failed", [])
    assert response.error.code == "rate_limit_exceeded"


def test_an_expired_script_makes_a_failed_response(client: openai.OpenAI, sandbox: Sandbox) -> None:
    response = create(client, "expired", background=False)
    assert (response.status, response.error.code) == ("failed", "server_error")


def test_an_incomplete_response_has_its_partial_output(client: openai.OpenAI, sandbox: Sandbox) -> None:
    response = create(client, "incomplete")
    sandbox.clock.advance(3)
    response = retrieve(client, response.id)
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"
    assert [item.status for item in response.output] == ["incomplete"]
    assert response.usage is not None


def test_a_response_is_cancelled_at_once_and_only_once(client: openai.OpenAI, sandbox: Sandbox) -> None:
    response = create(client)
    assert client.responses.cancel(response.id).status == "cancelled"
    assert client.responses.cancel(response.id).status == "cancelled"
    sandbox.clock.advance(60)
    assert retrieve(client, response.id).status == "cancelled"


def test_ended_and_synchronous_responses_cannot_be_cancelled(client: openai.OpenAI, sandbox: Sandbox) -> None:
    with pytest.raises(openai.BadRequestError, match="Cannot cancel a completed response"):
        client.responses.cancel(create(client, "instant").id)
    with pytest.raises(openai.BadRequestError, match="Cannot cancel a synchronous response"):
        client.responses.cancel(create(client, background=False).id)


def test_a_script_can_complete_a_cancelled_response(client: openai.OpenAI, sandbox: Sandbox) -> None:
    response = create(client, "resurrected")
    statuses_in_order = []
    for _ in range(3):
        sandbox.clock.advance(1)
        statuses_in_order.append(retrieve(client, response.id).status)
    assert statuses_in_order == ["cancelled", "in_progress", "completed"]


def test_the_next_response_takes_the_function_outputs(client: openai.OpenAI, sandbox: Sandbox) -> None:
    first = create(client, "requires_action", tools=[FUNCTION])
    sandbox.clock.advance(1)
    first = retrieve(client, first.id)
    assert first.status == "completed"
    calls = [item for item in first.output if item.type == "function_call"]
    assert [call.name for call in calls] == ["get_weather", "get_weather"]
    with pytest.raises(
        openai.BadRequestError, match=f"No tool output found for function call {calls[0].call_id}"
    ):
        create(client, previous_response_id=first.id)
    outputs = [{"type": "function_call_output", "call_id": call.call_id, "output": "sunny"} for call in calls]
    stranger = {"type": "function_call_output", "call_id": "call_x", "output": ""}
    with pytest.raises(
        openai.BadRequestError, match=r"No tool call found for function call output .* call_x"
    ):
        create(client, previous_response_id=first.id, input=[*outputs, stranger])
    second = create(client, previous_response_id=first.id, input=outputs)
    assert (second.status, second.previous_response_id) == ("queued", first.id)
    sandbox.clock.advance(2)
    assert retrieve(client, second.id).output_text == "The answer is 42."
    listed = [item.type for item in client.responses.input_items.list(second.id, order="asc")]
    assert listed == ["function_call_output", "function_call_output"]


def test_a_script_can_have_two_rounds_of_function_calls(client: openai.OpenAI, sandbox: Sandbox) -> None:
    response = create(client, "requires_action_twice", background=False)
    rounds = 0
    while calls := [item for item in response.output if item.type == "function_call"]:
        rounds += 1
        outputs = [{"type": "function_call_output", "call_id": call.call_id, "output": ""} for call in calls]
        response = create(client, previous_response_id=response.id, input=outputs, background=False)
    assert rounds == 2
    assert response.output_text


def test_an_mcp_call_runs_after_its_approval(client: openai.OpenAI, sandbox: Sandbox) -> None:
    first = create(client, "requires_approval", background=False)
    (request,) = first.output
    assert (request.type, request.name, request.server_label) == ("mcp_approval_request", "roll", "dice")
    response = {"type": "mcp_approval_response", "approval_request_id": request.id, "approve": True}
    second = create(client, previous_response_id=first.id, input=[response], background=False)
    assert (second.status, second.output_text) == ("completed", "The answer is 42.")


def test_undocumented_steps_become_output_items(client: openai.OpenAI, sandbox: Sandbox) -> None:
    response = create(client, "unknown_steps", background=False)
    assert [item.type for item in response.output] == ["bing_grounding_call", "activities", "message"]


def test_a_response_repeats_the_parameters_of_its_request(client: openai.OpenAI, sandbox: Sandbox) -> None:
    params: dict[str, Any] = {
        "instructions": "Be brief.",
        "temperature": 0.5,
        "top_p": 0.25,
        "max_output_tokens": 100,
        "max_tool_calls": 2,
        "parallel_tool_calls": False,
        "tools": [{**FUNCTION, "description": "Get the weather."}],
        "tool_choice": "required",
        "truncation": "auto",
        "user": "u1",
    }
    response = create(client, **params, reasoning={"effort": "low"}, conversation="conv_1")
    raw = client.responses.with_raw_response.retrieve(response.id).http_response.json()
    assert {name: raw[name] for name in params} == params
    assert raw["reasoning"] == {"effort": "low", "summary": None}
    assert raw["conversation"] == {"id": "conv_1"}


def test_input_items_are_listed_in_pages(client: openai.OpenAI, sandbox: Sandbox) -> None:
    messages = [{"role": "user", "content": f"Item {number}"} for number in range(5)]
    response = create(client, input=messages)
    page: Any = client.responses.input_items.list(response.id, limit=2)
    assert page.has_more
    texts = [item.content[0].text for item in page]
    assert texts == ["Item 4", "Item 3", "Item 2", "Item 1", "Item 0"]
    assert sandbox.count("GET", "/input_items") == 3


def test_a_deleted_response_returns_404(client: openai.OpenAI, sandbox: Sandbox) -> None:
    response = create(client)
    client.responses.delete(response.id)
    with pytest.raises(openai.NotFoundError, match=f"Response with id '{response.id}' not found"):
        retrieve(client, response.id)


def test_an_unstored_response_is_deleted_after_ten_minutes(client: openai.OpenAI, sandbox: Sandbox) -> None:
    response = create(client, store=False)
    sandbox.clock.advance(3 + 599)
    assert retrieve(client, response.id).status == "completed"
    sandbox.clock.advance(1)
    with pytest.raises(openai.NotFoundError):
        retrieve(client, response.id)
    with pytest.raises(openai.NotFoundError):
        retrieve(client, create(client, store=False, background=False).id)


def test_an_unknown_previous_response_returns_400(client: openai.OpenAI, sandbox: Sandbox) -> None:
    with pytest.raises(
        openai.BadRequestError, match="Previous response with id 'resp_x' not found"
    ) as caught:
        create(client, previous_response_id="resp_x")
    assert caught.value.code == "previous_response_not_found"


def test_a_missing_parameter_is_named_in_the_error(client: openai.OpenAI, sandbox: Sandbox) -> None:
    for lacking in ("model", "input"):
        with pytest.raises(openai.BadRequestError, match=f"Missing required parameter: '{lacking}'"):
            create(client, **{lacking: None})


def test_a_conversation_can_be_created_and_retrieved(client: openai.OpenAI, sandbox: Sandbox) -> None:
    conversation = client.conversations.create(metadata={"a": "b"})
    assert client.conversations.retrieve(conversation.id) == conversation
    with pytest.raises(openai.NotFoundError):
        client.conversations.retrieve("conv_x")


def test_a_seeded_response_is_returned_unchanged(client: openai.OpenAI, sandbox: Sandbox) -> None:
    body = {"id": "caresp_1", "object": "response", "status": "paused", "created_at": 1.5, "output": []}
    sandbox.seed_response(body)
    assert client.responses.with_raw_response.retrieve("caresp_1").http_response.json() == body
    cancelled: Any = client.responses.cancel("caresp_1")
    assert cancelled.status == "paused"
