"""What a real Airflow shows of the runs its tasks made: metrics, budgets, parsed answers, busy threads."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_openai_run.sandbox import Sandbox, Script, Step
from airflow_provider_openai_run.sandbox.scripts import function_call
from tests.system.dag_run import DagRun
from tests.system.local_airflow import LocalAirflow
from tests.system.metrics_collector import MetricsCollector, Point

pytestmark = pytest.mark.system

APIS = {"run": "Assistants", "response": "Responses"}
TOKENS_OF_A_STEP = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}


def dear_rounds(count: int) -> Script:
    """A run that thinks for 120 tokens and then asks for the time, so many times."""
    calls = {"tool_calls": [function_call("get_time", {"city": "Oslo"})]}
    asks = Step(type="tool_calls", at=5, details=calls, usage=dict.fromkeys(TOKENS_OF_A_STEP, 0))
    thinks = Step(at=1, seconds=3, usage=TOKENS_OF_A_STEP)
    following = dear_rounds(count - 1) if count > 1 else None
    phases = ((0, "queued"), (0.5, "in_progress"), (6, "requires_action"))
    return Script(phases=phases, steps=(thinks, asks), after_outputs=following)


@pytest.fixture(scope="module", autouse=True)
def _scripts(sandbox: Sandbox) -> None:
    sandbox.add_script("completed_soon", {"base": "completed", "seconds": 6})
    sandbox.add_script("failed_soon", {"base": "failed", "seconds": 6})
    sandbox.add_script("three_dear_rounds", dear_rounds(3))
    city = {"at": 1, "seconds": 1, "text": '{"name": "Oslo", "inhabitants": 717710}'}
    prose = {**city, "text": "The answer is 42."}
    sandbox.add_script("prose", {"base": "completed", "seconds": 6, "steps": [prose]})
    sandbox.add_script("tells_of_a_city", {"base": "completed", "seconds": 6, "steps": [city]})


@pytest.fixture(scope="module")
def outcomes(airflow: LocalAirflow, busy: DagRun) -> DagRun:
    """Goes on beside the DAG run of the busy threads, which was started before."""
    return DagRun.start(airflow, "owned_outcomes", {})


@pytest.fixture(scope="module")
def others(airflow: LocalAirflow, sandbox: Sandbox) -> dict[str, dict[str, Any]]:
    """A run of somebody else's on each thread; two end soon, two not at all."""
    airflow.wait_for_dags(["busy_threads"])
    script = {"refused": "in_progress", "let_be": "in_progress", "awaited": "minute", "attached": "minute"}
    return {name: sandbox.create_run(script={"base": base, "seconds": 30}) for name, base in script.items()}


@pytest.fixture(scope="module")
def busy(airflow: LocalAirflow, others: dict[str, dict[str, Any]], _scripts: None) -> DagRun:
    threads = {name: other["thread_id"] for name, other in others.items()}
    return DagRun.start(airflow, "busy_threads", {"threads": threads})


def mark(run: DagRun, task_id: str) -> str:
    """By what a task knows the runs it has made."""
    return f"{run.dag_id}/{run.run_id}/{task_id}/-1"


def runs_on(sandbox: Sandbox, thread_id: str) -> dict[str, str]:
    """The runs of a thread, oldest first, with their statuses."""
    return {run["id"]: run["status"] for run in sandbox.list_runs(thread_id)}


@pytest.mark.parametrize("kind", APIS)
@pytest.mark.parametrize("status", ["completed", "failed"])
def test_the_end_of_a_run_is_counted_and_timed_by_api_model_and_status(
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
    # A response that failed does not say when; and the sandbox's clock may run ahead.
    least = 0 if (kind, status) == ("response", "failed") else 5_000
    assert least <= duration.total <= 60_000
    used = outcomes.xcoms(task_id)["token_usage"]
    assert (used["api"], used["status"]) == (APIS[kind], status)
    tokens = used["total_tokens_of_all_rounds"]
    assert [point.count for point in sent()["tokens"]] == ([tokens] if tokens else [])


@pytest.mark.parametrize("kind", APIS)
def test_a_spent_budget_ends_the_run_and_the_task_without_retries(
    outcomes: DagRun, sandbox: Sandbox, kind: str
) -> None:
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
        # What asks has ended, so that there is nothing to cancel; nothing was asked for after it.
        made = [
            response["id"]
            for response in sandbox.list_responses()
            if response["metadata"].get("airflow_task") == mark(outcomes, task_id)
        ]
        assert made == followed
        assert len(made) == 3


@pytest.mark.parametrize("kind", APIS)
def test_an_answer_is_read_as_the_model_says(outcomes: DagRun, sandbox: Sandbox, kind: str) -> None:
    task_id = f"{kind}_parsed"
    assert outcomes.wait_for_task(task_id)["state"] == "success"
    xcoms = outcomes.xcoms(task_id)
    assert xcoms["answer"] == {"name": "Oslo", "inhabitants": 717710}
    assert xcoms["return_value"]["answer"] == xcoms["answer"]
    bodies = [request.body for request in sandbox.requests if isinstance(request.body, dict)]
    (asked,) = [
        body for body in bodies if (body.get("metadata") or {}).get("airflow_task") == mark(outcomes, task_id)
    ]
    wanted = asked["response_format"]["json_schema"] if kind == "run" else asked["text"]["format"]
    assert wanted["name"] == "City"
    assert set(wanted["schema"]["required"]) == {"name", "inhabitants"}


@pytest.mark.parametrize("kind", APIS)
def test_an_answer_of_another_shape_fails_and_is_shown(outcomes: DagRun, kind: str) -> None:
    task_id = f"{kind}_unreadable"
    assert outcomes.wait_for_task(task_id)["state"] == "failed"
    xcoms = outcomes.xcoms(task_id)
    log = outcomes.log(task_id)
    assert "AnswerFormatError" in log
    assert f"The answer of run {xcoms['run_id']} is no City: " in log
    assert xcoms["answer"] == "The answer is 42."
    assert (xcoms["status"], xcoms["token_usage"]["status"]) == ("completed", "completed")


def test_a_busy_thread_refuses_before_anything_is_spent(
    busy: DagRun, sandbox: Sandbox, others: dict[str, dict[str, Any]]
) -> None:
    other = others["refused"]
    assert busy.wait_for_task("run_refused")["state"] == "failed"
    assert f"run {other['id']} on {other['thread_id']} is active" in busy.log("run_refused")
    assert runs_on(sandbox, other["thread_id"]) == {other["id"]: "in_progress"}


def test_a_busy_thread_is_waited_for(
    busy: DagRun, sandbox: Sandbox, others: dict[str, dict[str, Any]]
) -> None:
    other = others["awaited"]
    assert busy.wait_for_task("run_awaited")["state"] == "success"
    xcoms = busy.xcoms("run_awaited")
    assert runs_on(sandbox, other["thread_id"]) == {other["id"]: "completed", xcoms["run_id"]: "completed"}
    assert xcoms["created_at"] >= other["created_at"] + 30
    assert xcoms["answer"] == "The answer is 42."


def test_the_run_that_keeps_a_thread_busy_is_followed(
    busy: DagRun, sandbox: Sandbox, others: dict[str, dict[str, Any]]
) -> None:
    other = others["attached"]
    assert busy.wait_for_task("run_attached")["state"] == "success"
    assert runs_on(sandbox, other["thread_id"]) == {other["id"]: "completed"}
    xcoms = busy.xcoms("run_attached")
    assert (xcoms["run_id"], xcoms["status"]) == (other["id"], "completed")
    assert xcoms["answer"] == "Done in 6 steps."


def test_a_run_that_is_only_followed_outlives_the_task(
    busy: DagRun, sandbox: Sandbox, others: dict[str, dict[str, Any]]
) -> None:
    other = others["let_be"]
    assert busy.wait_for_task("run_let_be")["state"] == "failed"
    assert "RunWaitTimeoutError" in busy.log("run_let_be")
    assert runs_on(sandbox, other["thread_id"]) == {other["id"]: "in_progress"}
