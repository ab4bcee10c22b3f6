"""A sensor that waits for many runs has the same result in every mode."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSensorTimeout
from airflow.sdk import DAG
from airflow.sdk.execution_time.lazy_sequence import LazyXComSequence

from airflow_provider_openai_run.exceptions import (
    InvalidRunReferenceError,
    RunAuthenticationError,
    RunFailedError,
    RunNotFoundError,
    RunWaitTimeoutError,
)
from airflow_provider_openai_run.operators.openai_run import OpenAICreateResponseOperator
from airflow_provider_openai_run.run_list_progress import RUN_LIST_PROGRESS_KEY
from airflow_provider_openai_run.sandbox import Sandbox
from airflow_provider_openai_run.sensors._run_list import run_ids_of
from airflow_provider_openai_run.sensors.openai_run import OpenAIRunSensor
from airflow_provider_openai_run.triggers.openai_run_list import OpenAIRunListTrigger
from tests.airflow_task import AirflowTask
from tests.fake_clock import FakeClock
from tests.sandbox_fixtures import Connect
from tests.sensors.conftest import MODES, POLL_OPTIONS, TIMEOUT

ENDS = {"base": "completed", "seconds": 60}
FAILS = {"base": "failed", "seconds": 30}

MakeListSensor = Callable[..., AirflowTask]


@pytest.fixture
def make_sensor(sandbox: Sandbox, fake_clock: FakeClock) -> MakeListSensor:
    def make(run_id: Any, mode: str, *, params: Any = None, **options: Any) -> AirflowTask:
        arguments = {"timeout": TIMEOUT, **POLL_OPTIONS, "run_id": run_id, **MODES[mode], **options}
        return AirflowTask(lambda: OpenAIRunSensor(task_id="wait", **arguments), fake_clock, params=params)

    return make


def responses(sandbox: Sandbox, *scripts: Any) -> list[str]:
    return [sandbox.create_response(script=script)["id"] for script in scripts]


def test_all_runs_have_to_end(sandbox: Sandbox, make_sensor: MakeListSensor, mode: str) -> None:
    run_ids = responses(sandbox, ENDS, "instant", ENDS)
    end = make_sensor(run_ids, mode).run_to_end()
    assert (end.state, end.error) == ("success", None)
    assert end.xcoms["return_value"] == {
        "counts": {"completed": 3},
        "statuses": dict.fromkeys(run_ids, "completed"),
    }
    assert {request.method for request in sandbox.requests} == {"GET"}


@pytest.mark.parametrize("soft_fail", [False, True])
def test_a_failed_run_fails_the_wait_for_all(
    sandbox: Sandbox, make_sensor: MakeListSensor, mode: str, soft_fail: bool
) -> None:
    run_ids = responses(sandbox, "instant", FAILS, "in_progress")
    end = make_sensor(run_ids, mode, soft_fail=soft_fail).run_to_end()
    assert end.state == ("skipped" if soft_fail else "failed")
    if not soft_fail:
        assert isinstance(end.error, RunFailedError)
        assert isinstance(end.error, AirflowFailException)
        assert "1 cannot end in an accepted status any more" in end.error.message
        assert f"run {run_ids[1]} ended as failed" in end.error.message


@pytest.mark.parametrize("wait_for", ["any", 1])
def test_any_run_is_enough(sandbox: Sandbox, make_sensor: MakeListSensor, mode: str, wait_for: Any) -> None:
    run_ids = responses(sandbox, FAILS, ENDS, "in_progress")
    end = make_sensor(run_ids, mode, wait_for=wait_for).run_to_end()
    assert end.state == "success"
    statuses = end.xcoms["return_value"]["statuses"]
    assert list(statuses) == run_ids
    assert (statuses[run_ids[0]], statuses[run_ids[1]]) == ("failed", "completed")
    # A rescheduled sensor has not polled those after the one that was enough.
    assert statuses[run_ids[2]] in {"in_progress", None}


def test_accepted_statuses_count(sandbox: Sandbox, make_sensor: MakeListSensor, mode: str) -> None:
    run_ids = responses(sandbox, FAILS, ENDS)
    end = make_sensor(run_ids, mode, accepted_statuses=("completed", "failed")).run_to_end()
    assert end.xcoms["return_value"]["counts"] == {"failed": 1, "completed": 1}


@pytest.mark.parametrize("soft_fail", [False, True])
def test_the_timeout_ends_the_wait(
    sandbox: Sandbox, make_sensor: MakeListSensor, mode: str, soft_fail: bool
) -> None:
    run_ids = responses(sandbox, "instant", "in_progress")
    end = make_sensor(run_ids, mode, soft_fail=soft_fail).run_to_end()
    assert end.state == ("skipped" if soft_fail else "failed")
    if not soft_fail:
        assert isinstance(end.error, RunWaitTimeoutError)
        assert isinstance(end.error, AirflowSensorTimeout)
        assert "1 completed, 1 in_progress" in end.error.message


def test_an_unknown_run_is_retried(sandbox: Sandbox, make_sensor: MakeListSensor, mode: str) -> None:
    run_ids = [*responses(sandbox, ENDS), "resp_unknown"]
    end = make_sensor(run_ids, mode, retries=1).run_to_end()
    assert end.state == "up_for_retry"
    assert isinstance(end.error, RunNotFoundError)


def test_refused_credentials_are_retried(
    sandbox: Sandbox, make_sensor: MakeListSensor, mode: str, connect: Any
) -> None:
    run_ids = responses(sandbox, ENDS, ENDS)
    connect(password="another-key-that-is-wrong")
    end = make_sensor(run_ids, mode, retries=1, wait_for="any").run_to_end()
    assert end.state == "up_for_retry"
    assert isinstance(end.error, RunAuthenticationError)


def test_of_an_empty_list_all_have_ended_without_a_request(
    make_sensor: MakeListSensor, mode: str, connect: Connect
) -> None:
    connect(host="http://127.0.0.1:9/v1")
    end = make_sensor([], mode).run_to_end()
    assert (end.state, end.xcoms["return_value"]) == ("success", {"counts": {}, "statuses": {}})


def test_of_an_empty_list_none_will_ever_end(make_sensor: MakeListSensor, mode: str) -> None:
    end = make_sensor("{{ params.ids }}", mode, params={"ids": "[]"}, wait_for="any").run_to_end()
    assert "wait_for='any' needs more runs than run_id has: 0" in str(end.error)


def test_a_template_may_be_the_json_of_a_list(
    sandbox: Sandbox, make_sensor: MakeListSensor, mode: str
) -> None:
    run_ids = responses(sandbox, "instant", "instant")
    end = make_sensor("{{ params.ids | tojson }}", mode, params={"ids": run_ids}).run_to_end()
    assert end.xcoms["return_value"]["counts"] == {"completed": 2}


def test_a_template_that_is_no_json_names_the_way_out(sandbox: Sandbox, make_sensor: MakeListSensor) -> None:
    end = make_sensor("{{ params.ids }}", "poke", params={"ids": ["resp_1"]}).run_to_end()
    assert isinstance(end.error, InvalidRunReferenceError)
    assert "{{ … | tojson }}" in end.error.message


def test_items_may_be_templates(sandbox: Sandbox, make_sensor: MakeListSensor) -> None:
    run_ids = responses(sandbox, "instant", "instant")
    end = make_sensor(
        [run_ids[0], "{{ params.other }}"], "deferrable", params={"other": run_ids[1]}
    ).run_to_end()
    assert list(end.xcoms["return_value"]["statuses"]) == run_ids


def test_a_template_that_renders_one_id_waits_for_one_run(
    sandbox: Sandbox, make_sensor: MakeListSensor, mode: str
) -> None:
    (run_id,) = responses(sandbox, "instant")
    end = make_sensor("{{ params.id }}", mode, params={"id": run_id}).run_to_end()
    assert end.xcoms["return_value"]["run_id"] == run_id


def test_a_deferred_list_does_not_poll_on_the_worker(sandbox: Sandbox, make_sensor: MakeListSensor) -> None:
    end = make_sensor(responses(sandbox, "instant", "instant"), "deferrable").begin()
    assert end.state == "deferred"
    assert sandbox.requests == []
    assert end.message.trigger_kwargs["run_ids"]


def test_an_event_about_other_runs_defers_again(sandbox: Sandbox, make_sensor: MakeListSensor) -> None:
    task = make_sensor(responses(sandbox, "instant", "instant"), "deferrable")
    deferred = task.begin()
    event = {"total": 1, "statuses": {"failed": "0"}, "digest": "of-others", "error": None}
    again = task.resume(deferred, "execute_list_complete", {**deferred.message.next_kwargs, "event": event})
    assert again.state == "deferred"
    assert task.advance(again).state == "success"


def test_the_progress_is_pushed(sandbox: Sandbox, make_sensor: MakeListSensor, mode: str) -> None:
    run_ids = responses(sandbox, "instant", FAILS)
    end = make_sensor(run_ids, mode).run_to_end()
    progress = end.xcoms[RUN_LIST_PROGRESS_KEY]
    assert (progress["total"], progress["counts"]) == (2, {"completed": 1, "failed": 1})
    assert [row["run_id"] for row in progress["runs"]] == [run_ids[1], run_ids[0]]
    assert progress["runs"][0]["error"]


def test_the_progress_says_where_the_runs_are_in_the_console(
    sandbox: Sandbox, make_sensor: MakeListSensor, mode: str, connect: Connect
) -> None:
    connect(extra={"run_link_template": "https://console.example/runs/{run_id}"})
    task = make_sensor(responses(sandbox, "instant"), mode)
    attempt = task.begin()
    if mode == "deferrable":
        assert attempt.message.trigger_kwargs["progress_base"]["run_url"].endswith("/runs/{run_id}")
    else:
        assert attempt.xcoms[RUN_LIST_PROGRESS_KEY]["run_url"] == "https://console.example/runs/{run_id}"


def test_without_xcoms_nothing_is_pushed(sandbox: Sandbox, make_sensor: MakeListSensor, mode: str) -> None:
    end = make_sensor(responses(sandbox, "instant"), mode, do_xcom_push=False).run_to_end()
    assert (end.state, end.xcoms) == ("success", {})


@pytest.mark.parametrize("wait_for", ["some", 0, -1, True, 1.5, None])
def test_a_wrong_wait_for_is_refused_when_the_dag_is_parsed(wait_for: Any) -> None:
    with pytest.raises(ValueError, match="wait_for must be 'all', 'any' or a number of runs"):
        OpenAIRunSensor(task_id="wait", run_id="{{ params.ids }}", wait_for=wait_for)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"run_id": ["a", "a"]}, "run_id has 'a' twice"),
        ({"run_id": ["a", None]}, r"run_id\[1\] must be a string, not NoneType"),
        ({"run_id": ["a", "b"], "wait_for": 3}, "wait_for=3 needs more runs than run_id has: 2"),
        ({"run_id": ["a"], "api": "unknown"}, "api must be one of"),
        ({"run_id": ["a"], "on_requires_action": "answer"}, "on_requires_action='answer' is for"),
    ],
)
def test_wrong_lists_are_refused_when_the_dag_is_parsed(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OpenAIRunSensor(task_id="wait", **arguments)


def test_a_list_may_have_outputs_of_tasks() -> None:
    with DAG("dag", schedule=None):
        created = OpenAICreateResponseOperator(task_id="create", model="gpt-5.2", input="Hi")
        output: Any = created.output
        sensor = OpenAIRunSensor(task_id="wait", run_id=[output["id"], "resp_2"])
        assert sensor.upstream_task_ids == {"create"}
        with pytest.raises(InvalidRunReferenceError, match=r"pass .output\['id'\]"):
            OpenAIRunSensor(task_id="whole", run_id=[output])


def test_the_output_of_mapped_tasks_is_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read = list[Any]()

    def getitem(_: Any, key: Any) -> Sequence[str]:
        read.append(key)
        return ["resp_1", "resp_2"]

    monkeypatch.setattr(LazyXComSequence, "__getitem__", getitem)
    lazy = LazyXComSequence.__new__(LazyXComSequence)
    assert run_ids_of(lazy) == ["resp_1", "resp_2"]
    assert read == [slice(None)]


def test_digits_are_ids_too() -> None:
    assert run_ids_of([1, "2"]) == ["1", "2"]


def test_the_trigger_is_small(sandbox: Sandbox) -> None:
    run_ids = [f"resp_{number:048}" for number in range(1000)]
    stored = OpenAIRunListTrigger(conn_id="openai_default", run_ids=run_ids, started_at=1.0).serialize()[1]
    assert len(json.dumps(stored)) < 60_000
