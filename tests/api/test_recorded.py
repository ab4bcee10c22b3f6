"""Recorded payloads of real servers, read by the package and by hand: both results must be the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from airflow_provider_openai_run.api.base import Request
from airflow_provider_openai_run.api.calls import (
    ApiCall,
    cancel_run,
    create_response,
    create_run,
    get_run,
    list_raw_steps,
)
from airflow_provider_openai_run.api.http import ApiResponse, parse_or_raise
from airflow_provider_openai_run.api.registry import api_of, get_api
from airflow_provider_openai_run.exceptions import (
    AssistantsApiEndedError,
    RunAuthenticationError,
    RunNotFoundError,
    RunRequestError,
)
from airflow_provider_openai_run.polling.options import PollOptions
from airflow_provider_openai_run.polling.policy import PollAgain, RunPoller
from airflow_provider_openai_run.types.outcome import Outcome
from airflow_provider_openai_run.types.run import DOCUMENTED_ATTRIBUTES, Run
from airflow_provider_openai_run.types.run_ref import RunRef
from tests.json_strategies import exactly

RECORDED = Path(__file__).resolve().parents[3] / "shared" / "recorded"
NOW = 1_795_000_000.0

pytestmark = [
    pytest.mark.recorded,
    pytest.mark.skipif(not RECORDED.is_dir(), reason="there is no ../shared/recorded beside this checkout"),
]

Body = dict[str, Any]


def files(kind: str) -> list[Any]:
    found = [pytest.param(path, id=path.stem) for path in sorted((RECORDED / kind).glob("*.json"))]
    return found or [pytest.param(None, id="none")]


def load(path: Path) -> Any:
    return json.loads(path.read_text())


def test_every_recorded_payload_is_of_a_known_kind() -> None:
    kinds = {item["kind"] for item in load(RECORDED / "index.json")["items"]}
    assert kinds == {"run", "steps", "response", "input_items", "error", "sequence"}
    for kind in kinds:
        assert list((RECORDED / kind).glob("*.json"))


def through_xcom(run: Run) -> Run:
    return Run.from_xcom(json.loads(json.dumps(run.to_xcom())))


def whole_seconds(sent: Any) -> Any:
    return int(sent) if isinstance(sent, float) else sent


def counts(sent: Body | None, prompt: str, completion: str) -> Body | None:
    """Return the expected usage, its details under the documented names."""
    if sent is None:
        return None
    renamed = {prompt: "prompt_tokens", completion: "completion_tokens"}
    renamed |= {f"{name}_details": f"{new}_details" for name, new in renamed.items()}
    nulls = dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens"))
    return {**nulls, **{renamed.get(key, key): value for key, value in sent.items()}}


def files_of(raw: Body) -> list[str]:
    if "file_ids" in raw:
        return list(raw["file_ids"])
    resources = raw.get("tool_resources") or {}
    return list(resources.get("code_interpreter", {}).get("file_ids", []))


@pytest.mark.parametrize("path", files("run"))
def test_a_recorded_run_maps_without_loss(path: Path) -> None:
    raw = load(path)
    run = get_api("assistants").read_run(raw)
    as_sent = {name: raw.get(name) for name in DOCUMENTED_ATTRIBUTES}
    expected = as_sent | {
        **{name: whole_seconds(raw.get(name)) for name in ("created_at", "started_at", "completed_at")},
        "file_ids": files_of(raw),
        "usage": counts(raw.get("usage"), "prompt_tokens", "completion_tokens"),
        "steps": None,
    }
    value = run.to_xcom()
    assert exactly({name: value[name] for name in DOCUMENTED_ATTRIBUTES}) == exactly(expected)
    for name in ("incomplete_details", "failed_at", "cancelled_at", "expires_at"):
        assert exactly(value[name]) == exactly(raw.get(name))
    assert through_xcom(run) == run


#: Kinds of output items that the client must run and answer, as the API documents them.
CALLS = {
    "function_call",
    "custom_tool_call",
    "computer_call",
    "local_shell_call",
    "shell_call",
    "apply_patch_call",
    "tool_search_call",
}


def open_calls(raw: Body) -> tuple[list[str], list[str]]:
    """Return the ids of the unanswered calls and approvals."""
    output = raw["output"] if raw["status"] == "completed" else []
    answered = {
        item["call_id"] for item in output if item["type"].endswith("_output") and item.get("call_id")
    }
    approved = {item.get("approval_request_id") for item in output}
    calls = [item["call_id"] for item in output if item["type"] in CALLS and item.get("call_id")]
    approvals = [item["id"] for item in output if item["type"] == "mcp_approval_request"]
    return [call for call in calls if call not in answered], [
        item for item in approvals if item not in approved
    ]


@pytest.mark.parametrize("path", files("response"))
def test_a_recorded_response_maps_without_loss(path: Path) -> None:
    raw = load(path)
    run = get_api("responses").read_run(raw)
    value: dict[str, Any] = run.to_xcom()
    for name in (
        "id",
        "object",
        "status",
        "model",
        "instructions",
        "tools",
        "metadata",
        "previous_response_id",
    ):
        assert exactly(value[name]) == exactly(raw.get(name)), name
    for name in ("created_at", "completed_at"):
        assert exactly(value[name]) == exactly(whole_seconds(raw.get(name))), name
    assert exactly(value["usage"]) == exactly(counts(raw.get("usage"), "input_tokens", "output_tokens"))
    assert exactly(value["incomplete_details"]) == exactly(raw.get("incomplete_details"))
    assert exactly(value["last_error"]) == exactly(raw.get("error"))
    assert [value[name] for name in ("thread_id", "assistant_id", "started_at")] == [None] * 3
    assert_items_are_steps(value["steps"], raw["output"])
    assert through_xcom(run) == run


def assert_items_are_steps(steps: list[Body], items: list[Body]) -> None:
    assert [exactly(json.loads(step["details"])) for step in steps] == [exactly(item) for item in items]
    for name in ("id", "type", "status"):
        assert [step[name] for step in steps] == [item.get(name) for item in items]


@pytest.mark.parametrize("path", files("response"))
def test_unanswered_calls_of_a_recorded_response_are_required(path: Path) -> None:
    raw = load(path)
    action: dict[str, Any] = get_api("responses").read_run(raw).required_action or {}
    found = [
        [call["id"] for call in action.get(kind, {}).get("tool_calls", [])]
        for kind in ("submit_tool_outputs", "submit_tool_approval")
    ]
    assert found == list(open_calls(raw))


@pytest.mark.parametrize("path", files("steps"))
def test_recorded_steps_map_without_loss(path: Path) -> None:
    raw = load(path)
    for step in raw.get("data", [raw]):
        value: dict[str, Any] = get_api("assistants").read_step(step).to_xcom()
        for name in ("id", "object", "type", "status", "last_error"):
            assert exactly(value[name]) == exactly(step.get(name)), name
        for name in ("created_at", "completed_at", "failed_at", "cancelled_at", "expires_at"):
            assert exactly(value[name]) == exactly(whole_seconds(step.get(name))), name
        assert exactly(value["usage"]) == exactly(
            counts(step.get("usage"), "prompt_tokens", "completion_tokens")
        )
        assert exactly(json.loads(value["details"])) == exactly(step["step_details"])


@pytest.mark.parametrize("path", files("input_items"))
def test_recorded_input_items_read_like_output_items(path: Path) -> None:
    items = load(path)["data"]
    assert_items_are_steps([get_api("responses").read_step(item).to_xcom() for item in items], items)


@pytest.mark.parametrize("path", files("error"))
def test_a_recorded_error_keeps_its_code_and_message(path: Path) -> None:
    raw = load(path)
    exchange = raw if "body" in raw else {"status": 400, "headers": {}, "body": raw}
    headers = {name.lower(): value for name, value in exchange["headers"].items()}
    response = ApiResponse(exchange["status"], headers, json.dumps(exchange["body"]).encode())
    ref = RunRef("assistants", "run_1", "thread_1")
    with pytest.raises(RunRequestError) as caught:
        parse_or_raise(response, api_of(ref).retrieve(ref), ref, now=NOW, base_url="http://127.0.0.1/v1")
    error, expected = caught.value, exchange["body"]["error"]
    kinds = {401: RunAuthenticationError, 403: RunAuthenticationError, 404: RunNotFoundError}
    assert type(error) is kinds.get(exchange["status"], RunRequestError)
    assert error.is_retryable is (exchange["status"] >= 500)
    assert error.code in (expected["code"], expected["type"])
    assert (error.http_status, error.request_id) == (exchange["status"], headers.get("x-request-id"))
    assert (error.request_id or "") in str(error)
    # The rest of such a sentence is the key.
    assert expected["message"].partition("provided: ")[0] in str(error)


def exchanges(path: Path) -> list[Body]:
    """The exchanges of a sequence that are about runs and responses; streams are none of ours."""
    about = [item | {"path": urlsplit(item["url"]).path.removeprefix("/v1")} for item in load(path)]
    return [item for item in about if isinstance(item["body"], dict)]


def run_ref(path: str) -> RunRef | None:
    match path.strip("/").split("/"):
        case ["threads", thread_id, "runs", run_id, *_]:
            return RunRef("assistants", run_id, thread_id)
        case ["responses", run_id, *_]:
            return RunRef("responses", run_id)
    return None


def replay(operation: ApiCall[Run], recorded: Iterator[Body]) -> Run:
    """Carry an operation out against the recorded exchanges, each of which it has to ask for."""
    request = next(operation)
    try:
        while True:
            exchange = next(recorded)
            assert (request.method, request.path) == (exchange["method"], exchange["path"])
            headers = {name.lower(): value for name, value in exchange["headers"].items()}
            response = ApiResponse(exchange["status"], headers, json.dumps(exchange["body"]).encode())
            try:
                body = parse_or_raise(response, request, run_ref(request.path), now=NOW)
            except RunRequestError as error:
                request = operation.throw(error)
            else:
                request = operation.send(body)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


@pytest.mark.parametrize("path", files("sequence"))
def test_each_run_of_a_recorded_sequence_is_retrieved(path: Path) -> None:
    for exchange in exchanges(path):
        ref, body = run_ref(exchange["path"]), exchange["body"]
        if ref is None or exchange["method"] != "GET" or body.get("object") not in ("thread.run", "response"):
            continue
        run = replay(get_run(ref, include_steps=ref.parent_id is None, include_raw=True), iter([exchange]))
        assert exactly(run.raw) == exactly(body)
        assert (run.id, run.thread_id, run.status) == (ref.run_id, ref.parent_id, body["status"])
        assert len(run.steps or ()) == len(body.get("output", []))


@pytest.mark.parametrize("path", files("sequence"))
def test_each_created_or_cancelled_run_of_a_sequence_is_read(path: Path) -> None:
    for exchange in exchanges(path):
        if exchange["method"] != "POST" or exchange["body"].get("object") not in ("thread.run", "response"):
            continue
        match exchange["path"].strip("/").split("/"):
            case ["responses"]:
                run = replay(create_response(exchange["request_body"]), iter([exchange]))
            case ["threads", thread_id, "runs"]:
                run = replay(create_run(thread_id, exchange["request_body"]), iter([exchange]))
            case [*_, "cancel"]:
                run = replay(
                    cancel_run(run_ref(exchange["path"]) or RunRef("responses", "none")), iter([exchange])
                )
            case other:
                pytest.fail(f"{other} is nothing a run is made by")
        assert (run.id, run.status) == (exchange["body"]["id"], exchange["body"]["status"])


@pytest.mark.parametrize("path", files("sequence"))
def test_each_error_of_a_recorded_sequence_is_raised(path: Path) -> None:
    for exchange in exchanges(path):
        ref = run_ref(exchange["path"])
        if ref is None or exchange["status"] < 400:
            continue
        with pytest.raises(RunNotFoundError) as caught:
            replay(get_run(ref), iter([exchange]))
        assert not isinstance(caught.value, AssistantsApiEndedError)
        assert ref.run_id in str(caught.value)


@pytest.mark.parametrize("path", files("sequence"))
def test_recorded_pages_of_steps_are_one_list_oldest_first(path: Path) -> None:
    pages: dict[tuple[str, str | None], Body] = {}
    for exchange in exchanges(path):
        after = parse_qs(urlsplit(exchange["url"]).query).get("after", [None])[0]
        if exchange["path"].endswith("/steps"):
            pages[exchange["path"], after] = exchange["body"]
    for steps_path in {steps_path for steps_path, _ in pages}:
        newest_first = [step for (of, _), page in pages.items() if of == steps_path for step in page["data"]]
        ref = run_ref(steps_path)
        assert ref is not None
        assert [exactly(step) for step in read_pages(ref, pages)] == [
            exactly(step) for step in newest_first[::-1]
        ]


def read_pages(ref: RunRef, pages: dict[tuple[str, str | None], Body]) -> list[Body]:
    operation = list_raw_steps(ref)
    request: Request = next(operation)
    try:
        while True:
            request = operation.send(pages[request.path, request.query.get("after")])
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


@pytest.mark.parametrize("path", files("sequence"))
def test_a_wait_ends_at_the_first_terminal_status_of_a_sequence(path: Path) -> None:
    waits: dict[RunRef, RunPoller] = {}
    ended: dict[RunRef, str | None] = {}
    first_end: dict[RunRef, str] = {}
    for exchange in exchanges(path):
        ref, body = run_ref(exchange["path"]), exchange["body"]
        if ref is None or exchange["method"] != "GET" or body.get("object") not in ("thread.run", "response"):
            continue
        if body["status"] in ("completed", "failed", "cancelled", "expired", "incomplete"):
            first_end.setdefault(ref, body["status"])
        waiting = waits.setdefault(
            ref, RunPoller(ref, PollOptions(started_at=NOW), random_fraction=lambda: 0.0)
        )
        decision = waiting.on_response(ApiResponse(200, {}, json.dumps(body).encode()), NOW)
        assert isinstance(decision, PollAgain | Outcome)
        if isinstance(decision, Outcome):
            ended.setdefault(ref, decision.status)
    assert ended == first_end
