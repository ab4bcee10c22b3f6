"""The hook over HTTP, with the real SDK: every method, and its async version."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs

import pytest

from airflow_provider_openai_run.exceptions import (
    AssistantsApiEndedError,
    InvalidConnectionError,
    InvalidRunReferenceError,
    RunAuthenticationError,
    RunEndedError,
    RunFailedError,
    RunNotFoundError,
    RunRequestError,
    RunRequiresActionError,
    RunWaitTimeoutError,
)
from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook
from airflow_provider_openai_run.sandbox import Sandbox
from airflow_provider_openai_run.types.run import DOCUMENTED_ATTRIBUTES, Run
from tests.fake_clock import FakeClock
from tests.hooks.conftest import Call
from tests.sandbox_fixtures import Connect

BAD_IDS = [
    "",
    " ",
    "run 1",
    "a/b",
    "..",
    "a..b",
    "run?x=1",
    "run#1",
    "run\n",
    "run\x00",
    "run\x85",
    "run%2F1",
    7,
    None,
]


def ended(sandbox: Sandbox, script: Any = "completed", **params: Any) -> tuple[str, str]:
    """The thread's id and the run's own, of a run whose script is over."""
    run = sandbox.create_run(script=script, **params)
    sandbox.clock.advance(sandbox.scripts[script].seconds if isinstance(script, str) else script.seconds)
    return run["thread_id"], run["id"]


def ended_response(sandbox: Sandbox, script: str = "completed") -> str:
    response = sandbox.create_response(script=script)
    sandbox.clock.advance(sandbox.scripts[script].seconds)
    response_id: str = response["id"]
    return response_id


def test_a_run_is_retrieved_with_every_attribute(sandbox: Sandbox, call: Call) -> None:
    thread_id, run_id = ended(sandbox, instructions="", metadata={"team": "reports"})
    run = call("get_run", run_id, thread_id=thread_id)
    attributes = run.to_xcom()
    assert set(DOCUMENTED_ATTRIBUTES) <= set(attributes)
    assert (run.id, run.thread_id, run.assistant_id) == (run_id, thread_id, "asst_sandbox")
    assert (run.status, run.object, run.instructions) == ("completed", "thread.run", "")
    assert run.metadata == {"team": "reports"}
    assert (run.completed_at or 0) - (run.created_at or 0) == 3
    assert run.usage is not None
    assert run.usage.total_tokens == 300
    assert [step.type for step in run.steps or ()] == ["tool_calls", "message_creation"]
    assert "raw" not in attributes


def test_a_response_has_the_attributes_of_a_run(sandbox: Sandbox, call: Call) -> None:
    response_id = ended_response(sandbox)
    run = call("get_run", run_id=response_id)
    assert (run.id, run.thread_id, run.object, run.status) == (response_id, None, "response", "completed")
    assert run.usage is not None
    assert run.usage.prompt_tokens == 240
    assert [step.type for step in run.steps or ()] == ["code_interpreter_call", "message"]
    assert sandbox.count() == 1


@pytest.mark.parametrize("script", ["failed", "expired", "incomplete", "cancelled"])
def test_steps_of_an_unsuccessful_run_are_read(sandbox: Sandbox, call: Call, script: str) -> None:
    thread_id, run_id = ended(sandbox, script)
    run = call("get_run", run_id, thread_id=thread_id)
    assert run.status == script
    assert run.steps
    assert run.steps == call("list_steps", run_id, thread_id=thread_id)


def test_all_pages_of_steps_are_read_oldest_first(sandbox: Sandbox, call: Call) -> None:
    thread_id, run_id = ended(sandbox, sandbox.add_script("long", {"base": "completed", "steps": 257}))
    steps = call("get_run", run_id, thread_id=thread_id).steps
    assert len(steps) == len({step.id for step in steps}) == 257
    codes = [json.loads(step.details)["tool_calls"][0]["code_interpreter"]["input"] for step in steps[:-1]]
    assert codes == [f"print({number})" for number in range(256)]
    queries = [parse_qs(request.query) for request in sandbox.requests if "/steps" in request.path]
    assert [query["limit"] for query in queries] == [["100"]] * 3
    assert [query["order"] for query in queries] == [["asc"]] * 3
    assert [query.get("after") for query in queries] == [None, [steps[99].id], [steps[199].id]]


def test_steps_can_be_left_out(sandbox: Sandbox, call: Call) -> None:
    thread_id, run_id = ended(sandbox)
    assert call("get_run", run_id, thread_id=thread_id, include_steps=False).steps is None
    assert sandbox.count(path="/steps") == 0
    assert call("get_run", run_id=ended_response(sandbox), include_steps=False).steps is None


def test_raw_json_is_returned_on_request(sandbox: Sandbox, call: Call) -> None:
    seeded = {
        "id": "run_1",
        "thread_id": "thread_1",
        "object": "thread.run",
        "status": "completed",
        "new": {"key": [1, None]},
    }
    sandbox.seed_run(seeded)
    assert call("get_run", "run_1", thread_id="thread_1", include_raw=True).raw == seeded


def test_unknown_step_types_are_returned_whole(sandbox: Sandbox, call: Call) -> None:
    thread_id, run_id = ended(sandbox, "unknown_steps")
    steps = call("list_steps", run_id, thread_id=thread_id)
    assert [step.type for step in steps] == ["tool_calls", "activities", "message_creation"]
    grounding = json.loads(steps[0].details)["tool_calls"][0]
    assert grounding["type"] == "bing_grounding"
    assert grounding["bing_grounding"] == {"requesturl": "https://example.com/?q=42"}
    assert json.loads(steps[1].details)["activities"][0]["tools"] == {"roll": {"parameters": {}}}


def test_an_unknown_status_is_returned(sandbox: Sandbox, call: Call) -> None:
    thread_id, run_id = ended(sandbox, "unknown_status")
    assert call("get_run", run_id, thread_id=thread_id).status == "paused_by_vendor"


def test_ids_of_other_vendors_are_accepted(sandbox: Sandbox, call: Call) -> None:
    run_id, thread_id = "3f2504e0-4f89-11d3-9a0c-0305e82c3301", "t:1+é"
    sandbox.seed_run({"id": run_id, "thread_id": thread_id, "status": "completed"})
    assert call("get_run", run_id, thread_id=thread_id).id == run_id
    sandbox.seed_response({"id": "caresp_1~x", "status": "completed", "output": []})
    assert call("get_run", run_id="caresp_1~x").id == "caresp_1~x"


METHODS: dict[str, dict[str, Any]] = {
    "get_run": {},
    "list_steps": {},
    "wait_for_run": {},
    "cancel_run": {},
    "submit_tool_outputs": {"tool_outputs": []},
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("bad", BAD_IDS)
def test_an_invalid_id_raises_before_anything_is_sent(sandbox: Sandbox, method: str, bad: Any) -> None:
    hook = OpenAIRunHook()
    with pytest.raises(InvalidRunReferenceError, match=r"^run_id "):
        getattr(hook, method)(run_id=bad, **METHODS[method])
    if bad is not None:
        with pytest.raises(InvalidRunReferenceError, match=r"^thread_id "):
            getattr(hook, method)(run_id="run_1", thread_id=bad, **METHODS[method])
    assert sandbox.requests == []


@pytest.mark.parametrize("method", METHODS)
def test_async_methods_refuse_invalid_ids_too(sandbox: Sandbox, call: Call, method: str) -> None:
    with pytest.raises(InvalidRunReferenceError, match=r"^run_id "):
        call(method, run_id="a/b", **METHODS[method])
    assert sandbox.requests == []


def test_a_run_is_created_on_a_thread(sandbox: Sandbox, call: Call) -> None:
    thread_id = sandbox.create_thread()["id"]
    run = call(
        "create_run",
        thread_id=thread_id,
        assistant_id="asst_1",
        instructions="Be brief.",
        metadata={"k": "v"},
    )
    assert isinstance(run, Run)
    assert (run.thread_id, run.assistant_id, run.instructions) == (thread_id, "asst_1", "Be brief.")
    assert (run.status, run.steps) == ("queued", None)
    (request,) = sandbox.requests
    assert (request.method, request.path) == ("POST", f"/v1/threads/{thread_id}/runs")
    assert request.body == {"assistant_id": "asst_1", "instructions": "Be brief.", "metadata": {"k": "v"}}
    assert request.headers["openai-beta"] == "assistants=v2"


def test_a_thread_and_a_run_are_created_at_once(sandbox: Sandbox, call: Call) -> None:
    run = call(
        "create_run", assistant_id="asst_1", thread={"messages": [{"role": "user", "content": "Hello"}]}
    )
    assert run.thread_id in sandbox.state()["threads"]


def test_a_response_is_created_in_the_background(sandbox: Sandbox, call: Call) -> None:
    run = call("create_response", model="gpt-4o-mini", input="Hello")
    assert (run.thread_id, run.status) == (None, "queued")
    assert sandbox.requests[0].body == {
        "background": True, "store": True, "model": "gpt-4o-mini", "input": "Hello",
    }  # fmt: skip


def test_a_response_may_be_created_in_the_foreground(sandbox: Sandbox, call: Call) -> None:
    run = call("create_response", model="gpt-4o-mini", input="Hello", background=False)
    assert run.status == "completed"


def test_a_response_that_fails_at_once_is_returned(sandbox: Sandbox, call: Call) -> None:
    sandbox.set_default_script("failed_at_once")
    try:
        run = call("create_response", model="gpt-4o-mini", input="Hello")
    finally:
        sandbox.set_default_script("completed")
    assert run.status == "failed"
    assert run.last_error is not None
    assert run.last_error.code == "rate_limit_exceeded"


def test_tool_outputs_are_submitted_to_a_run(sandbox: Sandbox, call: Call) -> None:
    thread_id, run_id = ended(sandbox, "requires_action")
    calls = call("get_run", run_id, thread_id=thread_id).required_action["submit_tool_outputs"]["tool_calls"]
    outputs = [{"tool_call_id": item["id"], "output": "rain"} for item in calls]
    run = call("submit_tool_outputs", run_id, thread_id=thread_id, tool_outputs=outputs)
    assert (run.id, run.status) == (run_id, "queued")
    sandbox.clock.advance(2)
    assert call("get_run", run_id, thread_id=thread_id).status == "completed"


def test_tool_outputs_go_into_a_new_response(sandbox: Sandbox, call: Call) -> None:
    response_id = ended_response(sandbox, "requires_action")
    calls = call("get_run", run_id=response_id).required_action["submit_tool_outputs"]["tool_calls"]
    outputs = [{"tool_call_id": item["id"], "output": "rain"} for item in calls]
    run = call("submit_tool_outputs", run_id=response_id, tool_outputs=outputs, model="gpt-4o-mini")
    assert run.id != response_id
    assert run.previous_response_id == response_id
    assert [item["type"] for item in sandbox.requests[-1].body["input"]] == ["function_call_output"] * 2


def test_the_required_action_is_read_from_the_steps(sandbox: Sandbox, call: Call) -> None:
    thread_id, run_id = ended(sandbox, "requires_action_without_details")
    action = call("get_run", run_id, thread_id=thread_id).required_action
    names = [item["function"]["name"] for item in action["submit_tool_outputs"]["tool_calls"]]
    assert names == ["get_weather", "get_weather"]


def test_a_run_and_a_response_are_cancelled(sandbox: Sandbox, call: Call) -> None:
    run = sandbox.create_run(script="in_progress")
    assert call("cancel_run", run["id"], thread_id=run["thread_id"]).status == "cancelling"
    response = sandbox.create_response(script="in_progress")
    assert call("cancel_run", run_id=response["id"]).status == "cancelled"


def test_cancelling_an_ended_run_raises_the_servers_error(sandbox: Sandbox, call: Call) -> None:
    thread_id, run_id = ended(sandbox)
    with pytest.raises(RunRequestError) as caught:
        call("cancel_run", run_id, thread_id=thread_id)
    assert caught.value.http_status == 400
    assert not caught.value.is_retryable


WAITS: list[tuple[str, dict[str, Any], type[Exception] | None]] = [
    ("completed", {}, None),
    ("failed", {}, RunFailedError),
    ("cancelled", {}, RunEndedError),
    ("expired", {}, RunEndedError),
    ("incomplete", {}, RunEndedError),
    ("failed", {"accepted_statuses": ["failed"]}, None),
    ("in_progress", {"timeout": 60}, RunWaitTimeoutError),
    ("requires_action", {"timeout": 60}, RunWaitTimeoutError),
    ("requires_action", {"on_requires_action": "fail"}, RunRequiresActionError),
    ("requires_action", {"on_requires_action": "return"}, None),
    ("unknown_status", {"timeout": 60}, RunWaitTimeoutError),
]


@pytest.mark.parametrize(("script", "options", "error"), WAITS)
def test_a_wait_returns_the_run_or_raises(
    sandbox: Sandbox,
    fake_clock: FakeClock,
    call: Call,
    script: str,
    options: dict[str, Any],
    error: type[Exception] | None,
) -> None:
    created = sandbox.create_run(script=script)
    thread_id, run_id = created["thread_id"], created["id"]
    if error is None:
        run = call("wait_for_run", run_id, thread_id=thread_id, **options)
        assert run.status == script
        assert run.steps
    else:
        with pytest.raises(error, match=run_id):
            call("wait_for_run", run_id, thread_id=thread_id, **options)
    assert fake_clock.slept
    assert {request.method for request in sandbox.requests} == {"GET"}


def test_a_wait_checks_its_options_before_polling(sandbox: Sandbox, call: Call) -> None:
    for options in (
        {"poll_interval": 0},
        {"accepted_statuses": ["queued"]},
        {"on_requires_action": "panic"},
        {"on_requires_action": "answer"},
    ):
        with pytest.raises(ValueError, match=next(iter(options))):
            call("wait_for_run", run_id="resp_1", **options)
    assert sandbox.requests == []


def test_a_missing_key_raises_and_names_the_connection(
    sandbox: Sandbox, connect: Connect, call: Call
) -> None:
    connect(password=None)
    with pytest.raises(RunAuthenticationError, match="openai_default"):
        call("get_run", run_id="resp_1")
    with pytest.raises(RunAuthenticationError, match="openai_default"):
        call("wait_for_run", run_id="resp_1", timeout=1)
    assert sandbox.requests == []


def test_the_query_and_headers_of_the_connection_are_sent(
    sandbox: Sandbox, connect: Connect, call: Call
) -> None:
    thread_id, run_id = ended(sandbox)
    client = {
        "default_query": {"api-version": "2025-05-01"},
        "default_headers": {"x-ms-enable-preview": "true"},
    }
    connect(extra={"openai_client_kwargs": client})
    call("get_run", run_id, thread_id=thread_id)
    run_request, steps_request = sandbox.requests
    for request in (run_request, steps_request):
        assert parse_qs(request.query)["api-version"] == ["2025-05-01"]
        assert request.headers["x-ms-enable-preview"] == "true"
    assert parse_qs(steps_request.query)["order"] == ["asc"]


def test_an_unknown_thread_is_not_found(sandbox: Sandbox, call: Call) -> None:
    with pytest.raises(RunNotFoundError) as caught:
        call("get_run", "run_1", thread_id="thread_1")
    assert not isinstance(caught.value, AssistantsApiEndedError)
    assert (caught.value.run_id, caught.value.thread_id, caught.value.http_status) == (
        "run_1",
        "thread_1",
        404,
    )


CREATE: dict[str, dict[str, Any]] = {
    "create_run": {"assistant_id": "asst_1"},
    "create_response": {"model": "gpt-5.2", "input": "Hello"},
    "submit_tool_outputs": {"run_id": "resp_1", "tool_outputs": [], "model": "gpt-5.2"},
}


@pytest.mark.parametrize("method", CREATE)
def test_a_request_that_creates_a_run_is_sent_once(
    sandbox: Sandbox, connect: Connect, call: Call, method: str
) -> None:
    connect(max_retries=2)
    sandbox.faults.add("server_error")
    with pytest.raises(RunRequestError):
        call(method, **CREATE[method])
    assert sandbox.count() == 1


def test_settings_are_there_without_a_client(sandbox: Sandbox, connect: Connect) -> None:
    connect(extra={"run_link_template": "https://console.example/{run_id}"})
    hook = OpenAIRunHook()
    assert hook.settings.run_link_template == "https://console.example/{run_id}"
    assert "conn" not in hook.__dict__


def test_settings_of_a_wrong_connection_raise(connect: Connect) -> None:
    connect(host="no.scheme")
    with pytest.raises(InvalidConnectionError, match="'openai_default': host has no scheme"):
        _ = OpenAIRunHook().settings
