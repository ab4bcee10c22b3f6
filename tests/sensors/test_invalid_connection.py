"""An invalid connection fails the task on the worker, in every mode, before a request is sent."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_openai_run.exceptions import InvalidConnectionError
from airflow_provider_openai_run.operators.openai_run import (
    OpenAICancelRunOperator,
    OpenAICreateResponseOperator,
    OpenAIGetRunOperator,
)
from airflow_provider_openai_run.sandbox import Sandbox
from tests.airflow_task import AirflowTask
from tests.fake_clock import FakeClock
from tests.sandbox_fixtures import Connect
from tests.sensors.conftest import MakeSensor

SENTENCE = (
    "Connection 'openai_default': host has no scheme; write https://runs.example.com/v1.",
    {"host": "runs.example.com/v1"},
)
WRONG: list[tuple[str, dict[str, Any]]] = [
    SENTENCE,
    (
        (
            "Connection 'openai_default': password (the API key) must be the key alone: no 'Bearer', "
            "no white space at its ends, printable ASCII only."
        ),
        {"password": "Bearer correct-horse"},
    ),
]


@pytest.mark.parametrize(("sentence", "fields"), WRONG)
def test_a_sensor_names_the_invalid_field(
    sandbox: Sandbox,
    connect: Connect,
    make_sensor: MakeSensor,
    mode: str,
    sentence: str,
    fields: dict[str, Any],
) -> None:
    run = sandbox.create_run()
    connect(**fields)
    end = make_sensor(run, mode).begin()
    assert end.state == "up_for_retry"
    assert isinstance(end.error, InvalidConnectionError)
    assert str(end.error) == sentence
    assert sandbox.requests == []


def test_never_fail_skips_for_an_invalid_connection(
    sandbox: Sandbox, connect: Connect, make_sensor: MakeSensor, mode: str
) -> None:
    run = sandbox.create_run()
    connect(password=None)
    assert make_sensor(run, mode, never_fail=True).begin().state == "skipped"


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize(
    "kind", [OpenAIGetRunOperator, OpenAICancelRunOperator, OpenAICreateResponseOperator]
)
def test_an_operator_names_the_invalid_field(
    sandbox: Sandbox, connect: Connect, fake_clock: FakeClock, kind: Any, deferrable: bool
) -> None:
    sentence, fields = SENTENCE
    connect(**fields)
    arguments = (
        {"model": "gpt-5.2", "input": "Hi"} if kind is OpenAICreateResponseOperator else {"run_id": "resp_1"}
    )

    def make() -> Any:
        return kind(task_id="task", wait_for_completion=True, deferrable=deferrable, **arguments)

    end = AirflowTask(make, fake_clock).begin()
    assert isinstance(end.error, InvalidConnectionError)
    assert str(end.error) == sentence
