"""Runs that tasks create, in a real Airflow: metrics, budgets, parsed answers, busy threads."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_openai_run.sandbox import Sandbox, Script, Step
from airflow_provider_openai_run.sandbox.scripts import function_call
from tests.system.dag_run import DagRun
from tests.system.local_airflow import LocalAirflow
from tests.system.metrics_collector import MetricsCollector, Point
from tests.system.run_owner import owner_of

pytestmark = pytest.mark.system

APIS = {"run": "assistants", "response": "responses"}
TOKENS_OF_A_STEP = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}


def expensive_rounds(count: int) -> Script:
    """Return a run that calls a function ``count`` times and uses 120 tokens before each call."""
    calls = {"tool_calls": [function_call("get_time", {"city": "Oslo"})]}
    call = Step(type="tool_calls", at=5, details=calls, usage=dict.fromkeys(TOKENS_OF_A_STEP, 0))
    message = Step(at=1, seconds=3, usage=TOKENS_OF_A_STEP)
    following = expensive_rounds(count - 1) if count > 1 else None
    phases = ((0, "queued"), (0.5, "in_progress"), (6, "requires_action"))
    return Script(phases=phases, steps=(message, call), after_outputs=following)


@pytest.fixture(scope="module", autouse=True)
def _scripts(sandbox: Sandbox) -> None:
    sandbox.add_script("completed_soon", {"base": "completed", "seconds": 6})
    sandbox.add_script("failed_soon", {"base": "failed", "seconds": 6})
    sandbox.add_script("three_expensive_rounds", expensive_rounds(3))
    city = {"at": 1, "seconds": 1, "text": '{"name": "Oslo", "inhabitants": 717710}'}
    prose = {**city, "text": "The answer is 42."}
    sandbox.add_script("prose", {"base": "completed", "seconds": 6, "steps": [prose]})
    sandbox.add_script("returns_a_city", {"base": "completed", "seconds": 6, "steps": [city]})


@pytest.fixture(scope="module")
def outcomes(airflow: LocalAirflow, busy: DagRun) -> DagRun:
    """Start it beside the DAG run of the busy threads, which was started before."""
    return DagRun.start(airflow, "owned_outcomes", {})


@pytest.fixture(scope="module")
def others(airflow: LocalAirflow, sandbox: Sandbox) -> dict[str, dict[str, Any]]:
    """Create a run of another client on each thread; two end soon, two never."""
    airflow.wait_for_dags(["busy_threads"])
    script = {"refused": "in_progress", "let_be": "in_progress", "awaited": "minute", "attached": "minute"}
    return {name: sandbox.create_run(script={"base": base, "seconds": 30}) for name, base in script.items()}


@pytest.fixture(scope="module")
def busy(airflow: LocalAirflow, others: dict[str, dict[str, Any]], _scripts: None) -> DagRun:
    threads = {name: other["thread_id"] for name, other in others.items()}
    return DagRun.start(airflow, "busy_threads", {"threads": threads})


def tag(run: DagRun, task_id: str) -> str:
    """Return the metadata value by which a task finds the runs it created."""
    return f"{run.dag_id}/{run.run_id}/{task_id}/-1"


def runs_on(sandbox: Sandbox, thread_id: str) -> dict[str, str]:
    """Return the statuses of a thread's runs by id, oldest first."""
    return {run["id"]: run["status"] for run in sandbox.list_runs(thread_id)}


@pytest.mark.parametrize("kind", APIS)
@pytest.mark.parametrize("status", ["completed", "failed"])
def test_an_ended_run_is_counted_and_timed_by_api_model_and_status(
    outcomes: DagRun, metrics: MetricsCollector, kind: str, status: str
) -> None:
    task_id = f"{kind}_{status}"
    outcomes.wait_for_task(task_id)
    tags = {"api": APIS[kind], "model": "gpt-counted", "status": status}

    def sent() -> dict[str, list[Point]]:
        names = ("ended", "tokens", "duration")
        return {name: metrics.points(f"airflow.openai_run.{name}", **tags) for name in names}

    outcomes.airflow.wait_until("its metrics were sent", lambda: bool(sent()["duration"]), 30, sent)
    (ended,), (duration,) = sent()["ended"], sent()["duration"]
    assert ended.count == 1
    assert duration.count == 1
    assert duration.total is not None
    # A response that failed has no time of its end; and the sandbox's clock may run ahead.
    least = 0 if (kind, status) == ("response", "failed") else 5_000
    assert least <= duration.total <= 60_000
    usage = outcomes.xcoms(task_id)["token_usage"]
    assert (usage["api"], usage["status"]) == (APIS[kind], status)
    tokens = usage["total_tokens_of_all_rounds"]
    assert [point.count for point in sent()["tokens"]] == ([tokens] if tokens else [])


@pytest.mark.parametrize("kind", APIS)
def test_a_spent_budget_fails_the_task_without_a_retry(outcomes: DagRun, sandbox: Sandbox, kind: str) -> None:
    task_id = f"{kind}_over_budget"
    ended = outcomes.wait_for_task(task_id)
    assert (ended["state"], ended["try_number"]) == ("failed", 1)
    assert "TokenBudgetSpentError" in outcomes.log(task_id)
    xcoms = outcomes.xcoms(task_id)
    assert xcoms["token_usage"]["rounds"] == 2
    assert xcoms["token_usage"]["total_tokens_of_all_rounds"] == 360
    assert xcoms["token_usage"]["try_number"] == 1
    followed = xcoms["token_usage"]["run_ids"]
    if kind == "run":
        assert len(followed) == 1
        outcomes.airflow.wait_until(
            "the run is cancelled", lambda: sandbox.state()["runs"][followed[0]] == "cancelled", 30
        )
    else:
        # The response that calls a function has ended: nothing to cancel, and no response follows.
        created = [
            response["id"]
            for response in sandbox.list_responses()
            if owner_of(response) == tag(outcomes, task_id)
        ]
        assert created == followed
        assert len(created) == 3


@pytest.mark.parametrize("kind", APIS)
def test_an_answer_is_parsed_with_the_pydantic_model(outcomes: DagRun, sandbox: Sandbox, kind: str) -> None:
    task_id = f"{kind}_parsed"
    assert outcomes.wait_for_task(task_id)["state"] == "success"
    xcoms = outcomes.xcoms(task_id)
    assert xcoms["answer"] == {"name": "Oslo", "inhabitants": 717710}
    assert xcoms["return_value"]["answer"] == xcoms["answer"]
    bodies = [request.body for request in sandbox.requests if isinstance(request.body, dict)]
    (request,) = [
        body for body in bodies if (body.get("metadata") or {}).get("airflow_task") == tag(outcomes, task_id)
    ]
    schema = request["response_format"]["json_schema"] if kind == "run" else request["text"]["format"]
    assert schema["name"] == "City"
    assert set(schema["schema"]["required"]) == {"name", "inhabitants"}


@pytest.mark.parametrize("kind", APIS)
def test_an_answer_that_does_not_fit_the_model_fails_the_task(outcomes: DagRun, kind: str) -> None:
    task_id = f"{kind}_unreadable"
    assert outcomes.wait_for_task(task_id)["state"] == "failed"
    xcoms = outcomes.xcoms(task_id)
    log = outcomes.log(task_id)
    assert "AnswerFormatError" in log
    assert f"The answer of run {xcoms['run_id']} does not match City: " in log
    assert xcoms["answer"] == "The answer is 42."
    assert (xcoms["status"], xcoms["token_usage"]["status"]) == ("completed", "completed")


def test_a_busy_thread_fails_the_task_before_a_request_costs_tokens(
    busy: DagRun, sandbox: Sandbox, others: dict[str, dict[str, Any]]
) -> None:
    other = others["refused"]
    assert busy.wait_for_task("run_refused")["state"] == "failed"
    assert f"run {other['id']} on {other['thread_id']} is active" in busy.log("run_refused")
    assert runs_on(sandbox, other["thread_id"]) == {other["id"]: "in_progress"}


def test_a_task_waits_for_a_busy_thread(
    busy: DagRun, sandbox: Sandbox, others: dict[str, dict[str, Any]]
) -> None:
    other = others["awaited"]
    assert busy.wait_for_task("run_awaited")["state"] == "success"
    xcoms = busy.xcoms("run_awaited")
    assert runs_on(sandbox, other["thread_id"]) == {other["id"]: "completed", xcoms["run_id"]: "completed"}
    assert xcoms["created_at"] >= other["created_at"] + 30
    assert xcoms["answer"] == "The answer is 42."


def test_a_task_attaches_to_the_active_run_of_a_thread(
    busy: DagRun, sandbox: Sandbox, others: dict[str, dict[str, Any]]
) -> None:
    other = others["attached"]
    assert busy.wait_for_task("run_attached")["state"] == "success"
    assert runs_on(sandbox, other["thread_id"]) == {other["id"]: "completed"}
    xcoms = busy.xcoms("run_attached")
    assert (xcoms["run_id"], xcoms["status"]) == (other["id"], "completed")
    assert xcoms["answer"] == "Done in 6 steps."


def test_a_timeout_does_not_cancel_an_attached_run(
    busy: DagRun, sandbox: Sandbox, others: dict[str, dict[str, Any]]
) -> None:
    other = others["let_be"]
    assert busy.wait_for_task("run_let_be")["state"] == "failed"
    assert "RunWaitTimeoutError" in busy.log("run_let_be")
    assert runs_on(sandbox, other["thread_id"]) == {other["id"]: "in_progress"}
