"""The link to a run's page shows while the task waits, and after it has ended."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk import BaseOperator

from airflow_provider_openai_run.links.openai_run import LINK_KEY, OpenAIRunLink
from airflow_provider_openai_run.operators.openai_run import (
    OpenAICancelRunOperator,
    OpenAICreateResponseOperator,
    OpenAICreateRunOperator,
    OpenAIGetRunOperator,
    OpenAISubmitToolOutputsOperator,
)
from airflow_provider_openai_run.sandbox import Sandbox
from airflow_provider_openai_run.sensors.openai_run import OpenAIRunSensor
from tests.airflow_task import AirflowTask
from tests.fake_clock import FakeClock
from tests.sandbox_fixtures import Connect

TEMPLATE = {"run_link_template": "https://console.example/{run_id}"}


def test_the_link_reads_the_xcom_that_tasks_push() -> None:
    assert OpenAIRunLink().xcom_key == LINK_KEY


@pytest.mark.parametrize(
    "kind",
    [
        OpenAIRunSensor,
        OpenAIGetRunOperator,
        OpenAICancelRunOperator,
        OpenAICreateRunOperator,
        OpenAICreateResponseOperator,
        OpenAISubmitToolOutputsOperator,
    ],
)
def test_every_operator_and_sensor_has_the_link(kind: type[BaseOperator]) -> None:
    assert [type(link) for link in kind.operator_extra_links] == [OpenAIRunLink]


def sensor(run_id: str, **options: Any) -> Any:
    return lambda: OpenAIRunSensor(task_id="wait", run_id=run_id, retries=1, **options)


def get_operator(run_id: str, **options: Any) -> Any:
    def make() -> OpenAIGetRunOperator:
        return OpenAIGetRunOperator(
            task_id="get", run_id=run_id, wait_for_completion=True, deferrable=True, **options
        )

    return make


def cancel_operator(run_id: str, **options: Any) -> Any:
    def make() -> OpenAICancelRunOperator:
        return OpenAICancelRunOperator(
            task_id="cancel", run_id=run_id, wait_for_completion=True, deferrable=True, **options
        )

    return make


def create_operator(_: str, **options: Any) -> Any:
    def make() -> OpenAICreateResponseOperator:
        return OpenAICreateResponseOperator(
            task_id="create", model="gpt-5.2", input="Hi", deferrable=True, **options
        )

    return make


@pytest.mark.parametrize("make", [sensor, get_operator, create_operator])
def test_the_url_is_there_while_deferred_and_afterwards(
    sandbox: Sandbox, connect: Connect, fake_clock: FakeClock, make: Any
) -> None:
    connect(extra=TEMPLATE)
    run_id = sandbox.create_response(script="completed")["id"]
    options = {"deferrable": True} if make is sensor else {}
    task = AirflowTask(make(run_id, **options), fake_clock, with_links=True)
    deferred = task.begin()
    assert deferred.state == "deferred"
    link = deferred.xcoms[LINK_KEY]
    assert link.startswith("https://console.example/resp_")
    end = deferred
    while end.state == "deferred":
        end = task.advance(end)
    assert end.state == "success"
    # It was pushed when the task was deferred, and is not pushed again.
    assert LINK_KEY not in end.xcoms


@pytest.mark.parametrize("mode", ["poke", "reschedule"])
def test_the_url_is_there_after_a_sensors_first_poll(
    sandbox: Sandbox, connect: Connect, fake_clock: FakeClock, mode: str
) -> None:
    connect(extra=TEMPLATE)
    run_id = sandbox.create_response(script="completed")["id"]
    task = AirflowTask(sensor(run_id, mode=mode, deferrable=False), fake_clock, with_links=True)
    first = task.begin()
    assert first.xcoms[LINK_KEY] == f"https://console.example/{run_id}"


def test_a_task_that_does_not_wait_pushes_the_url(
    sandbox: Sandbox, connect: Connect, fake_clock: FakeClock
) -> None:
    connect(extra=TEMPLATE)
    run_id = sandbox.create_response(script="in_progress")["id"]
    task = AirflowTask(lambda: OpenAICancelRunOperator(task_id="cancel", run_id=run_id), fake_clock)
    assert task.run_to_end().xcoms[LINK_KEY] == f"https://console.example/{run_id}"


def test_a_self_hosted_server_without_a_template_has_no_url(sandbox: Sandbox, fake_clock: FakeClock) -> None:
    run_id = sandbox.create_response(script="completed")["id"]
    deferred = AirflowTask(sensor(run_id, deferrable=True), fake_clock, with_links=True).begin()
    assert LINK_KEY not in deferred.xcoms


class RunningTaskInstance:
    """The running task instance, which Airflow passes in place of a key."""

    task_id = "wait"
    map_index = 3

    def __init__(self, stored: str | None) -> None:
        self.stored = stored
        self.pulled: dict[str, Any] = {}

    def xcom_pull(self, **arguments: Any) -> str | None:
        self.pulled = arguments
        return self.stored


@pytest.mark.parametrize("stored", ["https://console.example/resp_1", None])
def test_a_resumed_task_returns_the_stored_url(stored: str | None) -> None:
    task_instance: Any = RunningTaskInstance(stored)
    task = OpenAIRunSensor(task_id="wait", run_id="resp_1")
    assert OpenAIRunLink().get_link(task, ti_key=task_instance) == (stored or "")
    assert task_instance.pulled == {"key": LINK_KEY, "task_ids": "wait", "map_indexes": 3}


def test_a_task_that_has_a_url_does_not_pull_the_xcom() -> None:
    task_instance: Any = RunningTaskInstance("https://console.example/old")
    task = OpenAIRunSensor(task_id="wait", run_id="resp_1")
    for url in ("https://console.example/new", ""):
        task.link = url
        assert OpenAIRunLink().get_link(task, ti_key=task_instance) == url
    assert task_instance.pulled == {}
