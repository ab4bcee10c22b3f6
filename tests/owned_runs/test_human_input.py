"""Calls and approvals that a person answers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_openai_run.exceptions import (
    HumanInputAnswerError,
    HumanInputRequestError,
    RunRequiresActionError,
    RunWaitTimeoutError,
)
from airflow_provider_openai_run.operators._owned_run import OwnedRunOperator
from airflow_provider_openai_run.operators.openai_run import (
    OpenAICreateResponseOperator,
    OpenAICreateRunOperator,
)
from airflow_provider_openai_run.owned_runs import human_input
from airflow_provider_openai_run.progress import PROGRESS_KEY
from airflow_provider_openai_run.sandbox import Sandbox, Script
from tests.owned_runs.call_scripts import approval, function, one_round
from tests.owned_runs.fresh_runs import _runs_end_at_once  # noqa: F401 - a fixture
from tests.owned_runs.input_store import InputStore
from tests.owned_runs.task_attempts import TaskAttempts, bodies, watched

END = Script(phases=((0.0, "queued"), (1.0, "completed")))
PAY = approval("mcpr_pay", "pay", {"amount": 5})
TIME = function("call_time", "get_time", {"city": "Oslo"})
WEATHER = function("call_weather", "get_weather", {"city": "Oslo"})
MIXED = one_round(approvals=[PAY], functions=[TIME], then=END)


def input_store(monkeypatch: pytest.MonkeyPatch, *, replaces: bool) -> InputStore:
    if not human_input.is_available():
        pytest.skip("this Airflow cannot park a task")
    from airflow.sdk.execution_time import task_runner

    store = InputStore(replaces=replaces)
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", store, raising=False)
    return store


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> InputStore:
    """Keep the first request of a task instance, as Airflow 3.3 does."""
    return input_store(monkeypatch, replaces=False)


@pytest.fixture
def store_of_3_4(monkeypatch: pytest.MonkeyPatch) -> InputStore:
    """Replace the request of a task instance, as Airflow 3.4 does."""
    return input_store(monkeypatch, replaces=True)


def run_task(sandbox: Sandbox, **arguments: Any) -> OwnedRunOperator:
    options = {"human_tools": ("get_time", "get_date"), **arguments}
    thread = sandbox.create_thread()["id"]
    return OpenAICreateRunOperator(
        task_id="task", assistant_id="asst_1", thread_id=thread, deferrable=True, **options
    )


def response_task(sandbox: Sandbox, **arguments: Any) -> OwnedRunOperator:
    del sandbox
    options = {"human_tools": ("get_time", "get_date"), **arguments}
    return OpenAICreateResponseOperator(
        task_id="task", model="gpt-5.2", input="Hi", deferrable=True, **options
    )


BOTH = pytest.mark.parametrize("new_task", [run_task, response_task])


def wait_until_parked(attempts: TaskAttempts, sandbox: Sandbox, deferred: Any) -> Any:
    """Let a deferred task wait until it is parked, and return what it was parked with."""
    sandbox.clock.advance(1.5)
    ref = watched(deferred).ref
    return parked_after(attempts, deferred, {**ref.ids, "status": "requires_action"})


def run_until_parked(attempts: TaskAttempts, sandbox: Sandbox) -> Any:
    """Run until the task is parked, and return what it was parked with."""
    return wait_until_parked(attempts, sandbox, attempts.begin())


def parked_after(attempts: TaskAttempts, point: Any, event: dict[str, Any]) -> Any:
    """Resume a task, which is parked again, and return what it was parked with."""
    from airflow.sdk.exceptions import TaskAwaitingInput

    with pytest.raises(TaskAwaitingInput) as parked:
        attempts.resume(point, event)
    # Airflow keeps the arguments as JSON.
    parked.value.kwargs = json.loads(json.dumps(parked.value.kwargs))
    return parked.value


def chosen(option: str, **fields: Any) -> dict[str, Any]:
    return {"chosen_options": [option], "params_input": fields}


def submitted(sandbox: Sandbox) -> dict[str, Any]:
    """Return the outputs and approvals that were submitted last, by call id, whatever the API."""
    runs, responses = bodies(sandbox, "/submit_tool_outputs"), bodies(sandbox, "/responses")
    if runs:
        outputs = {item["tool_call_id"]: item["output"] for item in runs[-1].get("tool_outputs") or ()}
        approvals = {item["tool_call_id"]: item["approve"] for item in runs[-1].get("tool_approvals") or ()}
        return outputs | approvals
    items = responses[-1]["input"]
    outputs = {item["call_id"]: item["output"] for item in items if "output" in item}
    return outputs | {item["approval_request_id"]: item["approve"] for item in items if "approve" in item}


def approval_id(answers: dict[str, Any]) -> str:
    """Return the id of the only call that was approved or rejected."""
    [call_id] = [call_id for call_id, answer in answers.items() if isinstance(answer, bool)]
    return call_id


def test_a_person_sees_the_call_that_needs_approval(sandbox: Sandbox, store: InputStore) -> None:
    sandbox.set_default_script("requires_approval")
    parked = run_until_parked(TaskAttempts(run_task(sandbox, timeout=60)), sandbox)
    [request] = store.requests
    assert request["options"] == ["Approve", "Reject"]
    assert request["subject"] == "May the model use roll of dice?"
    assert '{\n  "dice": "2d6"\n}' in request["body"]
    assert parked.method_name == "execute_answered"
    assert 0 < parked.timeout.total_seconds() <= 60


@BOTH
@pytest.mark.parametrize(("option", "approve"), [("Approve", True), ("Reject", False)])
def test_the_approval_is_submitted_to_the_run(
    sandbox: Sandbox, store: InputStore, new_task: Any, option: str, approve: bool
) -> None:
    sandbox.set_default_script("requires_approval")
    attempts = TaskAttempts(new_task(sandbox))
    attempts.resume(run_until_parked(attempts, sandbox), chosen(option))
    assert list(submitted(sandbox).values()) == [approve]


@BOTH
def test_all_calls_of_a_round_are_in_one_form(
    sandbox: Sandbox, store: InputStore, caplog: pytest.LogCaptureFixture, new_task: Any
) -> None:
    caplog.set_level("INFO")
    sandbox.set_default_script(MIXED)
    attempts = TaskAttempts(new_task(sandbox))
    parked = run_until_parked(attempts, sandbox)
    [request] = store.requests
    assert request["options"] == ["Submit"]
    titles = {name: param["schema"].get("title") for name, param in request["params"].items()}
    assert titles == {"form": None, "call_1": "1. get_time", "call_2": "2. pay of bank"}
    assert request["params"]["call_2"]["schema"]["enum"] == ["Approve", "Reject"]
    assert "**1. Output of `get_time`**" in request["body"]
    assert "**2. Approve `pay of bank`**" in request["body"]
    respondent = {"responded_by_user": {"id": "1", "name": "Ada"}}
    attempts.resume(parked, chosen("Submit", call_1="noon", call_2="Reject") | respondent)
    answers = submitted(sandbox)
    call_id = approval_id(answers)
    assert answers == {"call_time": "noon", call_id: False}
    assert f"Ada: get_time (call_time) answered, pay of bank ({call_id}) rejected" in caplog.text


@BOTH
def test_functions_are_called_once_people_have_answered(
    sandbox: Sandbox, store: InputStore, new_task: Any
) -> None:
    cities: list[str] = []

    def get_weather(city: str) -> str:
        cities.append(city)
        return "rain"

    sandbox.set_default_script(one_round(approvals=[PAY], functions=[WEATHER, TIME], then=END))
    attempts = TaskAttempts(new_task(sandbox, tool_handlers={"get_weather": get_weather}))
    parked = run_until_parked(attempts, sandbox)
    assert "get_weather" not in str(store.requests)
    assert cities == []
    attempts.resume(parked, chosen("Submit", call_1="noon", call_2="Approve"))
    answers = submitted(sandbox)
    assert answers == {"call_weather": "rain", "call_time": "noon", approval_id(answers): True}
    assert cities == ["Oslo"]


SECOND = one_round(functions=[function("call_date", "get_date", {})], then=END)
TWO_ROUNDS = one_round(approvals=[PAY], then=SECOND)


@BOTH
def test_a_second_request_is_refused_where_the_first_would_be_shown(
    sandbox: Sandbox, store: InputStore, new_task: Any
) -> None:
    sandbox.set_default_script(TWO_ROUNDS)
    attempts = TaskAttempts(new_task(sandbox))
    deferred = attempts.resume(run_until_parked(attempts, sandbox), chosen("Approve"))
    sandbox.clock.advance(1.5)
    ref = watched(deferred).ref
    with pytest.raises(HumanInputRequestError) as failed:
        attempts.resume(deferred, {**ref.ids, "status": "requires_action"})
    message = str(failed.value)
    assert "get_date (call_date)" in message
    assert "'May the model use pay of bank?'. Airflow 3.4 replaces it" in message
    assert "tool_handlers" in message
    assert isinstance(failed.value, AirflowFailException)
    assert failed.value.run_id == ref.run_id


def test_a_run_whose_request_cannot_be_shown_is_cancelled(sandbox: Sandbox, store: InputStore) -> None:
    sandbox.set_default_script(TWO_ROUNDS)
    attempts = TaskAttempts(run_task(sandbox))
    deferred = attempts.resume(run_until_parked(attempts, sandbox), chosen("Approve"))
    sandbox.clock.advance(1.5)
    with pytest.raises(HumanInputRequestError, match=r"The run was cancelled\.$") as failed:
        attempts.resume(deferred, {**watched(deferred).ref.ids, "status": "requires_action"})
    assert failed.value.run_left_running is False
    assert attempts.pushed["cancel_reason"] == "unanswerable_request"


@BOTH
def test_a_second_request_replaces_the_first_where_airflow_can(
    sandbox: Sandbox, store_of_3_4: InputStore, new_task: Any
) -> None:
    sandbox.set_default_script(TWO_ROUNDS)
    attempts = TaskAttempts(new_task(sandbox))
    deferred = attempts.resume(run_until_parked(attempts, sandbox), chosen("Approve"))
    second = wait_until_parked(attempts, sandbox, deferred)
    assert [request["options"] for request in store_of_3_4.requests] == [["Approve", "Reject"], ["Submit"]]
    attempts.resume(second, chosen("Submit", call_1="Monday"))
    assert submitted(sandbox)["call_date"] == "Monday"


@BOTH
def test_equal_requests_of_two_rounds_need_no_replacement(
    sandbox: Sandbox, store: InputStore, new_task: Any
) -> None:
    again = approval("mcpr_pay_2", "pay", {"amount": 5})
    sandbox.set_default_script(one_round(approvals=[PAY], then=one_round(approvals=[again], then=END)))
    attempts = TaskAttempts(new_task(sandbox))
    deferred = attempts.resume(run_until_parked(attempts, sandbox), chosen("Approve"))
    second = wait_until_parked(attempts, sandbox, deferred)
    attempts.resume(second, chosen("Reject"))
    assert list(submitted(sandbox).values()) == [False]


def test_a_cleared_task_is_refused_where_its_old_request_is_shown(
    sandbox: Sandbox, store: InputStore
) -> None:
    sandbox.set_default_script(MIXED)
    attempts = TaskAttempts(response_task(sandbox))
    run_until_parked(attempts, sandbox)
    attempts.clears = 1
    sandbox.set_default_script(one_round(approvals=[approval("mcpr_2", "pay", {"amount": 50_000})], then=END))
    deferred = attempts.begin()
    sandbox.clock.advance(1.5)
    with pytest.raises(
        HumanInputRequestError, match="'The model waits for 2 answers: get_time, pay of bank'"
    ):
        attempts.resume(deferred, {**watched(deferred).ref.ids, "status": "requires_action"})


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"call_1": "noon"}, "pay of bank (mcpr_pay), answered in field 'call_2', needs 'Approve'"),
        ({"call_1": "noon"}, "'Approve' or 'Reject', not None"),
        ({"call_1": "noon", "call_2": "no"}, "not 'no'"),
        ({"call_1": "noon", "call_2": True}, "not True"),
        ({"call_2": "Approve"}, "get_time (call_time), answered in field 'call_1', has no output"),
        ({"call_1": " ", "call_2": "Approve"}, "has no output"),
        ({"call_1": float("nan"), "call_2": "Approve"}, "needs text or JSON, not nan"),
        ({"call_1": "noon", "call_2": "Approve", "form": "1f0e"}, "a form that was shown before"),
    ],
)
def test_an_answer_that_does_not_fit_is_requested_again(
    sandbox: Sandbox, store: InputStore, caplog: pytest.LogCaptureFixture, fields: Any, reason: str
) -> None:
    sandbox.set_default_script(MIXED)
    attempts = TaskAttempts(run_task(sandbox))
    parked = run_until_parked(attempts, sandbox)
    again = parked_after(attempts, parked, chosen("Submit", **fields))
    assert reason in caplog.text
    assert store.requests[0] == store.requests[1]
    assert sandbox.count("POST", "submit") == 0
    attempts.resume(again, chosen("Submit", call_1={"hour": 12}, call_2="Approve"))
    assert submitted(sandbox) == {"call_time": '{"hour": 12}', "mcpr_pay": True}


@pytest.mark.parametrize(
    "event", [chosen("Submit"), {"chosen_options": []}, {"chosen_options": ["Approve", "Reject"]}]
)
def test_only_one_button_approves(sandbox: Sandbox, store: InputStore, event: dict[str, Any]) -> None:
    sandbox.set_default_script("requires_approval")
    attempts = TaskAttempts(run_task(sandbox))
    again = parked_after(attempts, run_until_parked(attempts, sandbox), event)
    attempts.resume(again, chosen("Reject"))
    assert submitted(sandbox) == {"call_roll": False}


def test_the_third_wrong_answer_fails_the_task(sandbox: Sandbox, store: InputStore) -> None:
    sandbox.set_default_script(one_round(functions=[TIME], then=END))
    attempts = TaskAttempts(run_task(sandbox))
    parked = run_until_parked(attempts, sandbox)
    for _ in range(2):
        parked = parked_after(attempts, parked, chosen("Submit"))
    with pytest.raises(HumanInputAnswerError, match=r"3 answers .* did not fit: get_time \(call_time\)"):
        attempts.resume(parked, chosen("Submit"))
    assert attempts.pushed["cancel_reason"] == "wrong_human_input"


@BOTH
def test_the_page_shows_what_a_parked_task_waits_for(
    sandbox: Sandbox, store: InputStore, new_task: Any
) -> None:
    sandbox.set_default_script(MIXED)
    attempts = TaskAttempts(new_task(sandbox))
    run_until_parked(attempts, sandbox)
    progress = attempts.pushed[PROGRESS_KEY]
    assert "get_time" in str(progress["run"]["required_action"])
    assert progress["run"]["status"] in ("requires_action", "completed")


def test_a_form_of_version_0_1_0_is_read(sandbox: Sandbox, store: InputStore) -> None:
    sandbox.set_default_script(MIXED)
    attempts = TaskAttempts(run_task(sandbox))
    parked = run_until_parked(attempts, sandbox)
    parked.kwargs = {"continuation": parked.kwargs["continuation"], "call_id": "call_time"}
    second = parked_after(attempts, parked, chosen("Submit", output="noon"))
    second.kwargs = {"continuation": second.kwargs["continuation"], "call_id": "mcpr_pay"}
    attempts.resume(second, chosen("Approve"))
    assert submitted(sandbox) == {"call_time": "noon", "mcpr_pay": True}


@pytest.mark.parametrize(
    ("call_id", "event"), [("call_time", chosen("Approve")), ("mcpr_pay", chosen("Submit", output="no"))]
)
def test_an_answer_of_the_wrong_kind_to_an_old_form_counts_for_nothing(
    sandbox: Sandbox, store: InputStore, call_id: str, event: dict[str, Any]
) -> None:
    sandbox.set_default_script(MIXED)
    attempts = TaskAttempts(run_task(sandbox))
    parked = run_until_parked(attempts, sandbox)
    parked.kwargs = {"continuation": parked.kwargs["continuation"], "call_id": call_id}
    parked_after(attempts, parked, event)
    assert sandbox.count("POST", "submit") == 0


def test_a_request_without_response_in_time_cancels_the_run(sandbox: Sandbox, store: InputStore) -> None:
    sandbox.set_default_script({"base": "requires_action", "cancel_seconds": 0})
    attempts = TaskAttempts(run_task(sandbox, human_tools=("get_weather",), timeout=30))
    parked = run_until_parked(attempts, sandbox)
    with pytest.raises(RunWaitTimeoutError, match="No person responded"):
        attempts.resume(parked, {"error": "The response timeout has passed.", "error_type": "timeout"})
    assert set(sandbox.state()["runs"].values()) == {"cancelled"}
    assert attempts.pushed["cancel_reason"] == "no_human_input"


def test_an_airflow_without_human_input_fails_and_names_the_call(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(human_input, "is_available", lambda: False)
    sandbox.set_default_script("requires_approval")
    attempts = TaskAttempts(run_task(sandbox))
    deferred = attempts.begin()
    sandbox.clock.advance(1.5)
    ref = watched(deferred).ref
    with pytest.raises(RunRequiresActionError, match="roll"):
        attempts.resume(deferred, {**ref.ids, "status": "requires_action"})
