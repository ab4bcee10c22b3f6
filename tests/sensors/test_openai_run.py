"""The sensor's arguments, templates, intervals and deferral."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from datetime import timedelta
from types import ModuleType
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException
from airflow.sdk import DAG

from airflow_provider_openai_run.exceptions import InvalidRunReferenceError
from airflow_provider_openai_run.sandbox import Sandbox
from airflow_provider_openai_run.sensors import openai_run
from airflow_provider_openai_run.sensors.openai_run import OpenAIRunSensor
from airflow_provider_openai_run.triggers.openai_run import OpenAIRunTrigger
from tests.airflow_task import AirflowTask, TriggerFailureReason, load_trigger
from tests.fake_clock import FakeClock
from tests.sensors.conftest import TIMEOUT, MakeSensor, ids_of


def fresh_module() -> ModuleType:
    """Return the sensor's module as a new process imports it."""
    spec = importlib.util.spec_from_file_location("fresh_sensor", openai_run.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"run_id": ""}, "run_id", "''"),
    ({"run_id": "a/b"}, "run_id", "a/b"),
    ({"run_id": 7}, "run_id", "int"),
    ({"run_id": None}, "run_id", "NoneType"),
    ({"thread_id": "thread 1"}, "thread_id", "thread 1"),
    ({"thread_id": ".."}, "thread_id", ".."),
    ({"poll_interval": 0}, "poll_interval", "0"),
    ({"poll_interval": -1}, "poll_interval", "-1"),
    ({"poll_interval": "5"}, "poll_interval", "'5'"),
    ({"poll_interval": True}, "poll_interval", "True"),
    ({"poke_interval": 0}, "poke_interval", "0"),
    ({"poke_interval": "5"}, "poke_interval", "'5'"),
    ({"poke_interval": timedelta(0)}, "poke_interval", "timedelta(0)"),
    ({"poke_interval": 0.001}, "poke_interval", "0.001"),
    ({"poke_interval": 8, "max_poll_interval": 1}, "poke_interval", "8 s"),
    ({"poll_interval": timedelta(seconds=-1)}, "poll_interval", "timedelta"),
    ({"max_poll_interval": 1}, "max_poll_interval", "1"),
    ({"max_poll_interval": float("nan")}, "max_poll_interval", "nan"),
    ({"on_requires_action": "panic"}, "on_requires_action", "panic"),
    ({"on_requires_action": "answer"}, "on_requires_action", "OpenAISubmitToolOutputsOperator"),
    ({"api": "chat"}, "api", "chat"),
    ({"api": "assistants"}, "thread_id", "missing"),
    ({"max_consecutive_failures": 0}, "max_consecutive_failures", "0"),
    ({"max_consecutive_failures": 1.5}, "max_consecutive_failures", "1.5"),
    ({"accepted_statuses": "completed"}, "accepted_statuses", "completed"),
    ({"accepted_statuses": ()}, "accepted_statuses", "[]"),
    ({"accepted_statuses": ["done"]}, "accepted_statuses", "done"),
    ({"accepted_statuses": ["queued"]}, "accepted_statuses", "queued"),
    ({"timeout": -1}, "timeout", "-1"),
    ({"timeout": "5"}, "timeout", "'5'"),
    ({"timeout": float("inf")}, "timeout", "inf"),
    ({"mode": "sometimes"}, "mode", "sometimes"),
    ({"soft_fail": True, "never_fail": True}, "soft_fail", ""),
]


@pytest.mark.parametrize(("arguments", "name", "value"), REFUSED)
def test_a_wrong_argument_is_refused_when_the_dag_is_parsed(
    arguments: dict[str, Any], name: str, value: str
) -> None:
    # Airflow 3.1 has an error of its own for what is Airflow's.
    with pytest.raises((ValueError, AirflowException), match=rf"\b{name}\b") as caught:
        OpenAIRunSensor(task_id="wait", **{"run_id": "run_1", **arguments})
    assert value in str(caught.value)


def test_arguments_must_be_passed_by_name() -> None:
    with pytest.raises(TypeError):
        OpenAIRunSensor("run_1", task_id="wait")  # type: ignore[call-arg]  # this is what is refused


def test_templates_are_not_rendered_when_the_dag_is_parsed() -> None:
    templates: dict[str, Any] = {
        "run_id": "{{ params.r }}",
        "thread_id": "{{ params.t }}",
        "conn_id": "{{ params.c }}",
        "api": "{{ params.a }}",
    }
    sensor = OpenAIRunSensor(task_id="wait", **templates)
    assert set(OpenAIRunSensor.template_fields) == set(templates)
    assert {name: getattr(sensor, name) for name in templates} == templates


def test_execute_works_without_a_task_instance(sandbox: Sandbox, fake_clock: FakeClock) -> None:
    run = sandbox.create_run(script={"base": "completed", "seconds": 60})
    result = OpenAIRunSensor(task_id="wait", deferrable=False, **ids_of(run)).execute({})
    assert result["status"] == "completed"


def test_templates_are_rendered_when_the_task_runs(
    sandbox: Sandbox, make_sensor: MakeSensor, mode: str
) -> None:
    run = sandbox.create_run(script="completed")
    params = {"run": ids_of(run), "connection": "openai_default"}
    templates = {"id": "{{ params.run.run_id }}", "thread_id": "{{ params.run.thread_id }}"}
    task = make_sensor(templates, mode, conn_id="{{ params.connection }}", params=params)
    assert task.run_to_end().xcoms["return_value"] == {
        **ids_of(run),
        "api": "assistants",
        "status": "completed",
    }


def test_a_thread_id_that_renders_to_none_is_left_out(
    sandbox: Sandbox, make_sensor: MakeSensor, mode: str
) -> None:
    response = sandbox.create_response(script="completed")
    task = make_sensor(
        {"id": response["id"], "thread_id": "{{ params.thread }}"}, mode, params={"thread": None}
    )
    end = task.run_to_end()
    assert end.xcoms["return_value"] == {
        "run_id": response["id"],
        "thread_id": None,
        "api": "responses",
        "status": "completed",
    }


@pytest.mark.parametrize("rendered", ["responses", None])
def test_the_api_can_come_from_a_template(
    sandbox: Sandbox, make_sensor: MakeSensor, mode: str, rendered: str | None
) -> None:
    response = sandbox.create_response(script="completed")
    end = make_sensor(response, mode, api="{{ params.api }}", params={"api": rendered}).run_to_end()
    assert end.xcoms["return_value"]["api"] == "responses"


def test_a_wrong_api_in_a_template_fails_before_a_request(
    sandbox: Sandbox, make_sensor: MakeSensor, mode: str
) -> None:
    end = make_sensor({"id": "resp_1"}, mode, api="{{ params.api }}", params={"api": "chat"}).run_to_end()
    assert isinstance(end.error, InvalidRunReferenceError)
    assert "'chat'" in str(end.error)
    assert sandbox.requests == []


def test_an_unknown_api_is_refused_even_if_the_run_id_is_a_template() -> None:
    with pytest.raises(InvalidRunReferenceError, match="api must be one of"):
        OpenAIRunSensor(task_id="wait", run_id="{{ params.r }}", api="chat")


@pytest.mark.parametrize("name", ["id", "thread_id"])
@pytest.mark.parametrize("rendered", ["", " ", "a/../b", "run?x", "tab\t"])
def test_a_rendered_id_is_checked_before_a_request_is_sent(
    sandbox: Sandbox, make_sensor: MakeSensor, mode: str, name: str, rendered: str
) -> None:
    ids = {"id": "run_1", "thread_id": "thread_1", name: "{{ params.value }}"}
    end = make_sensor(ids, mode, params={"value": rendered}).run_to_end()
    assert end.state == "up_for_retry"
    assert isinstance(end.error, InvalidRunReferenceError)
    assert str(end.error).startswith("run_id" if name == "id" else name)
    assert sandbox.requests == []


def test_the_sensor_can_be_mapped_over_run_ids(sandbox: Sandbox, fake_clock: FakeClock, mode: str) -> None:
    from tests.sensors.conftest import MODES

    thread = sandbox.create_thread()["id"]
    runs = []
    for script in ("completed", "failed"):
        runs.append(sandbox.create_run(thread, script=script))
        sandbox.clock.advance(5)

    def make() -> Any:
        partial = OpenAIRunSensor.partial(task_id="wait", thread_id=thread, **MODES[mode])
        return partial.expand(run_id=[run["id"] for run in runs])

    ends = [AirflowTask(make, fake_clock, map_index=index).run_to_end() for index in range(2)]
    assert [end.state for end in ends] == ["success", "failed"]
    assert ends[0].xcoms["return_value"]["run_id"] == runs[0]["id"]
    assert runs[1]["id"] in str(ends[1].error)


def test_partial_arguments_are_checked_when_the_dag_is_parsed() -> None:
    with DAG("mapped", schedule=None), pytest.raises(TypeError):
        OpenAIRunSensor.partial(task_id="wait", nonsense=1).expand(run_id=["run_1"])


@pytest.mark.parametrize(
    ("arguments", "at_least", "at_most"),
    [
        ({}, 4.5, 5.0),
        ({"poll_interval": 7}, 6.3, 7.0),
        ({"poke_interval": 8}, 7.2, 8.0),
        ({"poke_interval": timedelta(seconds=9)}, 8.1, 9.0),
        ({"poll_interval": timedelta(seconds=6)}, 5.4, 6.0),
        ({"poke_interval": 50, "poll_interval": 10}, 9.0, 10.0),
    ],
)
def test_the_first_interval_is_the_one_that_was_set(
    sandbox: Sandbox,
    fake_clock: FakeClock,
    arguments: dict[str, Any],
    at_least: float,
    at_most: float,
) -> None:
    run = sandbox.create_run(script="completed")
    AirflowTask(
        lambda: OpenAIRunSensor(task_id="wait", deferrable=False, **ids_of(run), **arguments), fake_clock
    ).run_to_end()
    assert at_least <= fake_clock.slept[0] <= at_most + 0.1


def test_a_poke_interval_is_fixed_and_a_poll_interval_grows(sandbox: Sandbox, fake_clock: FakeClock) -> None:
    def sleeps(**arguments: Any) -> list[float]:
        fake_clock.slept.clear()
        run = sandbox.create_run(script="in_progress")
        AirflowTask(
            lambda: OpenAIRunSensor(
                task_id="wait", timeout=300, deferrable=False, **ids_of(run), **arguments
            ),
            fake_clock,
        ).run_to_end()
        return fake_clock.slept[:-1]

    assert max(sleeps(poke_interval=10)) <= 10.1
    assert max(sleeps(poll_interval=10)) > 20


def test_a_timeout_may_be_a_timedelta(sandbox: Sandbox, make_sensor: MakeSensor, mode: str) -> None:
    run = sandbox.create_run(script="in_progress")
    end = make_sensor(run, mode, timeout=timedelta(seconds=90)).run_to_end()
    assert end.state == "failed"
    assert "1 minute 30 seconds" in str(end.error)


@pytest.mark.parametrize(("setting", "expected"), [("True", True), ("False", False), (None, False)])
def test_deferrable_defaults_to_airflows_setting(
    monkeypatch: pytest.MonkeyPatch, setting: str | None, expected: bool
) -> None:
    if setting is not None:
        monkeypatch.setenv("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", setting)
    sensor = fresh_module().OpenAIRunSensor
    assert sensor(task_id="wait", run_id="run_1").deferrable is expected
    assert sensor(task_id="wait", run_id="run_1", deferrable=not expected).deferrable is not expected


def test_the_trigger_gets_ids_times_and_options_only(
    sandbox: Sandbox, make_sensor: MakeSensor, fake_clock: FakeClock
) -> None:
    run = sandbox.create_run(script="in_progress", instructions="Top secret.")
    now = fake_clock.time()
    message = make_sensor(run, "deferrable", on_requires_action="return").begin().message
    assert message.classpath == f"{OpenAIRunTrigger.__module__}.{OpenAIRunTrigger.__qualname__}"
    assert message.next_method == "execute_complete"
    trigger_kwargs: Mapping[str, Any] = message.trigger_kwargs
    assert trigger_kwargs["conn_id"] == "openai_default"
    assert (trigger_kwargs["api"], trigger_kwargs["run_id"], trigger_kwargs["parent_id"]) == (
        "assistants",
        run["id"],
        run["thread_id"],
    )
    assert trigger_kwargs["started_at"] == pytest.approx(now, abs=1)
    assert trigger_kwargs["deadline"] == pytest.approx(now + TIMEOUT, abs=1)
    assert trigger_kwargs["on_requires_action"] == "return"
    for secret in (sandbox.api_key, "Top secret", sandbox.base_url):
        assert secret not in repr(message)


def test_airflow_ends_the_deferral_after_the_trigger_does(sandbox: Sandbox, make_sensor: MakeSensor) -> None:
    message = make_sensor(sandbox.create_run(script="in_progress"), "deferrable").begin().message
    assert message.trigger_timeout > timedelta(seconds=TIMEOUT + 60)


@pytest.mark.parametrize(
    ("options", "state"),
    [({}, "failed"), ({"soft_fail": True}, "skipped"), ({"never_fail": True}, "skipped")],
)
def test_a_deferral_that_airflow_ends_is_a_sensor_timeout(
    sandbox: Sandbox, make_sensor: MakeSensor, options: dict[str, Any], state: str
) -> None:
    task = make_sensor(sandbox.create_run(script="in_progress"), "deferrable", **options)
    end = task.time_out(task.begin())
    assert end.state == state
    assert type(end.error).__name__ == ("AirflowSensorTimeout" if state == "failed" else "NoneType")


@pytest.mark.parametrize(("options", "state"), [({}, "up_for_retry"), ({"soft_fail": True}, "skipped")])
def test_a_trigger_that_crashed_fails_the_try(
    sandbox: Sandbox, make_sensor: MakeSensor, options: dict[str, Any], state: str
) -> None:
    task = make_sensor(sandbox.create_run(script="in_progress"), "deferrable", **options)
    crash = {"error": TriggerFailureReason.TRIGGER_FAILURE, "traceback": ["Traceback: it broke"]}
    end = task.resume(task.begin(), "__fail__", crash)
    assert end.state == state
    assert type(end.error).__name__ == ("TaskDeferralError" if state == "up_for_retry" else "NoneType")


def test_an_event_for_another_run_does_not_end_the_wait(sandbox: Sandbox, make_sensor: MakeSensor) -> None:
    run = sandbox.create_response(script="completed")
    task = make_sensor(run, "deferrable")
    attempt = task.begin()
    event = {"run_id": "resp_other", "thread_id": None, "status": "failed"}
    again = task.resume(attempt, "execute_complete", {**attempt.message.next_kwargs, "event": event})
    assert (again.state, again.message.trigger_kwargs["run_id"]) == ("deferred", run["id"])
    assert task.advance(again).state == "success"


def test_the_trigger_keeps_the_deadline_of_the_worker(
    sandbox: Sandbox, make_sensor: MakeSensor, fake_clock: FakeClock
) -> None:
    task = make_sensor(sandbox.create_run(script="in_progress"), "deferrable")
    attempt = task.begin()
    deadline = attempt.message.trigger_kwargs["deadline"]
    fake_clock.sleep(TIMEOUT * 2)
    trigger = load_trigger(attempt)
    assert isinstance(trigger, OpenAIRunTrigger)
    assert trigger.options.deadline == deadline
    end = task.advance(attempt)
    assert "after 1 minute 40 seconds, the timeout" in str(end.error)
