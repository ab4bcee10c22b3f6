from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_openai_run.api.base import Request
from airflow_provider_openai_run.api.calls import (
    MAX_PAGES,
    ApiCall,
    cancel_run,
    create_response,
    create_run,
    get_run,
    list_raw_steps,
    list_steps,
    submit_tool_outputs,
)
from airflow_provider_openai_run.exceptions import RunRequestError
from airflow_provider_openai_run.types.run_ref import RunRef
from tests.json_strategies import exactly, json_values, quick

T = TypeVar("T")
Body = dict[str, Any]
REF = RunRef("assistants", "run_1", "thread_1")
RESPONSE = RunRef("responses", "resp_1")


def execute(call: ApiCall[T], respond: Callable[[Request], Body]) -> tuple[T, list[Request]]:
    """Return the result of a call, and the requests that it sent."""
    requests: list[Request] = []
    try:
        request = next(call)
        while True:
            requests.append(request)
            request = call.send(respond(request))
    except StopIteration as end:
        return end.value, requests


def a_step(number: int, **fields: Any) -> Body:
    return {"id": f"step_{number}", "created_at": 1000 + number, "step_details": {"n": number}, **fields}


def ids(steps: list[Body]) -> list[Any]:
    return [step["id"] for step in steps]


@dataclass
class StepServer:
    """Plays the list of steps, with the faults that servers have been seen to have."""

    steps: list[Body]
    page_size: int = 100
    ignores_order: bool = False
    repeats: int = 0
    says_last_id: bool = True
    has_more_for_ever: bool = False

    def __call__(self, request: Request) -> Body:
        assert request.path == "/threads/thread_1/runs/run_1/steps"
        steps = self.steps
        if self.ignores_order or request.query.get("order") != "asc":
            steps = steps[::-1]
        start = 0
        if "after" in request.query:
            start = max(ids(steps).index(request.query["after"]) + 1 - self.repeats, 0)
        end = start + min(self.page_size, int(request.query["limit"]))
        page = steps[start:end]
        body = {"object": "list", "data": page, "has_more": self.has_more_for_ever or end < len(steps)}
        return {**body, "last_id": page[-1]["id"] if page else None} if self.says_last_id else body


@st.composite
def step_servers(draw: st.DrawFn) -> StepServer:
    repeats = draw(st.integers(0, 3))
    return StepServer(
        steps=[a_step(number) for number in range(draw(st.integers(0, 60)))],
        page_size=draw(st.integers(repeats + 1, 120)),
        ignores_order=draw(st.booleans()),
        repeats=repeats,
        says_last_id=draw(st.booleans()),
        has_more_for_ever=draw(st.booleans()),
    )


@quick
@given(step_servers())
def test_every_step_is_read_once_and_oldest_first(server: StepServer) -> None:
    steps, requests = execute(list_raw_steps(REF), server)
    assert ids(steps) == ids(server.steps)
    assert len(requests) <= len(server.steps) + 2


@quick
@given(
    st.lists(st.dictionaries(st.sampled_from(["data", "last_id", "has_more", "x"]), json_values), min_size=1)
)
def test_reading_pages_of_any_shape_ends(pages: list[Body]) -> None:
    count = iter(range(10**6))
    steps, requests = execute(list_raw_steps(REF), lambda _: pages[next(count) % len(pages)])
    assert len(requests) <= MAX_PAGES
    assert all(isinstance(step, dict) for step in steps)


def test_reading_stops_after_the_maximum_number_of_pages(
    caplog: pytest.LogCaptureFixture,
) -> None:
    count = iter(range(10**6))

    def endless(_: Request) -> Body:
        step = a_step(next(count))
        return {"data": [step], "has_more": True, "last_id": step["id"]}

    steps, requests = execute(list_raw_steps(REF), endless)
    assert len(requests) == len(steps) == MAX_PAGES
    assert_warned(caplog)


def assert_warned(caplog: pytest.LogCaptureFixture) -> None:
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "run_1" in record.getMessage()


def test_a_cursor_that_does_not_advance_stops_the_reading(
    caplog: pytest.LogCaptureFixture,
) -> None:
    page = {"data": [a_step(1), a_step(2)], "has_more": True, "last_id": "step_2"}
    steps, requests = execute(list_raw_steps(REF), lambda _: page)
    assert ids(steps) == ["step_1", "step_2"]
    assert len(requests) == 2
    assert_warned(caplog)


def test_a_cursor_that_repeats_the_same_steps_stops_the_reading(
    caplog: pytest.LogCaptureFixture,
) -> None:
    count = iter(range(10**6))
    steps, requests = execute(
        list_raw_steps(REF),
        lambda _: {"data": [a_step(1), a_step(2)], "has_more": True, "last_id": f"cursor_{next(count)}"},
    )
    assert ids(steps) == ["step_1", "step_2"]
    assert len(requests) == 2
    assert_warned(caplog)


def test_an_empty_page_ends_the_reading() -> None:
    steps, requests = execute(
        list_raw_steps(REF), lambda _: {"data": [], "has_more": True, "last_id": "step_9"}
    )
    assert (steps, len(requests)) == ([], 1)


def test_steps_without_an_id_are_all_kept() -> None:
    page: Body = {"data": [{"type": "a"}, {"type": "a"}, {"id": None, "type": "b"}], "has_more": False}
    steps, _ = execute(list_raw_steps(REF), lambda _: page)
    assert [step["type"] for step in steps] == ["a", "a", "b"]


def test_a_complete_list_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    execute(list_raw_steps(REF), StepServer([a_step(number) for number in range(250)]))
    assert caplog.records == []


def test_pages_follow_the_cursor() -> None:
    _, requests = execute(list_raw_steps(REF), StepServer([a_step(number) for number in range(250)]))
    assert [request.query.get("after") for request in requests] == [None, "step_99", "step_199"]


@pytest.mark.parametrize(
    "times",
    [
        (1000, 1001, 1002),
        (1000.1, 1000.5, 1000.9),
        ("2026-11-22T10:00:00.100Z", "2026-11-22T10:00:00.500Z", "2026-11-22T10:00:01Z"),
        ("2026-11-22T10:00:00.100Z", "2026-11-22T10:00:00.500Z", "2026-11-22T10:00:00.900Z"),
        (1000, 1000, 1001),
        (None, 1000, 1001),
        (1000, 1001, None),
    ],
)
def test_a_list_in_reverse_order_is_reversed(
    times: tuple[Any, ...],
) -> None:
    steps = [a_step(number, created_at=time) for number, time in enumerate(times)]
    read, _ = execute(list_raw_steps(REF), StepServer(steps, ignores_order=True))
    assert ids(read) == ids(steps)


def test_steps_of_the_same_time_keep_their_order() -> None:
    steps = [a_step(number, created_at=1000) for number in range(5)]
    read, _ = execute(list_raw_steps(REF), StepServer(steps))
    assert ids(read) == ids(steps)


RUN = {"id": "run_1", "thread_id": "thread_1", "status": "completed", "instructions": ""}
OUTPUT = [{"id": "msg_1", "type": "message"}, {"id": "msg_2", "type": "message"}]
ANSWER = {"id": "resp_1", "status": "completed", "output": OUTPUT}


def assistants(run: Body, steps: list[Body]) -> Callable[[Request], Body]:
    server = StepServer(steps)
    return lambda request: server(request) if request.path.endswith("/steps") else run


def test_a_run_is_retrieved_with_its_steps_in_order() -> None:
    run, requests = execute(get_run(REF), assistants(RUN, [a_step(1), a_step(2)]))
    assert [request.path.rsplit("/", 1)[1] for request in requests] == ["run_1", "steps"]
    assert run.steps is not None
    assert [step.id for step in run.steps] == ["step_1", "step_2"]
    assert json.loads(str(run.steps[0].details)) == {"n": 1}
    assert run.raw is None


def test_steps_are_not_requested_without_include_steps() -> None:
    run, requests = execute(get_run(REF, include_steps=False), assistants(RUN, [a_step(1)]))
    assert (run.steps, len(requests)) == (None, 1)
    response, requests = execute(get_run(RESPONSE, include_steps=False), lambda _: ANSWER)
    assert (response.steps, len(requests)) == (None, 1)


def test_a_run_without_steps_has_an_empty_tuple() -> None:
    run, _ = execute(get_run(REF), assistants(RUN, []))
    assert run.steps == ()


def test_a_response_needs_no_request_for_its_steps() -> None:
    run, requests = execute(get_run(RESPONSE), lambda _: ANSWER)
    assert [request.path for request in requests] == ["/responses/resp_1"]
    assert run.steps is not None
    assert [json.loads(str(step.details)) for step in run.steps] == OUTPUT


@pytest.mark.parametrize(("ref", "body"), [(REF, RUN), (RESPONSE, ANSWER)])
def test_the_raw_json_is_kept_with_include_raw(ref: RunRef, body: Body) -> None:
    run, _ = execute(get_run(ref, include_steps=False, include_raw=True), lambda _: body)
    assert exactly(run.raw) == exactly(body)


OPEN_STEP = a_step(
    1,
    status="in_progress",
    step_details={
        "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "f", "output": None}}]
    },
)


def test_a_required_action_that_is_only_in_the_steps_is_found() -> None:
    run, _ = execute(get_run(REF), assistants(RUN | {"status": "requires_action"}, [OPEN_STEP]))
    action: dict[str, Any] = run.required_action or {}
    (call,) = action["submit_tool_outputs"]["tool_calls"]
    assert call == {"id": "call_1", "type": "function", "function": {"name": "f"}}


@pytest.mark.parametrize("status", ["in_progress", "queued", "expired", "completed"])
def test_a_run_that_requires_nothing_gets_no_required_action(status: str) -> None:
    run, _ = execute(get_run(REF), assistants(RUN | {"status": status}, [OPEN_STEP]))
    assert run.required_action is None


def test_a_required_action_of_the_run_is_unchanged() -> None:
    required_action = {"type": "submit_tool_approval", "submit_tool_approval": {"tool_calls": []}}
    body = RUN | {"status": "requires_action", "required_action": required_action}
    run, _ = execute(get_run(REF), assistants(body, [OPEN_STEP]))
    assert run.required_action == required_action


def test_the_thread_is_known_if_the_server_omits_it() -> None:
    run, _ = execute(get_run(REF), assistants({"id": "run_1", "status": "completed"}, []))
    assert run.thread_id == "thread_1"


def test_list_steps_returns_the_steps_of_the_run() -> None:
    steps, _ = execute(list_steps(REF), StepServer([a_step(1), a_step(2)], page_size=1))
    assert [step.id for step in steps] == ["step_1", "step_2"]
    items, _ = execute(list_steps(RESPONSE), lambda _: ANSWER)
    assert [step.id for step in items] == ["msg_1", "msg_2"]


@pytest.mark.parametrize("page", [1, 2, 3])
def test_an_error_of_a_request_is_raised_by_the_call(page: int) -> None:
    server = assistants(RUN, [a_step(number) for number in range(150)])
    call = get_run(REF)
    request = next(call)
    for _ in range(page - 1):
        request = call.send(server(request))
    with pytest.raises(RunRequestError, match="HTTP 500"):
        call.throw(RunRequestError("HTTP 500", is_retryable=True))


def test_a_call_that_changes_a_run_is_one_request() -> None:
    created, (creating,) = execute(create_run("thread_1", {"assistant_id": "asst_1"}), lambda _: RUN)
    assert (creating.method, creating.path) == ("POST", "/threads/thread_1/runs")
    assert (created.id, created.thread_id) == ("run_1", "thread_1")
    answered, (answering,) = execute(create_response({"model": "m"}), lambda _: ANSWER)
    assert (answering.method, answering.path, answered.id) == ("POST", "/responses", "resp_1")
    for ref in (REF, RESPONSE):
        _, (cancelling,) = execute(cancel_run(ref), lambda _: RUN)
        assert (cancelling.method, cancelling.path.rsplit("/", 2)[1:]) == ("POST", [ref.run_id, "cancel"])
    outputs: list[Any] = [{"tool_call_id": "call_1", "output": "1"}]
    _, (submitting,) = execute(submit_tool_outputs(REF, outputs, {}), lambda _: RUN)
    assert submitting.body == {"tool_outputs": outputs}
    following, (submitting,) = execute(submit_tool_outputs(RESPONSE, outputs, {}), lambda _: {"id": "resp_2"})
    assert (submitting.path, following.id) == ("/responses", "resp_2")


def test_modules_without_io_import_neither_airflow_nor_openai() -> None:
    rooms = (
        *("exceptions", "types.status", "types.run", "types.run_ref", "types.outcome", "polling.backoff"),
        *(
            "polling.options",
            "polling.policy",
            "polling.rate_limiter",
            "api.base",
            "api.registry",
            "api.http",
        ),
        *("api.assistants", "api.responses", "api.calls", "api.parsing"),
    )
    program = (
        "import sys\n"
        + "".join(f"import airflow_provider_openai_run.{room}\n" for room in rooms)
        + "heavy = {'airflow', 'openai', 'httpx', 'httpx2', 'aiohttp', 'pydantic', 'pendulum'}\n"
        + "print(sorted({name.split('.')[0] for name in sys.modules} & heavy))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
