"""A run is cancelled if its deferred task was ended, and only then, however Airflow interrupts that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

from airflow_provider_openai_run.api.registry import run_ref
from airflow_provider_openai_run.sandbox import Sandbox
from airflow_provider_openai_run.triggerer import run_canceller, task_states
from airflow_provider_openai_run.triggers.openai_run import OpenAIOwnedRunTrigger
from airflow_provider_openai_run.types.run_ref import RunRef
from tests.fake_clock import FakeClock
from tests.task_log import TaskLog

CONN_ID = "openai_default"


@dataclass
class TaskInstance:
    """The ids of a task instance."""

    dag_id: str = "dag"
    run_id: str = "manual__1"
    task_id: str = "task"
    map_index: int = -1


@dataclass
class TaskStates:
    """Airflow's answers to requests for task states; an exception is raised."""

    answers: list[Any] = field(default_factory=list)
    default: Any = "deferred"
    requests: list[dict[str, Any]] = field(default_factory=list)

    def get_task_states(self, **request: Any) -> dict[str, Any]:
        self.requests.append(request)
        answer = self.answers.pop(0) if self.answers else self.default
        if isinstance(answer, Exception):
            raise answer
        states = answer if isinstance(answer, dict) else {"task": answer}
        return dict.fromkeys(request["run_ids"], states)


async def call_at_once(function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*arguments)


@pytest.fixture
def states(monkeypatch: pytest.MonkeyPatch) -> TaskStates:
    states = TaskStates()
    # Airflow's supervisor answers it, which a unit test does not have.
    monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", staticmethod(states.get_task_states))
    # On the fake clock, nothing waits for a thread.
    monkeypatch.setattr(task_states, "_in_thread", call_at_once)
    return states


@pytest.fixture
def run(sandbox: Sandbox) -> RunRef:
    return run_ref(sandbox.create_response(script="in_progress")["id"])


@pytest.fixture(autouse=True)
def _nothing_left_under_way() -> Iterator[None]:
    yield
    assert not vars(run_canceller)["_under_way"]


def status(sandbox: Sandbox, run: RunRef) -> str:
    return str(sandbox.state()["responses"][run.run_id])


def trigger_of(run: RunRef, map_index: int = -1) -> OpenAIOwnedRunTrigger:
    trigger = OpenAIOwnedRunTrigger(conn_id=CONN_ID, run_id=run.run_id, started_at=0.0)
    # Airflow's own has the state of the whole task instance; the ids are read only.
    trigger.task_instance = cast("Any", TaskInstance(map_index=map_index))
    return trigger


def kill(fake_clock: FakeClock, run: RunRef, map_index: int = -1) -> None:
    fake_clock.run(trigger_of(run, map_index).on_kill())


@pytest.mark.parametrize("state", ["failed", "success", "skipped", None])
def test_a_run_whose_task_has_ended_is_cancelled(
    sandbox: Sandbox,
    fake_clock: FakeClock,
    states: TaskStates,
    run: RunRef,
    state: str | None,
    task_log: TaskLog,
) -> None:
    states.default = state
    kill(fake_clock, run)
    assert status(sandbox, run) == "cancelled"
    assert f"Cancelled run {run.run_id}: a user marked the deferred task" in "\n".join(task_log.texts())


def test_a_run_whose_task_was_deleted_is_cancelled(
    sandbox: Sandbox, fake_clock: FakeClock, states: TaskStates, run: RunRef
) -> None:
    states.default = {}
    kill(fake_clock, run)
    assert status(sandbox, run) == "cancelled"


@pytest.mark.parametrize("state", ["deferred", "scheduled", "queued", "running", "awaiting_input"])
def test_a_run_whose_task_continues_is_left_alone(
    sandbox: Sandbox, fake_clock: FakeClock, states: TaskStates, run: RunRef, task_log: TaskLog, state: str
) -> None:
    # Two triggerers had the trigger, and the task resumes after the event of the other one: perhaps to call
    # the functions that the run waits for.
    states.default = state
    kill(fake_clock, run)
    assert status(sandbox, run) == "queued"
    assert sandbox.count("POST", "/cancel") == 0
    assert "The task continues elsewhere" in "\n".join(task_log.texts())


def test_a_mapped_task_is_known_by_its_index(
    sandbox: Sandbox, fake_clock: FakeClock, states: TaskStates, run: RunRef
) -> None:
    states.default = {"task_0": "failed", "task_1": "deferred"}
    kill(fake_clock, run, map_index=1)
    assert status(sandbox, run) == "queued"
    kill(fake_clock, run, map_index=0)
    assert status(sandbox, run) == "cancelled"


def test_the_state_is_read_again_while_the_database_is_away(
    sandbox: Sandbox, fake_clock: FakeClock, states: TaskStates, run: RunRef
) -> None:
    states.answers = [RuntimeError("database is locked")] * 3
    states.default = "failed"
    kill(fake_clock, run)
    assert len(states.requests) == 4
    assert status(sandbox, run) == "cancelled"


def test_a_run_is_left_alone_if_airflow_never_says(
    sandbox: Sandbox, fake_clock: FakeClock, states: TaskStates, run: RunRef, task_log: TaskLog
) -> None:
    states.default = RuntimeError("database is locked")
    kill(fake_clock, run)
    assert sandbox.count("POST", "/cancel") == 0
    assert f"run {run.run_id} was not cancelled and may be running" in "\n".join(task_log.texts())


def test_what_was_begun_is_finished_although_it_is_interrupted(
    sandbox: Sandbox, fake_clock: FakeClock, states: TaskStates, run: RunRef
) -> None:
    states.default = "failed"

    async def interrupted() -> None:
        killing = asyncio.create_task(trigger_of(run).on_kill())
        while not vars(run_canceller)["_under_way"]:  # noqa: ASYNC110 - the first step of on_kill is an import
            await asyncio.sleep(0)
        killing.cancel("user action")
        with pytest.raises(asyncio.CancelledError):
            await killing
        await asyncio.gather(*vars(run_canceller)["_under_way"])

    fake_clock.run(interrupted())
    assert status(sandbox, run) == "cancelled"


@pytest.mark.parametrize("fault", ["rate_limited", "unavailable", "server_error"])
def test_a_cancel_is_retried_while_the_api_refuses_it(
    sandbox: Sandbox, fake_clock: FakeClock, states: TaskStates, run: RunRef, fault: str
) -> None:
    states.default = "failed"
    sandbox.faults.add(fault, path="/cancel", times=3)
    kill(fake_clock, run)
    assert sandbox.count("POST", "/cancel") == 4
    assert status(sandbox, run) == "cancelled"


def test_a_cancel_that_the_api_refuses_for_good_names_the_run(
    sandbox: Sandbox, fake_clock: FakeClock, states: TaskStates, run: RunRef, task_log: TaskLog
) -> None:
    states.default = "failed"
    sandbox.faults.add("forbidden", path="/cancel")
    kill(fake_clock, run)
    assert f"Could not cancel run {run.run_id}" in "\n".join(task_log.texts())


def test_a_cancel_that_fails_until_its_timeout_names_the_run(
    sandbox: Sandbox, fake_clock: FakeClock, states: TaskStates, run: RunRef, task_log: TaskLog
) -> None:
    states.default = "failed"
    sandbox.faults.add("server_error", path="/cancel")
    kill(fake_clock, run)
    assert sandbox.count("POST", "/cancel") > 10
    assert f"Could not cancel run {run.run_id}" in "\n".join(task_log.texts())


def test_many_tasks_share_requests_and_one_connection(
    sandbox: Sandbox, fake_clock: FakeClock, states: TaskStates, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [run_ref(sandbox.create_response(script="in_progress")["id"]) for _ in range(60)]
    states.default = {f"task_{index}": "failed" for index in range(60)}
    lookups = count_calls(monkeypatch)

    async def all_at_once() -> None:
        await asyncio.gather(*(trigger_of(run, index).on_kill() for index, run in enumerate(runs)))

    fake_clock.run(all_at_once())
    assert {status(sandbox, run) for run in runs} == {"cancelled"}
    assert sandbox.count("POST", "/cancel") == 60
    assert len(states.requests) <= 6  # of 60: tasks that end together share a request
    assert lookups() == 1


def count_calls(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook

    calls: list[str] = []
    aget_conn = OpenAIRunHook.aget_conn

    async def counted(hook: OpenAIRunHook) -> Any:
        calls.append(hook.conn_id)
        return await aget_conn(hook)

    monkeypatch.setattr(OpenAIRunHook, "aget_conn", counted)
    return lambda: len(calls)
