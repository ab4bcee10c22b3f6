"""Whatever a server sends, what leaves for Airflow can be encoded and stored, and has a limit.

That is: the trigger's event, XComs, the progress of a waiting task, the log, asset events and their
checkpoint.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from airflow_provider_openai_run.api import calls
from airflow_provider_openai_run.api.http import ApiResponse, SentRequest
from airflow_provider_openai_run.api.registry import api_of
from airflow_provider_openai_run.events.checkpoint import event_payload, read_changes
from airflow_provider_openai_run.exceptions import RunRequestError, error_from_event
from airflow_provider_openai_run.operators.openai_run import OpenAICreateResponseOperator
from airflow_provider_openai_run.polling.options import PollOptions
from airflow_provider_openai_run.polling.policy import Decision, RunPoller
from airflow_provider_openai_run.progress import payload_for
from airflow_provider_openai_run.sandbox import Sandbox
from airflow_provider_openai_run.types.outcome import Outcome
from airflow_provider_openai_run.types.run import Run
from airflow_provider_openai_run.types.run_ref import RunRef
from tests.owned_runs.task_attempts import TaskAttempts
from tests.task_log import TaskLog

NOW = 1_795_000_000.0
REFS = [RunRef("responses", "resp_1"), RunRef("assistants", "run_1", "thread_1")]
BAD = "boom \ud83d\x00"
KEY = "a-key-of-no-known-shape"
SENT = SentRequest("https://host/v1", {"Authorization": f"Bearer {KEY}"})
#: The largest event, in bytes: Airflow keeps each in its database.
MAX_EVENT = 12_000
MAX_PROGRESS = 150_000


def nested(levels: int) -> Any:
    value: Any = BAD
    for _ in range(levels):
        value = [value]
    return value


#: Each in place of every text that a server sends.
TEXTS = {
    "a lone surrogate and U+0000": BAD,
    "a text of 40 kB": "\ud83d" + "x" * 40_000,
    "a text of 200 kB": "é" * 200_000,
    "the connection's own key": f"{BAD} {KEY}",
    "an API key": f"{BAD} sk-proj-abcdEFGH1234",
}
#: In place of every other value.
VALUES = {"a number beyond 64 bits": 2**70, "500 levels": nested(500)}
HOSTILE: dict[str, Any] = {**TEXTS, **VALUES}


@pytest.fixture(params=HOSTILE)
def hostile(request: pytest.FixtureRequest) -> Any:
    return HOSTILE[request.param]


@pytest.fixture(params=REFS, ids=lambda ref: str(ref.api))
def ref(request: pytest.FixtureRequest) -> RunRef:
    reference: RunRef = request.param
    return reference


def body(hostile: Any, status: Any = "failed", **fields: Any) -> dict[str, Any]:
    """A run or a response with a hostile value wherever a server can put one."""
    error = {"code": hostile, "message": hostile, "param": hostile, BAD: hostile}
    names = ("thread_id", "assistant_id", "model", "instructions", "object", "created_at", "started_at")
    times = ("completed_at", "failed_at", "cancelled_at", "expires_at", "previous_response_id")
    call = {"id": hostile, "type": "function", "function": {"name": hostile, "arguments": hostile}}
    part = {"type": "output_text", "text": hostile}
    item = {"id": hostile, "type": "message", "status": hostile, "content": [part], "error": error}
    return {
        **dict.fromkeys((*names, *times), hostile),
        "id": "resp_1",
        "status": status,
        "metadata": {"note": hostile, BAD: hostile},
        "tools": [hostile, {"type": hostile}],
        "file_ids": [hostile],
        "usage": {"prompt_tokens": hostile, "total_tokens": hostile, "details": {BAD: hostile}},
        "last_error": error,
        "error": error,
        "incomplete_details": {"reason": hostile},
        "required_action": {"type": hostile, "submit_tool_outputs": {"tool_calls": [call] * 9}},
        "conversation": {"id": hostile},
        "output": [item],
        **fields,
    }


def step(hostile: Any) -> dict[str, Any]:
    return {
        **body(hostile, hostile),
        "id": hostile,
        "type": hostile,
        "step_details": {"type": "message_creation", "text": hostile},
    }


def texts_in(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for pair in value.items() for part in pair for text in texts_in(part)]
    if isinstance(value, list):
        return [text for part in value for text in texts_in(part)]
    return [value] if isinstance(value, str) else []


def assert_can_leave(value: Any, max_bytes: int | None = None) -> None:
    encoded = json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(value)) == value
    assert not [text for text in texts_in(value) if "\x00" in text]
    assert max_bytes is None or len(encoded) <= max_bytes


def decide(ref: RunRef, response: ApiResponse, **options: Any) -> Decision:
    poller = RunPoller(ref, PollOptions(started_at=NOW - 60, max_consecutive_failures=1, **options))
    return poller.on_response(response, NOW)


def responses(hostile: Any) -> list[ApiResponse]:
    text = hostile if isinstance(hostile, str) else BAD
    headers = dict.fromkeys(("x-request-id", "content-type", "retry-after", "x-should-retry"), text)
    bodies = [
        (200, body(hostile)),
        (200, body(hostile, "completed")),
        (200, body(hostile, "requires_action")),
        (200, body(hostile, hostile)),
        (200, {"error": {"message": hostile}}),
        (400, {"error": {"code": hostile, "message": hostile}}),
        (401, {"error": hostile}),
        (404, {"detail": [hostile]}),
        (500, {"message": hostile}),
    ]
    return [ApiResponse(status, headers, json.dumps(content).encode(), SENT) for status, content in bodies]


@pytest.mark.parametrize("policy", ["wait", "fail", "return"])
def test_events_logs_and_progress_can_leave(ref: RunRef, hostile: Any, policy: Any) -> None:
    for response in responses(hostile):
        decision = decide(ref, response, on_requires_action=policy)
        lines = [message.text for message in decision.log_messages]
        assert_can_leave(lines, MAX_EVENT)
        progress: Any = payload_for(decision, None, NOW)
        assert_can_leave(progress, MAX_PROGRESS)
        if isinstance(decision, Outcome):
            event = decision.to_event()
            assert_can_leave(event, MAX_EVENT)
            assert progress is not None
            messages = [
                event,
                progress.get("reason"),
                progress.get("error"),
                progress["run"].get("last_error"),
            ]
            # A status is an API's word, and is not searched for keys.
            assert KEY not in json.dumps(messages).replace(json.dumps(event["status"]), "")
            assert Outcome.from_event(event, ref).to_event() == event


def test_a_run_can_be_stored_and_reads_back_equal(ref: RunRef, hostile: Any) -> None:
    api = api_of(ref)
    for status in ("completed", hostile):
        call = calls.get_run(ref, include_raw=True)
        next(call)
        sent: Any = body(hostile, status)
        try:
            call.send(sent)
            call.send({"data": [step(hostile)] * 2, "has_more": True, "last_id": hostile})
            call.send({"data": [], "has_more": False})
        except StopIteration as stop:
            run: Run = stop.value
        assert run.api == api.name
        assert_can_leave(run.to_xcom())
        assert Run.from_xcom(run.to_xcom()) == run
        for name in ("status", "model", "object"):
            assert len(getattr(run, name)) <= 200
        for name in ("thread_id", "assistant_id", "previous_response_id", "conversation_id"):
            assert len(getattr(run, name) or "") <= 1_000


def test_step_details_parse_back_to_what_the_api_sent(ref: RunRef) -> None:
    for text in TEXTS.values():
        read = api_of(ref).read_step(step(text))
        sent = step(text) if ref.parent_id is None else step(text)["step_details"]
        assert json.loads(str(read.details)) == sent


def test_asset_events_and_their_checkpoint_can_leave(hostile: Any) -> None:
    listed: list[Any] = [
        body(hostile, "failed", id=f"run_{number}", created_at=NOW, completed_at=hostile)
        for number in range(20)
    ]
    listed += [body(hostile, "queued", id=hostile), body(hostile, hostile, id="run_x")]
    call = read_changes("thread_1", None, NOW, include_past=True)
    next(call)
    with pytest.raises(StopIteration) as stop:
        call.send({"data": listed, "has_more": False})
    changes = stop.value.value
    assert len(changes.ended) == 20
    for run in changes.ended:
        assert_can_leave(event_payload(run, "thread_1"), MAX_EVENT)
    assert_can_leave(changes.checkpoint.to_json(), 20 * 1_000)
    assert_can_leave([message.text for message in changes.messages], MAX_EVENT)


def test_a_body_of_1000_levels_fails_no_wait(ref: RunRef) -> None:
    for levels in (900, 1_000, 100_000):
        deep = "[" * levels + "]" * levels
        output = f'"metadata": {{"a": {deep}}}, "output": [{{"a": {deep}}}]'
        content = f'{{"id": "run_1", "status": "completed", {output}}}'
        decision = decide(ref, ApiResponse(200, {}, content.encode(), SENT))
        assert isinstance(decision, Outcome)
        assert_can_leave(decision.to_event(), MAX_EVENT)
        if decision.run is not None:
            assert_can_leave(decision.run.to_xcom())


def test_a_header_outside_ascii_is_a_request_id_that_can_leave() -> None:
    response = ApiResponse(500, {"x-request-id": "req_\udce9"}, b"", SENT)
    assert response.request_id == "req_\ufffd"
    assert ApiResponse(500, {"x-request-id": KEY}, b"", SENT).request_id == "***"


def test_an_error_of_any_version_leaves_bounded() -> None:
    fields: dict[str, Any] = dict.fromkeys(("run_id", "status", "code", "request_id"), BAD * 10_000)
    error = RunRequestError(BAD * 10_000, **fields)
    event = Outcome(ref=REFS[0], status=BAD, error=error).to_event()
    assert_can_leave(event, MAX_EVENT * 2)
    assert isinstance(error_from_event(event["error"]), RunRequestError)


def test_a_created_response_can_be_pushed_and_is_named_once(
    sandbox: Sandbox, task_log: TaskLog, hostile: Any
) -> None:
    reply = body(hostile, "completed", error=None, incomplete_details=None)
    sandbox.faults.add("reply", method="POST", path="/responses", status=200, body=reply)
    task = TaskAttempts(OpenAICreateResponseOperator(task_id="task", model="gpt-5.2", input="Hi"))

    result = task.begin()

    assert result["status"] == "completed"
    for value in (result, task.pushed, task.store.kept if task.store else None):
        assert_can_leave(value)
    named = [line for line in task_log.warnings if "cannot be stored" in line]
    assert len(named) == 1
    assert "metadata." in named[0]
