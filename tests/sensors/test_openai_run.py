"""The sensor as a DAG's author meets it: arguments, templates, and what may become of its deferral."""

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
from tests.airflow_task import AirflowTask, TriggerFailureReason, rebuilt_trigger
from tests.fake_clock import FakeClock
from tests.sensors.conftest import TIMEOUT, Waiting, ids_of


def fresh_module() -> ModuleType:
    """The sensor's module as a process imports it that starts now."""
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


def test_arguments_are_given_by_name() -> None:
    with pytest.raises(TypeError):
        OpenAIRunSensor("run_1", task_id="wait")  # type: ignore[call-arg]  # this is what is refused


def test_ids_and_connection_are_templates_that_are_left_alone_when_the_dag_is_parsed() -> None:
    templates: dict[str, Any] = {
        "run_id": "{{ params.r }}",
        "thread_id": "{{ params.t }}",
        "conn_id": "{{ params.c }}",
        "api": "{{ params.a }}",
    }
    sensor = OpenAIRunSensor(task_id="wait", **templates)
    assert set(OpenAIRunSensor.template_fields) == set(templates)
    assert {name: getattr(sensor, name) for name in templates} == templates


def test_it_can_be_tried_out_without_a_task_instance(sandbox: Sandbox, fake_clock: FakeClock) -> None:
    run = sandbox.create_run(script={"base": "completed", "seconds": 60})
    found = OpenAIRunSensor(task_id="wait", deferrable=False, **ids_of(run)).execute({})
    assert found["status"] == "completed"


def test_templates_are_rendered_when_the_task_runs(sandbox: Sandbox, waiting: Waiting, mode: str) -> None:
    run = sandbox.create_run(script="completed")
    params = {"run": ids_of(run), "connection": "openai_default"}
    templates = {"id": "{{ params.run.run_id }}", "thread_id": "{{ params.run.thread_id }}"}
    task = waiting(templates, mode, conn_id="{{ params.connection }}", params=params)
    assert task.to_its_end().xcoms["return_value"] == {
        **ids_of(run),
        "api": "assistants",
        "status": "completed",
    }


def test_a_thread_that_renders_none_is_no_thread(sandbox: Sandbox, waiting: Waiting, mode: str) -> None:
    response = sandbox.create_response(script="completed")
    task = waiting({"id": response["id"], "thread_id": "{{ params.thread }}"}, mode, params={"thread": None})
    end = task.to_its_end()
    assert end.xcoms["return_value"] == {
        "run_id": response["id"],
        "thread_id": None,
        "api": "responses",
        "status": "completed",
    }


@pytest.mark.parametrize("name", ["id", "thread_id"])
@pytest.mark.parametrize("rendered", ["", " ", "a/../b", "run?x", "tab\t"])
def test_what_a_template_gives_is_checked_before_anything_is_sent(
    sandbox: Sandbox, waiting: Waiting, mode: str, name: str, rendered: str
) -> None:
    ids = {"id": "run_1", "thread_id": "thread_1", name: "{{ params.it }}"}
    end = waiting(ids, mode, params={"it": rendered}).to_its_end()
    assert end.state == "up_for_retry"
    assert isinstance(end.error, InvalidRunReferenceError)
    assert str(end.error).startswith("run_id" if name == "id" else name)
    assert sandbox.requests == []


def test_it_may_be_mapped_over_run_ids(sandbox: Sandbox, fake_clock: FakeClock, mode: str) -> None:
    from tests.sensors.conftest import MODES

    thread = sandbox.create_thread()["id"]
    runs = []
    for script in ("completed", "failed"):
        runs.append(sandbox.create_run(thread, script=script))
        sandbox.clock.advance(5)

    def make() -> Any:
        partial = OpenAIRunSensor.partial(task_id="wait", thread_id=thread, **MODES[mode])
        return partial.expand(run_id=[run["id"] for run in runs])

    ends = [AirflowTask(make, fake_clock, map_index=index).to_its_end() for index in range(2)]
    assert [end.state for end in ends] == ["success", "failed"]
    assert ends[0].xcoms["return_value"]["run_id"] == runs[0]["id"]
    assert runs[1]["id"] in str(ends[1].error)


def test_mapped_arguments_that_are_all_the_same_are_checked_when_the_dag_is_parsed() -> None:
    with DAG("mapped", schedule=None), pytest.raises(TypeError):
        OpenAIRunSensor.partial(task_id="wait", nonsense=1).expand(run_id=["run_1"])


@pytest.mark.parametrize(
    ("arguments", "least", "most"),
    [
        ({}, 4.5, 5.0),
        ({"poll_interval": 7}, 6.3, 7.0),
        ({"poke_interval": 8}, 7.2, 8.0),
        ({"poke_interval": timedelta(seconds=9)}, 8.1, 9.0),
        ({"poll_interval": timedelta(seconds=6)}, 5.4, 6.0),
        ({"poke_interval": 50, "poll_interval": 10}, 9.0, 10.0),
    ],
)
def test_the_first_interval_is_what_was_asked_for(
    sandbox: Sandbox,
    fake_clock: FakeClock,
    arguments: dict[str, Any],
    least: float,
    most: float,
) -> None:
    run = sandbox.create_run(script="completed")
    AirflowTask(
        lambda: OpenAIRunSensor(task_id="wait", deferrable=False, **ids_of(run), **arguments), fake_clock
    ).to_its_end()
    assert least <= fake_clock.slept[0] <= most + 0.1


def test_a_poke_interval_is_fixed_and_a_poll_interval_grows(sandbox: Sandbox, fake_clock: FakeClock) -> None:
    def slept(**arguments: Any) -> list[float]:
        fake_clock.slept.clear()
        run = sandbox.create_run(script="in_progress")
        AirflowTask(
            lambda: OpenAIRunSensor(
                task_id="wait", timeout=300, deferrable=False, **ids_of(run), **arguments
            ),
            fake_clock,
        ).to_its_end()
        return fake_clock.slept[:-1]

    assert max(slept(poke_interval=10)) <= 10.1
    assert max(slept(poll_interval=10)) > 20


def test_a_timeout_may_be_a_timedelta(sandbox: Sandbox, waiting: Waiting, mode: str) -> None:
    run = sandbox.create_run(script="in_progress")
    end = waiting(run, mode, timeout=timedelta(seconds=90)).to_its_end()
    assert end.state == "failed"
    assert "1 minute 30 seconds" in str(end.error)


@pytest.mark.parametrize(("setting", "expected"), [("True", True), ("False", False), (None, False)])
def test_whether_it_defers_is_airflows_default_unless_told(
    monkeypatch: pytest.MonkeyPatch, setting: str | None, expected: bool
) -> None:
    if setting is not None:
        monkeypatch.setenv("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", setting)
    sensor = fresh_module().OpenAIRunSensor
    assert sensor(task_id="wait", run_id="run_1").deferrable is expected
    assert sensor(task_id="wait", run_id="run_1", deferrable=not expected).deferrable is not expected


def test_it_defers_with_ids_times_and_options_only(
    sandbox: Sandbox, waiting: Waiting, fake_clock: FakeClock
) -> None:
    run = sandbox.create_run(script="in_progress", instructions="Top secret.")
    now = fake_clock.time()
    told = waiting(run, "deferrable", on_requires_action="return").begin().told
    assert told.classpath == f"{OpenAIRunTrigger.__module__}.{OpenAIRunTrigger.__qualname__}"
    assert told.next_method == "execute_complete"
    known: Mapping[str, Any] = told.trigger_kwargs
    assert known["conn_id"] == "openai_default"
    assert (known["api"], known["run_id"], known["parent_id"]) == ("assistants", run["id"], run["thread_id"])
    assert known["started_at"] == pytest.approx(now, abs=1)
    assert known["deadline"] == pytest.approx(now + TIMEOUT, abs=1)
    assert known["on_requires_action"] == "return"
    for secret in (sandbox.api_key, "Top secret", sandbox.base_url):
        assert secret not in repr(told)


def test_airflows_own_timeout_comes_later_than_the_triggers(sandbox: Sandbox, waiting: Waiting) -> None:
    told = waiting(sandbox.create_run(script="in_progress"), "deferrable").begin().told
    assert told.trigger_timeout > timedelta(seconds=TIMEOUT + 60)


@pytest.mark.parametrize(
    ("options", "state"),
    [({}, "failed"), ({"soft_fail": True}, "skipped"), ({"never_fail": True}, "skipped")],
)
def test_a_deferral_that_airflow_ends_is_a_sensors_timeout(
    sandbox: Sandbox, waiting: Waiting, options: dict[str, Any], state: str
) -> None:
    task = waiting(sandbox.create_run(script="in_progress"), "deferrable", **options)
    end = task.time_out(task.begin())
    assert end.state == state
    assert type(end.error).__name__ == ("AirflowSensorTimeout" if state == "failed" else "NoneType")


@pytest.mark.parametrize(("options", "state"), [({}, "up_for_retry"), ({"soft_fail": True}, "skipped")])
def test_a_trigger_that_crashed_fails_the_try(
    sandbox: Sandbox, waiting: Waiting, options: dict[str, Any], state: str
) -> None:
    task = waiting(sandbox.create_run(script="in_progress"), "deferrable", **options)
    crash = {"error": TriggerFailureReason.TRIGGER_FAILURE, "traceback": ["Traceback: it broke"]}
    end = task.resume(task.begin(), "__fail__", crash)
    assert end.state == state
    assert type(end.error).__name__ == ("TaskDeferralError" if state == "up_for_retry" else "NoneType")


def test_news_of_another_run_do_not_end_its_wait(sandbox: Sandbox, waiting: Waiting) -> None:
    run = sandbox.create_response(script="completed")
    task = waiting(run, "deferrable")
    attempt = task.begin()
    news = {"run_id": "resp_other", "thread_id": None, "status": "failed"}
    again = task.resume(attempt, "execute_complete", {**attempt.told.next_kwargs, "event": news})
    assert (again.state, again.told.trigger_kwargs["run_id"]) == ("deferred", run["id"])
    assert task.go_on(again).state == "success"


def test_the_trigger_waits_for_what_is_left_of_the_timeout(
    sandbox: Sandbox, waiting: Waiting, fake_clock: FakeClock
) -> None:
    task = waiting(sandbox.create_run(script="in_progress"), "deferrable")
    attempt = task.begin()
    deadline = attempt.told.trigger_kwargs["deadline"]
    fake_clock.sleep(TIMEOUT * 2)
    trigger = rebuilt_trigger(attempt)
    assert isinstance(trigger, OpenAIRunTrigger)
    assert trigger.options.deadline == deadline
    end = task.go_on(attempt)
    assert "after 1 minute 40 seconds, the timeout" in str(end.error)
