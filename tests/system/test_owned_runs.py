"""Runs that tasks make: never two, cancelled as promised, and answered, in a real Airflow."""

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

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(
        tuple(map(int, airflow_version.split(".")[:2])) < (3, 3),
        reason="the promises are weaker before Airflow 3.3, which has the task state store",
    ),
]

POINTS = (
    "before_it_looks_for_a_run",
    "before_it_asks_for_a_run",
    "before_the_id_is_remembered",
    "before_the_ids_are_pushed",
    "before_it_looks_at_the_run",
    "before_it_defers",
    "when_it_resumes",
    "before_it_tells",
    "after_it_told",
    "before_airflow_pushes",
    "after_airflow_pushed",
    "before_airflow_is_told",
)
#: Points at which nothing depends on the API.
THE_SAME_FOR_BOTH = ("before_it_tells", "after_it_told", "before_airflow_pushes", "after_airflow_pushed")
POINTS_OF_A_NEW_THREAD = (
    "before_the_thread_is_remembered",
    "before_it_asks_for_a_run",
    "before_the_id_is_remembered",
    "before_the_ids_are_pushed",
)
#: The one window that a response has: the API has it, and nobody has written its id down.
WINDOW = "response_before_the_id_is_remembered"
KILLED = (
    *(f"run_{point}" for point in POINTS),
    *(f"both_{point}" for point in POINTS_OF_A_NEW_THREAD),
    *(f"response_{point}" for point in POINTS if point not in THE_SAME_FOR_BOTH),
)


@pytest.fixture(scope="module")
def killed(airflow: LocalAirflow, sandbox: Sandbox) -> DagRun:
    threads = {point: sandbox.create_thread()["id"] for point in POINTS}
    run = DagRun.start(airflow, "killed_workers", {"threads": threads})
    airflow.wait_for_run(run.dag_id, run.run_id, timeout=900)
    return run


def made_by(sandbox: Sandbox, run: DagRun, task_id: str) -> dict[str, str]:
    """The runs and responses that bear a task's mark, with their statuses."""
    mark = f"{run.dag_id}/{run.run_id}/{task_id}/-1"
    return {
        run["id"]: run["status"]
        for run in [*sandbox.list_runs(), *sandbox.list_responses()]
        if run["metadata"].get("airflow_task") == mark
    }


@pytest.mark.parametrize("task_id", [task_id for task_id in KILLED if task_id != WINDOW])
def test_kill_9_anywhere_leaves_one_run_and_a_right_xcom(
    killed: DagRun, sandbox: Sandbox, task_id: str
) -> None:
    made = made_by(sandbox, killed, task_id)
    xcoms = killed.xcoms(task_id)

    assert list(made.values()) == ["completed"]
    assert killed.states()[task_id] == "success"
    assert killed.tries()[task_id] > 1
    assert xcoms["id"] == xcoms["run_id"] == next(iter(made))
    assert xcoms["answer"] == "The answer is 42."
    assert xcoms["return_value"]["status"] == "completed"
    assert xcoms["token_usage"]["try_number"] == killed.tries()[task_id]


def test_the_window_of_a_response_is_what_the_log_says_it_is(killed: DagRun, sandbox: Sandbox) -> None:
    assert len(made_by(sandbox, killed, WINDOW)) == 2
    assert killed.states()[WINDOW] == "success"
    assert "cannot be looked up" in killed.log(WINDOW, 2)


def start(airflow: LocalAirflow, dag_id: str, conf: Mapping[str, Any] | None = None) -> DagRun:
    return DagRun.start(airflow, dag_id, conf or {})


def wait_for_status(run: DagRun, sandbox: Sandbox, task_id: str, *statuses: str) -> list[str]:
    run.airflow.wait_until(
        f"the runs of {task_id} are {statuses}",
        lambda: set(made_by(sandbox, run, task_id).values()) == set(statuses),
        60,
        lambda: made_by(sandbox, run, task_id),
    )
    return list(made_by(sandbox, run, task_id))


def wait_until_followed(run: DagRun, sandbox: Sandbox, task_id: str, state: str) -> None:
    run.airflow.wait_for_task(run.dag_id, run.run_id, task_id, {state})

    def looks() -> list[int]:
        return [sandbox.count("GET", run_id) for run_id in made_by(sandbox, run, task_id)]

    run.airflow.wait_until(
        f"the run of {task_id} is looked at", lambda: min(looks(), default=0) > 1, detail=looks
    )


@pytest.mark.parametrize("state", ["failed", "success"])
@pytest.mark.parametrize(("dag_id", "waits"), [("ended_deferred", "deferred"), ("ended_held", "running")])
def test_a_user_who_ends_the_task_ends_its_run(
    airflow: LocalAirflow, sandbox: Sandbox, dag_id: str, waits: str, state: str
) -> None:
    run = start(airflow, dag_id)
    for task_id in ("run", "response"):
        wait_until_followed(run, sandbox, task_id, waits)
        airflow.rest.set_state(run.dag_id, run.run_id, task_id, state)
    for task_id in ("run", "response"):
        wait_for_status(run, sandbox, task_id, "cancelled")


def test_a_run_that_is_to_be_kept_is_kept(airflow: LocalAirflow, sandbox: Sandbox) -> None:
    run = start(airflow, "ended_kept")
    wait_until_followed(run, sandbox, "response", "deferred")
    airflow.rest.set_state(run.dag_id, run.run_id, "response", "failed")
    asked = sandbox.count()
    end = time.monotonic() + 5
    airflow.wait_until("five seconds have gone by", lambda: time.monotonic() > end)
    assert list(made_by(sandbox, run, "response").values()) == ["in_progress"], asked
    airflow.rest.set_state(run.dag_id, run.run_id, "run", "failed")


def test_clearing_ends_the_run_and_makes_another(airflow: LocalAirflow, sandbox: Sandbox) -> None:
    run = start(airflow, "ended_deferred")
    for task_id in ("run", "response"):
        wait_until_followed(run, sandbox, task_id, "deferred")
    airflow.rest.clear(run.dag_id, run.run_id, ["run", "response"])
    for task_id in ("run", "response"):
        airflow.wait_until(
            f"{task_id} has made another",
            lambda task_id=task_id: len(made_by(sandbox, run, task_id)) == 2,  # type: ignore[misc]
        )
        wait_for_status(run, sandbox, task_id, "cancelled", "in_progress")
        wait_until_followed(run, sandbox, task_id, "deferred")
        airflow.rest.set_state(run.dag_id, run.run_id, task_id, "failed")
        wait_for_status(run, sandbox, task_id, "cancelled")


@pytest.mark.parametrize(
    ("dag_id", "status", "said"),
    [
        ("ended_timed_out", "cancelled", "told to end"),
        ("ended_timed_out_kept", "in_progress", "left as it is"),
        ("ended_execution_timed_out", "cancelled", "told to end"),
        ("ended_execution_timed_out_held", "cancelled", "execution_timeout"),
    ],
)
def test_the_time_ends_the_run_if_it_may(
    airflow: LocalAirflow, sandbox: Sandbox, dag_id: str, status: str, said: str
) -> None:
    run = start(airflow, dag_id)
    assert run.wait() == "failed"
    for task_id in ("run", "response"):
        wait_for_status(run, sandbox, task_id, status)
        assert said in run.log(task_id)
    if status == "in_progress":
        assert run.xcoms("response")["token_usage"]["try_number"] == 1


def test_a_restart_of_the_triggerer_ends_nothing(airflow: LocalAirflow, sandbox: Sandbox) -> None:
    run = start(airflow, "ended_deferred")
    for task_id in ("run", "response"):
        wait_until_followed(run, sandbox, task_id, "deferred")
    airflow.components["triggerer"].ask_to_stop()
    airflow.components["triggerer"].wait_for_end(20)
    airflow.start("triggerer")
    asked = sandbox.count("GET")
    airflow.wait_until("the new triggerer asks", lambda: sandbox.count("GET") > asked + 6)
    for task_id in ("run", "response"):
        assert list(made_by(sandbox, run, task_id).values()) == ["in_progress"]
        airflow.rest.set_state(run.dag_id, run.run_id, task_id, "failed")
        wait_for_status(run, sandbox, task_id, "cancelled")


THINKS = ((0.0, "queued"), (1.0, "in_progress"), (10.0, "requires_action"))
ANSWERS = Script(
    phases=((0.0, "queued"), (1.0, "in_progress"), (8.0, "completed")), steps=(Step(at=2.0, seconds=0.5),)
)


def rounds(count: int) -> Script:
    """A run that asks for the time so often, and thinks for ten seconds before it does."""
    calls = {"tool_calls": [function_call("get_time", {"city": "Oslo"})]}
    step = Step(type="tool_calls", at=9.5, details=calls)
    following = ANSWERS if count == 1 else rounds(count - 1)
    return Script(phases=THINKS, steps=(step,), after_outputs=following, expires_after=600)


def tasks_on_workers(airflow: LocalAirflow) -> int:
    """How many tasks hold a worker: processes that a worker of the scheduler has forked."""
    parents = {}
    for process_id in airflow.components["scheduler"].left_over():
        try:
            parents[process_id] = psutil.Process(process_id).ppid()
        except psutil.NoSuchProcess:
            continue
    return sum(parents.get(parents[process_id], -1) in parents for process_id in parents)


def test_three_rounds_go_through_on_one_try_and_hold_no_worker_in_between(
    airflow: LocalAirflow, sandbox: Sandbox
) -> None:
    sandbox.add_script("three_rounds", rounds(3))
    before_it = {request.number for request in sandbox.requests}
    run = start(airflow, "talks_to_functions", {"script": "three_rounds"})
    held: list[int] = []
    deferred = 0

    def ended() -> bool:
        nonlocal deferred
        before = run.states()
        count = tasks_on_workers(airflow)
        if set(before.values()) == {"deferred"} and set(run.states().values()) == {"deferred"}:
            deferred += 1
            held.append(count)
        return set(before.values()) <= {"success", "failed"}

    airflow.wait_until("both conversations have ended", ended, 300)
    assert set(run.states().values()) == {"success"}
    assert set(run.tries().values()) == {1}
    assert deferred >= 10
    # A worker's process may outlive, by a moment, the deferral that it has reported.
    assert sum(1 for count in held if count) <= 0.2 * len(held), held
    for task_id in ("run", "response"):
        usage = run.xcoms(task_id)["token_usage"]
        assert usage["rounds"] == 3
    assert len(run.xcoms("run")["token_usage"]["run_ids"]) == 1
    assert len(run.xcoms("response")["token_usage"]["run_ids"]) == 4
    sent = [request.body for request in sandbox.requests if request.number not in before_it]
    outputs = [output for body in sent for output in answers_in(body)]
    assert [output for output in outputs if output == "noon in Oslo"] == ["noon in Oslo"] * 6


def answers_in(body: Any) -> list[str]:
    if not isinstance(body, dict):
        return []
    given = (body.get("tool_outputs"), body.get("input"))
    return [one.get("output") for items in given if isinstance(items, list) for one in items]


def answer(run: DagRun, task_id: str, option: str, **fields: str) -> None:
    """Answer as a person does under "Required actions"."""
    run.airflow.wait_for_task(run.dag_id, run.run_id, task_id, {"awaiting_input"})
    path = f"/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances/{task_id}/-1/hitlDetails"
    body = {"chosen_options": [option], "params_input": fields}
    run.airflow.rest.call("PATCH", path, body=body)


@pytest.mark.parametrize(("option", "approve"), [("Approve", True), ("Reject", False)])
def test_an_approval_waits_for_a_person_and_goes_on(
    airflow: LocalAirflow, sandbox: Sandbox, option: str, approve: bool
) -> None:
    sandbox.add_script("slowly", {"base": "completed", "seconds": 10})
    sandbox.add_script("approval", {"base": "requires_approval", "seconds": 10, "after_outputs": "slowly"})
    run = start(airflow, "talks_to_a_person", {"script": "approval"})
    before = sandbox.requests[-1].number
    for task_id in ("run", "response"):
        answer(run, task_id, option)
    assert run.wait() == "success", run.states()
    assert set(run.tries().values()) == {1}
    later = [request for request in sandbox.requests if request.number > before]
    sent = [request.body for request in later if isinstance(request.body, dict)]
    approvals = [one["approve"] for body in sent for one in body.get("tool_approvals") or []]
    approvals += [
        item["approve"] for body in sent if isinstance(body.get("input"), list) for item in body["input"]
    ]
    assert approvals == [approve, approve]


def test_a_call_for_a_person_is_answered_by_one(airflow: LocalAirflow, sandbox: Sandbox) -> None:
    sandbox.add_script("a_call_each", rounds(1))
    run = start(airflow, "talks_to_a_person", {"script": "a_call_each"})
    for task_id in ("run", "response"):
        answer(run, task_id, "Submit", output="half past four")
    assert run.wait() == "success", run.states()
    given = [output for request in sandbox.requests for output in answers_in(request.body)]
    assert given.count("half past four") == 2
    for task_id in ("run", "response"):
        assert run.xcoms(task_id)["token_usage"]["rounds"] == 1
