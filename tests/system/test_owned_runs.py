"""Runs that tasks create, in a real Airflow: never two, cancelled as documented, with tool calls."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import psutil
import pytest
from airflow import __version__ as airflow_version

from airflow_provider_openai_run.sandbox import Sandbox, Script, Step
from airflow_provider_openai_run.sandbox.scripts import function_call
from tests.system.dag_run import DagRun
from tests.system.local_airflow import LocalAirflow
from tests.system.run_owner import created_by

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(
        tuple(map(int, airflow_version.split(".")[:2])) < (3, 3),
        reason="Airflow has the task state store from 3.3 on; the guarantees are weaker without it",
    ),
]

POINTS = (
    "before_the_search",
    "before_the_create_request",
    "before_the_id_is_saved",
    "before_the_ids_are_pushed",
    "before_the_first_poll",
    "before_it_defers",
    "when_it_resumes",
    "before_the_result",
    "after_the_result",
    "before_airflow_pushes",
    "after_airflow_pushed",
    "before_airflow_records_success",
)
#: Points at which the API makes no difference.
INDEPENDENT_OF_THE_API = (
    "before_the_result",
    "after_the_result",
    "before_airflow_pushes",
    "after_airflow_pushed",
)
POINTS_OF_A_NEW_THREAD = (
    "before_the_thread_is_saved",
    "before_the_create_request",
    "before_the_id_is_saved",
    "before_the_ids_are_pushed",
)
#: The line that a worker leaves in the log before it is killed.
KILL_LINE = "This worker is killed now."
#: The one window of a response: the API has created it, and its id is not saved yet.
WINDOW = "response_before_the_id_is_saved"
KILLED_TASKS = (
    *(f"run_{point}" for point in POINTS),
    *(f"both_{point}" for point in POINTS_OF_A_NEW_THREAD),
    *(f"response_{point}" for point in POINTS if point not in INDEPENDENT_OF_THE_API),
)


@pytest.fixture(scope="module")
def killed(airflow: LocalAirflow, sandbox: Sandbox) -> DagRun:
    threads = {point: sandbox.create_thread()["id"] for point in POINTS}
    run = DagRun.start(airflow, "killed_workers", {"threads": threads})
    airflow.wait_for_run(run.dag_id, run.run_id, timeout=900)
    return run


@pytest.mark.parametrize("task_id", [task_id for task_id in KILLED_TASKS if task_id != WINDOW])
def test_kill_9_at_any_point_leaves_one_run_and_its_xcoms(
    killed: DagRun, sandbox: Sandbox, task_id: str
) -> None:
    created = created_by(sandbox, killed, task_id)
    xcoms = killed.xcoms(task_id)

    assert list(created.values()) == ["completed"]
    assert killed.states()[task_id] == "success"
    assert killed.tries()[task_id] > 1
    assert KILL_LINE in killed.log(task_id, 1)
    assert xcoms["id"] == xcoms["run_id"] == next(iter(created))
    assert xcoms["answer"] == "The answer is 42."
    assert xcoms["return_value"]["status"] == "completed"
    assert xcoms["token_usage"]["try_number"] == killed.tries()[task_id]


def test_the_window_of_a_response_is_named_in_the_log(killed: DagRun, sandbox: Sandbox) -> None:
    assert len(created_by(sandbox, killed, WINDOW)) == 2
    assert killed.states()[WINDOW] == "success"
    assert "is billed and cannot be found" in killed.log(WINDOW, 2)


def start(airflow: LocalAirflow, dag_id: str, conf: Mapping[str, Any] | None = None) -> DagRun:
    return DagRun.start(airflow, dag_id, conf or {})


def wait_for_status(run: DagRun, sandbox: Sandbox, task_id: str, *statuses: str) -> list[str]:
    run.airflow.wait_until(
        f"the runs of {task_id} are {statuses}",
        lambda: set(created_by(sandbox, run, task_id).values()) == set(statuses),
        # A triggerer builds the API that says what became of a task when it is first asked.
        180,
        lambda: created_by(sandbox, run, task_id),
    )
    return list(created_by(sandbox, run, task_id))


def wait_until_polled(run: DagRun, sandbox: Sandbox, task_id: str, state: str) -> None:
    """
    Wait until a task is in a state and its run is polled while it is.

    A deferred task leaves its worker before Airflow shows it as deferred, so a later poll is the triggerer's.
    Only then can the triggerer react to what a user does to the task.
    """
    run.airflow.wait_for_task(run.dag_id, run.run_id, task_id, {state})

    def polls() -> int:
        return sum(sandbox.count("GET", one) for one in created_by(sandbox, run, task_id))

    before = polls()
    run.airflow.wait_until(f"the run of {task_id} is polled", lambda: polls() > before, detail=polls)


@pytest.mark.parametrize("state", ["failed", "success"])
@pytest.mark.parametrize(
    ("dag_id", "waiting"), [("ended_deferred", "deferred"), ("ended_on_worker", "running")]
)
def test_a_task_that_a_user_ends_cancels_its_run(
    airflow: LocalAirflow, sandbox: Sandbox, dag_id: str, waiting: str, state: str
) -> None:
    run = start(airflow, dag_id)
    for task_id in ("run", "response"):
        wait_until_polled(run, sandbox, task_id, waiting)
        airflow.rest.set_state(run.dag_id, run.run_id, task_id, state)
    for task_id in ("run", "response"):
        wait_for_status(run, sandbox, task_id, "cancelled")


def test_cancel_on_kill_false_keeps_the_run(airflow: LocalAirflow, sandbox: Sandbox) -> None:
    run = start(airflow, "ended_kept")
    wait_until_polled(run, sandbox, "response", "deferred")
    airflow.rest.set_state(run.dag_id, run.run_id, "response", "failed")
    deadline = time.monotonic() + 5
    airflow.wait_until("five seconds have passed", lambda: time.monotonic() > deadline)
    assert list(created_by(sandbox, run, "response").values()) == ["in_progress"]
    airflow.rest.set_state(run.dag_id, run.run_id, "run", "failed")


def test_clearing_cancels_the_run_and_creates_another(airflow: LocalAirflow, sandbox: Sandbox) -> None:
    run = start(airflow, "ended_deferred")
    for task_id in ("run", "response"):
        wait_until_polled(run, sandbox, task_id, "deferred")
    airflow.rest.clear(run.dag_id, run.run_id, ["run", "response"])
    for task_id in ("run", "response"):
        airflow.wait_until(
            f"{task_id} has created another",
            lambda task_id=task_id: len(created_by(sandbox, run, task_id)) == 2,  # type: ignore[misc]
        )
        wait_for_status(run, sandbox, task_id, "cancelled", "in_progress")
        wait_until_polled(run, sandbox, task_id, "deferred")
        airflow.rest.set_state(run.dag_id, run.run_id, task_id, "failed")
        wait_for_status(run, sandbox, task_id, "cancelled")


@pytest.mark.parametrize(
    ("dag_id", "status", "message"),
    [
        ("ended_timed_out", "cancelled", "Cancellation was requested"),
        ("ended_timed_out_kept", "in_progress", "left as it is"),
        ("ended_execution_timed_out", "cancelled", "Cancellation was requested"),
        ("ended_execution_timed_out_on_worker", "cancelled", "execution_timeout"),
    ],
)
def test_a_timeout_cancels_the_run_unless_it_is_kept(
    airflow: LocalAirflow, sandbox: Sandbox, dag_id: str, status: str, message: str
) -> None:
    run = start(airflow, dag_id)
    assert run.wait() == "failed"
    for task_id in ("run", "response"):
        wait_for_status(run, sandbox, task_id, status)
        assert message in run.log(task_id)
    if status == "in_progress":
        assert run.xcoms("response")["token_usage"]["try_number"] == 1


def test_a_restart_of_the_triggerer_cancels_nothing(airflow: LocalAirflow, sandbox: Sandbox) -> None:
    run = start(airflow, "ended_deferred")
    for task_id in ("run", "response"):
        wait_until_polled(run, sandbox, task_id, "deferred")
    airflow.components["triggerer"].request_stop()
    airflow.components["triggerer"].wait_for_end(20)
    airflow.start("triggerer")
    for task_id in ("run", "response"):
        wait_until_polled(run, sandbox, task_id, "deferred")
        assert list(created_by(sandbox, run, task_id).values()) == ["in_progress"]
        airflow.rest.set_state(run.dag_id, run.run_id, task_id, "failed")
        wait_for_status(run, sandbox, task_id, "cancelled")


BEFORE_THE_CALL = ((0.0, "queued"), (1.0, "in_progress"), (10.0, "requires_action"))
AFTER_THE_CALLS = Script(
    phases=((0.0, "queued"), (1.0, "in_progress"), (8.0, "completed")), steps=(Step(at=2.0, seconds=0.5),)
)


def rounds(count: int) -> Script:
    """Return a run that calls a function ``count`` times, each time after ten seconds."""
    calls = {"tool_calls": [function_call("get_time", {"city": "Oslo"})]}
    step = Step(type="tool_calls", at=9.5, details=calls)
    following = AFTER_THE_CALLS if count == 1 else rounds(count - 1)
    return Script(phases=BEFORE_THE_CALL, steps=(step,), after_outputs=following, expires_after=600)


def tasks_on_workers(airflow: LocalAirflow) -> int:
    """Return the number of tasks that occupy a worker: processes forked by the scheduler's workers."""
    parents = {}
    for process_id in airflow.components["scheduler"].left_over():
        try:
            parents[process_id] = psutil.Process(process_id).ppid()
        except psutil.NoSuchProcess:
            continue
    return sum(parents.get(parents[process_id], -1) in parents for process_id in parents)


def test_three_rounds_take_one_try_and_no_worker_in_between(airflow: LocalAirflow, sandbox: Sandbox) -> None:
    sandbox.add_script("three_rounds", rounds(3))
    earlier = {request.number for request in sandbox.requests}
    run = start(airflow, "function_calls", {"script": "three_rounds"})
    occupied: list[int] = []
    deferred = 0

    def ended() -> bool:
        nonlocal deferred
        before = run.states()
        count = tasks_on_workers(airflow)
        if set(before.values()) == {"deferred"} and set(run.states().values()) == {"deferred"}:
            deferred += 1
            occupied.append(count)
        return set(before.values()) <= {"success", "failed"}

    airflow.wait_until("both runs have ended", ended, 300)
    assert set(run.states().values()) == {"success"}
    assert set(run.tries().values()) == {1}
    assert deferred >= 10
    # A worker's process may end shortly after Airflow shows the task as deferred.
    assert sum(1 for count in occupied if count) <= 0.2 * len(occupied), occupied
    for task_id in ("run", "response"):
        usage = run.xcoms(task_id)["token_usage"]
        assert usage["rounds"] == 3
    assert len(run.xcoms("run")["token_usage"]["run_ids"]) == 1
    assert len(run.xcoms("response")["token_usage"]["run_ids"]) == 4
    sent = [request.body for request in sandbox.requests if request.number not in earlier]
    outputs = [output for body in sent for output in tool_outputs_in(body)]
    assert [output for output in outputs if output == "noon in Oslo"] == ["noon in Oslo"] * 6


def tool_outputs_in(body: Any) -> list[str]:
    if not isinstance(body, dict):
        return []
    lists = (body.get("tool_outputs"), body.get("input"))
    return [item.get("output") for items in lists if isinstance(items, list) for item in items]
