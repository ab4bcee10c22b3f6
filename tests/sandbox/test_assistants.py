"""Assistants runs, through the real SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import openai
import pytest

from airflow_provider_openai_run.sandbox import Sandbox
from airflow_provider_openai_run.sandbox.builtin_scripts import BUILTIN_SCRIPTS

if TYPE_CHECKING:
    from openai.types.beta.threads import Run

pytestmark = [
    pytest.mark.filterwarnings("ignore:The Assistants API is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning"),
]

FUNCTION = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}


def new_run(client: openai.OpenAI, script: str | None = None, **params: Any) -> Run:
    thread = client.beta.threads.create(messages=[{"role": "user", "content": "What is the answer?"}])
    metadata = {} if script is None else {"sandbox_script": script}
    run: Run = client.beta.threads.runs.create(
        thread.id, assistant_id="asst_1", metadata={**metadata, "kept": "yes"}, **params
    )
    return run


def retrieve(client: openai.OpenAI, run: Run) -> Run:
    return client.beta.threads.runs.retrieve(run.id, thread_id=run.thread_id)


def test_a_run_goes_from_queued_to_completed(client: openai.OpenAI, sandbox: Sandbox) -> None:
    run = new_run(client)
    assert (run.status, run.started_at, run.usage, run.completed_at) == ("queued", None, None, None)
    assert run.expires_at == run.created_at + 600
    sandbox.clock.advance(1)
    run = retrieve(client, run)
    assert (run.status, run.usage) == ("in_progress", None)
    assert run.started_at is not None
    sandbox.clock.advance(2)
    run = retrieve(client, run)
    assert (run.status, run.expires_at) == ("completed", None)
    assert run.completed_at is not None
    assert run.usage is not None
    assert run.usage.total_tokens == 300


@pytest.mark.parametrize("name", sorted(BUILTIN_SCRIPTS))
def test_metadata_select_the_script_and_are_kept(client: openai.OpenAI, sandbox: Sandbox, name: str) -> None:
    run = new_run(client, name)
    assert run.metadata == {"sandbox_script": name, "kept": "yes"}
    sandbox.clock.advance(BUILTIN_SCRIPTS[name].seconds)
    assert retrieve(client, run).status == BUILTIN_SCRIPTS[name].phases[-1][1]


def test_metadata_can_hold_a_script_as_json(client: openai.OpenAI, sandbox: Sandbox) -> None:
    run = new_run(client, '{"phases": [[0, "in_progress"], [7, "failed"]]}')
    assert run.status == "in_progress"
    sandbox.clock.advance(7)
    run = retrieve(client, run)
    assert run.status == "failed"
    assert run.failed_at == run.created_at + 7
    assert run.last_error is not None
    assert run.last_error.code == "server_error"


def test_an_unknown_script_is_named_in_the_error(client: openai.OpenAI, sandbox: Sandbox) -> None:
    with pytest.raises(openai.BadRequestError, match="there is no script 'nope'; there are cancelled"):
        new_run(client, "nope")


def test_the_default_script_can_be_set(client: openai.OpenAI, sandbox: Sandbox) -> None:
    sandbox.set_default_script("expired")
    run = new_run(client)
    sandbox.clock.advance(3)
    run = retrieve(client, run)
    assert (run.status, run.completed_at) == ("expired", run.created_at + 3)


def test_an_incomplete_run_has_a_reason(client: openai.OpenAI, sandbox: Sandbox) -> None:
    run = new_run(client, "incomplete")
    sandbox.clock.advance(3)
    run = retrieve(client, run)
    assert run.incomplete_details is not None
    assert run.incomplete_details.reason == "max_completion_tokens"


def test_a_run_repeats_the_parameters_of_its_request(client: openai.OpenAI, sandbox: Sandbox) -> None:
    params: dict[str, Any] = {
        "model": "gpt-4o-mini",
        "instructions": "Be brief.",
        "temperature": 0.5,
        "top_p": 0.25,
        "tools": [FUNCTION, {"type": "code_interpreter"}],
        "max_prompt_tokens": 1000,
        "max_completion_tokens": 500,
        "truncation_strategy": {"type": "last_messages", "last_messages": 3},
        "tool_choice": {"type": "function", "function": {"name": "get_weather"}},
        "response_format": {"type": "json_object"},
        "parallel_tool_calls": False,
    }
    run = new_run(client, **params)
    response = client.beta.threads.runs.with_raw_response.retrieve(run.id, thread_id=run.thread_id)
    raw = response.http_response.json()
    assert {name: raw[name] for name in params} == params


def test_a_run_inherits_the_settings_of_its_assistant(client: openai.OpenAI, sandbox: Sandbox) -> None:
    assistant = client.beta.assistants.create(
        model="gpt-4o-mini", instructions="Be kind.", tools=[{"type": "file_search"}], temperature=0.1
    )
    assert client.beta.assistants.retrieve(assistant.id).model == "gpt-4o-mini"
    thread = client.beta.threads.create()
    run = client.beta.threads.runs.create(
        thread.id, assistant_id=assistant.id, additional_instructions="Be brief."
    )
    assert (run.model, run.instructions, run.temperature) == ("gpt-4o-mini", "Be kind.\nBe brief.", 0.1)
    assert [tool.type for tool in run.tools] == ["file_search"]


def test_a_thread_and_its_run_are_created_in_one_request(client: openai.OpenAI, sandbox: Sandbox) -> None:
    thread: Any = {"messages": [{"role": "user", "content": [{"type": "text", "text": "Go."}]}]}
    run = client.beta.threads.create_and_run(assistant_id="asst_1", thread=thread)
    assert retrieve(client, run).id == run.id
    (message,) = client.beta.threads.messages.list(run.thread_id)
    assert message.content[0].text.value == "Go."  # type: ignore[union-attr]


def test_empty_instructions_and_null_are_kept_apart(client: openai.OpenAI, sandbox: Sandbox) -> None:
    assert new_run(client, instructions="").instructions == ""
    assert new_run(client).instructions is None


def test_a_thread_with_an_active_run_rejects_another_run(client: openai.OpenAI, sandbox: Sandbox) -> None:
    run = new_run(client)
    with pytest.raises(openai.BadRequestError, match=f"already has an active run {run.id}"):
        client.beta.threads.runs.create(run.thread_id, assistant_id="asst_1")
    with pytest.raises(openai.BadRequestError, match=f"while a run {run.id} is active"):
        client.beta.threads.messages.create(run.thread_id, role="user", content="Hurry.")
    sandbox.clock.advance(3)
    client.beta.threads.messages.create(run.thread_id, role="user", content="Thank you.")
    second = client.beta.threads.runs.create(run.thread_id, assistant_id="asst_1")
    assert [each.id for each in client.beta.threads.runs.list(run.thread_id, limit=1)] == [second.id, run.id]


def test_a_run_without_a_user_message_returns_400(client: openai.OpenAI, sandbox: Sandbox) -> None:
    assistant = client.beta.assistants.create(model="gpt-4o")
    thread = client.beta.threads.create()
    with pytest.raises(openai.BadRequestError, match="requires a Thread with a user message"):
        client.beta.threads.runs.create(thread.id, assistant_id=assistant.id)
    client.beta.threads.runs.create(
        thread.id, assistant_id=assistant.id, additional_messages=[{"role": "user", "content": "Go."}]
    )
    assert [message.role for message in client.beta.threads.messages.list(thread.id)] == ["user"]


def test_a_run_adds_its_message_to_the_thread(client: openai.OpenAI, sandbox: Sandbox) -> None:
    run = new_run(client)
    sandbox.clock.advance(3)
    prompt, response = client.beta.threads.messages.list(run.thread_id, order="asc")
    assert (prompt.role, prompt.run_id) == ("user", None)
    assert (response.role, response.run_id, response.assistant_id) == ("assistant", run.id, "asst_1")
    steps = client.beta.threads.runs.steps.list(run.id, thread_id=run.thread_id)
    details = steps.data[0].step_details
    assert details.type == "message_creation"
    assert details.message_creation.message_id == response.id
    block = response.content[0]
    assert block.type == "text"
    assert block.text.value == "The answer is 42."


@pytest.mark.parametrize("limit", [1, 7, 20, 45, 100])
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_the_sdk_pages_through_all_steps(
    client: openai.OpenAI, sandbox: Sandbox, limit: int, order: Any
) -> None:
    run = new_run(client, "many_steps")
    sandbox.clock.advance(3)
    paged = client.beta.threads.runs.steps.list(run.id, thread_id=run.thread_id, limit=limit, order=order)
    steps = list(paged)
    assert len({step.id for step in steps}) == 45
    kinds = [step.type for step in steps]
    assert kinds.index("message_creation") == (44 if order == "asc" else 0)
    assert sandbox.count("GET", "/steps") == -(-45 // limit)


def test_steps_appear_one_by_one(client: openai.OpenAI, sandbox: Sandbox) -> None:
    run = new_run(client)
    counts = []
    for seconds in (0, 0.5, 1.5, 1):
        sandbox.clock.advance(seconds)
        steps = client.beta.threads.runs.steps.list(run.id, thread_id=run.thread_id).data
        counts.append([step.status for step in steps])
    assert counts == [[], ["in_progress"], ["in_progress", "completed"], ["completed", "completed"]]


def test_one_step_can_be_retrieved(client: openai.OpenAI, sandbox: Sandbox) -> None:
    run = new_run(client, "failed")
    sandbox.clock.advance(3)
    failing = client.beta.threads.runs.steps.list(run.id, thread_id=run.thread_id).data[0]
    step = client.beta.threads.runs.steps.retrieve(failing.id, thread_id=run.thread_id, run_id=run.id)
    assert step == failing
    assert step.status == "failed"
    assert step.last_error is not None
    with pytest.raises(openai.NotFoundError, match="No run step found with id 'step_x'"):
        client.beta.threads.runs.steps.retrieve("step_x", thread_id=run.thread_id, run_id=run.id)


def test_a_run_is_cancelling_before_it_is_cancelled(client: openai.OpenAI, sandbox: Sandbox) -> None:
    run = new_run(client)
    run = client.beta.threads.runs.cancel(run.id, thread_id=run.thread_id)
    assert run.status == "cancelling"
    sandbox.clock.advance(1)
    run = retrieve(client, run)
    assert (run.status, run.cancelled_at) == ("cancelled", run.created_at + 1)
    with pytest.raises(openai.BadRequestError, match="Cannot cancel run with status 'cancelled'"):
        client.beta.threads.runs.cancel(run.id, thread_id=run.thread_id)


def test_a_run_continues_after_its_tool_outputs_are_submitted(
    client: openai.OpenAI, sandbox: Sandbox
) -> None:
    run = new_run(client, "requires_action", tools=[FUNCTION])
    sandbox.clock.advance(1)
    run = retrieve(client, run)
    assert run.required_action is not None
    calls = run.required_action.submit_tool_outputs.tool_calls
    assert [call.function.arguments for call in calls] == ['{"city": "Oslo"}', '{"city": "Lima"}']
    with pytest.raises(openai.BadRequestError, match="Expected tool outputs for call_ids"):
        client.beta.threads.runs.submit_tool_outputs(run.id, thread_id=run.thread_id, tool_outputs=[])
    outputs: Any = [{"tool_call_id": call.id, "output": "sunny"} for call in calls]
    run = client.beta.threads.runs.submit_tool_outputs(run.id, thread_id=run.thread_id, tool_outputs=outputs)
    assert (run.status, run.required_action) == ("queued", None)
    first_start = run.started_at
    sandbox.clock.advance(2)
    run = retrieve(client, run)
    assert run.status == "completed"
    assert run.started_at != first_start
    with pytest.raises(openai.BadRequestError, match='Runs in status "completed" do not accept tool outputs'):
        client.beta.threads.runs.submit_tool_outputs(run.id, thread_id=run.thread_id, tool_outputs=outputs)


def test_required_action_can_be_null(client: openai.OpenAI, sandbox: Sandbox) -> None:
    run = new_run(client, "requires_action_without_details")
    sandbox.clock.advance(1)
    run = retrieve(client, run)
    assert (run.status, run.required_action) == ("requires_action", None)


def test_metadata_of_a_run_change_only_after_its_end(client: openai.OpenAI, sandbox: Sandbox) -> None:
    run = new_run(client)
    with pytest.raises(openai.BadRequestError, match="Cannot update run with status 'queued'"):
        client.beta.threads.runs.update(run.id, thread_id=run.thread_id, metadata={"a": "b"})
    sandbox.clock.advance(3)
    run = client.beta.threads.runs.update(run.id, thread_id=run.thread_id, metadata={"a": "b"})
    assert run.metadata == {"kept": "yes", "a": "b"}


def test_unknown_objects_return_404(client: openai.OpenAI, sandbox: Sandbox) -> None:
    run, other = new_run(client), new_run(client)
    with pytest.raises(openai.NotFoundError, match="No run found with id 'run_x'"):
        client.beta.threads.runs.retrieve("run_x", thread_id=run.thread_id)
    with pytest.raises(openai.NotFoundError, match=f"No run found with id '{run.id}'"):
        client.beta.threads.runs.retrieve(run.id, thread_id=other.thread_id)
    with pytest.raises(openai.NotFoundError, match="No thread found with id 'thread_x'"):
        client.beta.threads.runs.retrieve(run.id, thread_id="thread_x")
    with pytest.raises(openai.NotFoundError, match="No assistant found with id 'asst_x'"):
        client.beta.assistants.retrieve("asst_x")


def test_deleting_a_thread_deletes_its_runs(client: openai.OpenAI, sandbox: Sandbox) -> None:
    run = new_run(client)
    assert client.beta.threads.retrieve(run.thread_id).id == run.thread_id
    assert client.beta.threads.delete(run.thread_id).deleted
    with pytest.raises(openai.NotFoundError):
        retrieve(client, run)
    assert sandbox.state()["runs"] == {}


def test_a_seeded_run_is_returned_unchanged(client: openai.OpenAI, sandbox: Sandbox) -> None:
    body = {"id": "9d1c", "thread_id": "t-7", "status": "paused", "created_at": "2026-11-22T10:00:00Z"}
    steps = [{"id": "s1", "type": "brooding"}, {"id": "s2", "type": "tool_calls"}]
    sandbox.seed_run(body, steps)
    raw = client.beta.threads.runs.with_raw_response
    assert raw.retrieve("9d1c", thread_id="t-7").http_response.json() == body
    listed = client.beta.threads.runs.steps.with_raw_response
    assert listed.list("9d1c", thread_id="t-7").http_response.json()["data"] == steps[::-1]
    with pytest.raises(openai.BadRequestError, match="Cannot cancel run with status 'paused'"):
        client.beta.threads.runs.cancel("9d1c", thread_id="t-7")
