"""Calls that people answer under "Required actions", in a real Airflow."""

from __future__ import annotations

from typing import Any

import pytest
from airflow import __version__ as airflow_version

from airflow_provider_openai_run.sandbox import Sandbox, Script
from tests.owned_runs.call_scripts import approval, function, one_round
from tests.system.dag_run import DagRun
from tests.system.local_airflow import LocalAirflow

VERSION = tuple(map(int, airflow_version.split(".")[:2]))
#: Airflow 3.4 replaces the request of a task instance; before, it keeps the first one.
REPLACES_REQUESTS = VERSION >= (3, 4)

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(VERSION < (3, 3), reason="Airflow lets a task wait for human input from 3.3 on"),
]

SECONDS = 8.0
TASKS = ("run", "response")
END = Script(phases=((0.0, "queued"), (1.0, "in_progress"), (SECONDS, "completed")))
PAY = approval("mcpr_pay", "pay", {"amount": 5})
TIME = function("call_time", "get_time", {"city": "Oslo"})
#: A function of ``tool_handlers``, beside those that people answer.
WEATHER = function("call_weather", "get_weather", {"city": "Oslo"})
MIXED = one_round(approvals=[PAY], functions=[WEATHER, TIME], then=END, at=SECONDS)


def start(airflow: LocalAirflow, sandbox: Sandbox, script: Script, name: str) -> DagRun:
    sandbox.add_script(name, script)
    return DagRun.start(airflow, "human_input", {"script": name})


def form_of(run: DagRun, task_id: str) -> dict[str, Any]:
    """Return the form of a task as a person sees it, once the task waits for one."""
    run.wait_until(task_id, "awaiting_input")
    form: dict[str, Any] = run.airflow.rest.call("GET", form_path(run, task_id))
    return form


def form_path(run: DagRun, task_id: str) -> str:
    return f"/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances/{task_id}/-1/hitlDetails"


def respond(run: DagRun, task_id: str, option: str, **fields: Any) -> None:
    """Respond to a task's form as Airflow's UI does: with its hidden fields."""
    run.wait_as_a_person(task_id)
    hidden = {
        name: param["value"]
        for name, param in form_of(run, task_id)["params"].items()
        if "const" in param["schema"]
    }
    body = {"chosen_options": [option], "params_input": {**hidden, **fields}}
    run.airflow.rest.call("PATCH", form_path(run, task_id), body=body)


def wait_for_try(run: DagRun, task_id: str, number: int) -> None:
    """Wait until a task that was cleared has begun a try, and waits for a person or has ended."""
    states = {"awaiting_input", "failed", "success"}

    def reached() -> bool:
        return run.tries()[task_id] == number and run.states()[task_id] in states

    run.airflow.wait_until(
        f"try {number} of {task_id} is {states}", reached, 120, lambda: (run.tries(), run.states())
    )


def answers_since(sandbox: Sandbox, number: int) -> list[str | bool]:
    """Return the outputs and approvals that were sent after a request, sorted."""
    found: list[str | bool] = []
    for request in sandbox.requests:
        if request.number > number and isinstance(request.body, dict):
            lists = (request.body.get(key) for key in ("tool_outputs", "tool_approvals", "input"))
            items = [item for items in lists if isinstance(items, list) for item in items]
            found += [item[key] for item in items for key in ("output", "approve") if key in item]
    return sorted(found, key=str)


@pytest.mark.parametrize(("option", "approve"), [("Approve", True), ("Reject", False)])
def test_an_approval_waits_for_a_person_and_continues(
    airflow: LocalAirflow, sandbox: Sandbox, option: str, approve: bool
) -> None:
    before = sandbox.requests[-1].number if sandbox.requests else 0
    run = start(airflow, sandbox, one_round(approvals=[PAY], then=END, at=SECONDS), "approval")
    for task_id in TASKS:
        assert form_of(run, task_id)["subject"] == "May the model use pay of bank?"
        respond(run, task_id, option)
    run.wait_for_success()
    assert set(run.tries().values()) == {1}
    assert answers_since(sandbox, before) == [approve, approve]


def test_an_approval_and_a_function_of_one_round_share_a_form(
    airflow: LocalAirflow, sandbox: Sandbox
) -> None:
    before = sandbox.requests[-1].number if sandbox.requests else 0
    run = start(airflow, sandbox, MIXED, "mixed")
    for task_id in TASKS:
        form = form_of(run, task_id)
        assert form["options"] == ["Submit"]
        assert list(form["params"]) == ["form", "call_1", "call_2"]
        assert "**1. Output of `get_time`**" in form["body"]
        assert "**2. Approve `pay of bank`**" in form["body"]
        assert '"amount": 5' in form["body"]
        assert "get_weather" not in form["body"]
        progress = run.xcoms(task_id)["openai_run_progress"]["run"]
        assert "get_time" in str(progress["required_action"])
    # An answer of the wrong kind is requested once more.
    for task_id in TASKS:
        respond(run, task_id, "Submit", call_1="half past four", call_2="no")
    for task_id in TASKS:
        airflow.wait_until(
            f"{task_id} has read the answer",
            lambda task_id=task_id: "needs 'Approve' or 'Reject', not 'no'" in run.log(task_id),  # type: ignore[misc]
        )
        assert form_of(run, task_id)["body"] == form["body"]
        respond(run, task_id, "Submit", call_1="half past four", call_2="Reject")
    run.wait_for_success()
    assert set(run.tries().values()) == {1}
    outputs = [
        "half past four",
        "half past four",
        '{"weather": "rain in Oslo"}',
        '{"weather": "rain in Oslo"}',
    ]
    assert answers_since(sandbox, before) == [False, False, *outputs]
    for task_id in TASKS:
        assert run.xcoms(task_id)["token_usage"]["rounds"] == 1


def test_a_second_form_is_the_one_that_is_shown_or_the_task_fails(
    airflow: LocalAirflow, sandbox: Sandbox
) -> None:
    before = sandbox.requests[-1].number if sandbox.requests else 0
    second = one_round(functions=[TIME], then=END, at=SECONDS)
    run = start(airflow, sandbox, one_round(approvals=[PAY], then=second, at=SECONDS), "two_rounds")
    for task_id in TASKS:
        respond(run, task_id, "Approve")
    if REPLACES_REQUESTS:
        for task_id in TASKS:
            # The answer to the first form has resumed the task; a poll may still see it parked.
            airflow.wait_until(
                f"{task_id} has another form",
                lambda task_id=task_id: "get_time" in form_of(run, task_id)["subject"],  # type: ignore[misc]
            )
            respond(run, task_id, "Submit", call_1="half past four")
        run.wait_for_success()
        assert answers_since(sandbox, before) == [True, True, "half past four", "half past four"]
        return
    assert run.wait() == "failed"
    for task_id in TASKS:
        log = run.log(task_id)
        assert "HumanInputRequestError" in log
        assert "'May the model use pay of bank?'" in log
    assert run.xcoms("run")["cancel_reason"] == "unanswerable_request"
    assert answers_since(sandbox, before) == [True, True]


def test_a_cleared_task_never_shows_the_form_of_its_old_run(airflow: LocalAirflow, sandbox: Sandbox) -> None:
    run = start(airflow, sandbox, one_round(approvals=[PAY], then=END, at=SECONDS), "cleared")
    form_of(run, "response")
    sandbox.add_script("cleared", MIXED)
    airflow.rest.clear(run.dag_id, run.run_id, ["response"])
    wait_for_try(run, "response", 2)
    if REPLACES_REQUESTS:
        assert "get_time" in form_of(run, "response")["body"]
        return
    assert run.wait_for_task("response")["state"] == "failed"
    assert "earlier request of this task instance: 'May the model use pay of bank?'" in run.log("response", 2)
    # The same call of another run has the same form, which is the one that is shown.
    sandbox.add_script("cleared", one_round(approvals=[PAY], then=END, at=SECONDS))
    airflow.rest.clear(run.dag_id, run.run_id, ["response"])
    wait_for_try(run, "response", 3)
    respond(run, "response", "Approve")
    assert run.wait_for_task("response")["state"] == "success"
