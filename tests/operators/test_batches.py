"""The sensor and the operators for runs take batches too, and a batch of the official operator."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.providers.openai.operators.openai import OpenAITriggerBatchOperator

from airflow_provider_openai_run.exceptions import RunExpiredError, RunFailedError
from airflow_provider_openai_run.operators.openai_run import OpenAICancelRunOperator, OpenAIGetRunOperator
from airflow_provider_openai_run.progress import PROGRESS_KEY
from airflow_provider_openai_run.sandbox import Sandbox
from airflow_provider_openai_run.sensors.openai_run import OpenAIRunSensor
from tests.airflow_task import AirflowTask, TaskAttempt
from tests.fake_clock import FakeClock
from tests.run_page.pages import ParsedPage, make_task, make_view

MODES: dict[str, dict[str, Any]] = {"poke": {"deferrable": False}, "deferred": {"deferrable": True}}


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> dict[str, Any]:
    return MODES[request.param]


def wait(batch: dict[str, Any], clock: FakeClock, **options: Any) -> TaskAttempt:
    arguments = {"run_id": batch["id"], "api": "batches", **options}
    return AirflowTask(lambda: OpenAIRunSensor(task_id="wait", **arguments), clock).run_to_end()


def get(batch: dict[str, Any], clock: FakeClock, **options: Any) -> TaskAttempt:
    arguments = {"run_id": batch["id"], "api": "batches", "wait_for_completion": True, **options}
    return AirflowTask(lambda: OpenAIGetRunOperator(task_id="get", **arguments), clock).run_to_end()


def test_the_sensor_waits_for_a_batch(sandbox: Sandbox, fake_clock: FakeClock, mode: dict[str, Any]) -> None:
    batch = sandbox.create_batch(script={"in_progress": 600})
    result = wait(batch, fake_clock, **mode)
    assert (result.state, result.error) == ("success", None)
    assert result.xcoms["return_value"] == {
        "run_id": batch["id"],
        "thread_id": None,
        "api": "batches",
        "status": "completed",
    }


@pytest.mark.parametrize(
    ("script", "error", "message"),
    [("expired", RunExpiredError, "expired"), ("failed", RunFailedError, "Enqueued token limit reached")],
)
def test_the_sensor_fails_with_the_error_of_a_batch(
    sandbox: Sandbox,
    fake_clock: FakeClock,
    mode: dict[str, Any],
    script: str,
    error: type[Exception],
    message: str,
) -> None:
    result = wait(sandbox.create_batch(script=script), fake_clock, **mode)
    assert isinstance(result.error, error)
    assert message in str(result.error)


def test_a_batch_with_an_invalid_line_fails_the_sensor_with_its_number(
    sandbox: Sandbox, fake_clock: FakeClock, mode: dict[str, Any]
) -> None:
    file_id = sandbox.upload_batch_file([{}, {"model": "another"}])["id"]
    result = wait(sandbox.create_batch(file_id), fake_clock, **mode)
    assert "model_mismatch: line 2: The provided model 'another'" in str(result.error)


def test_an_expired_batch_is_accepted_if_its_results_will_do(
    sandbox: Sandbox, fake_clock: FakeClock, mode: dict[str, Any]
) -> None:
    options = {**mode, "accepted_statuses": ("completed", "expired")}
    result = wait(sandbox.create_batch(script="expired"), fake_clock, **options)
    assert result.xcoms["return_value"]["status"] == "expired"


def test_the_get_operator_returns_the_files_and_counts_of_a_batch(
    sandbox: Sandbox, fake_clock: FakeClock, mode: dict[str, Any]
) -> None:
    batch = sandbox.create_batch(script={"fail_every": 5}, metadata={"team": "reports"})
    result = get(batch, fake_clock, **mode)
    assert (result.state, result.error) == ("success", None)
    xcoms = result.xcoms
    assert xcoms["request_counts"] == {"total": 10, "completed": 8, "failed": 2}
    assert xcoms["input_file_id"] == batch["input_file_id"]
    lines = [json.loads(line) for line in sandbox.file_content(xcoms["output_file_id"]).splitlines()]
    assert len(lines) == 8
    assert len(sandbox.file_content(xcoms["error_file_id"]).splitlines()) == 2
    assert (xcoms["metadata"], xcoms["steps"]) == ({"team": "reports"}, [])
    assert xcoms["usage"]["total_tokens"] == 8 * 300


def test_the_cancel_operator_waits_until_a_batch_is_cancelled(
    sandbox: Sandbox, fake_clock: FakeClock, mode: dict[str, Any]
) -> None:
    batch = sandbox.create_batch(script={"cancelling": 300})
    arguments = {"run_id": batch["id"], "api": "batches", "wait_for_completion": True, **mode}
    result = AirflowTask(
        lambda: OpenAICancelRunOperator(task_id="stop", **arguments), fake_clock
    ).run_to_end()
    assert (result.state, result.xcoms["return_value"]["status"]) == ("success", "cancelled")


def test_the_page_of_a_waiting_task_shows_how_far_a_batch_is(sandbox: Sandbox, fake_clock: FakeClock) -> None:
    batch = sandbox.create_batch(script={"fail_every": 4})
    result = wait(batch, fake_clock, deferrable=False)
    task = make_task(operator="OpenAIRunSensor", state="running")
    page = ParsedPage(make_view({PROGRESS_KEY: result.xcoms[PROGRESS_KEY]}, task=task))
    for text in (batch["id"], "Batch API", "8 of 10 completed, 2 failed", batch["input_file_id"], "24h"):
        assert text in page.text
    assert "/v1/responses" in page.text


def test_the_page_of_a_batch_that_has_ended_shows_its_files_and_times(
    sandbox: Sandbox, fake_clock: FakeClock
) -> None:
    result = get(
        sandbox.create_batch(script="expired"), fake_clock, **MODES["poke"], fail_on_unsuccessful=False
    )
    page = ParsedPage(make_view(result.xcoms))
    for text in (result.xcoms["output_file_id"], result.xcoms["error_file_id"], "Expired", "expired"):
        assert text in page.text
    assert "A batch has no steps and no answer; its results are the lines of its files." in page.text
    assert "Finalizing" not in page.text


def test_a_batch_of_the_official_operator_is_waited_for(sandbox: Sandbox, fake_clock: FakeClock) -> None:
    file_id = sandbox.upload_batch_file([{}, {}])["id"]

    def create() -> OpenAITriggerBatchOperator:
        return OpenAITriggerBatchOperator(
            task_id="create",
            file_id=file_id,
            endpoint="/v1/responses",
            metadata={"sandbox_script": "completed"},
            wait_for_completion=False,
        )

    created = AirflowTask(create, fake_clock).run_to_end()
    assert (created.state, created.error) == ("success", None)
    (batch_id,) = sandbox.state()["batches"]
    result = wait({"id": batch_id}, fake_clock, deferrable=True)
    assert result.xcoms["return_value"]["status"] == "completed"


def test_the_official_operator_waits_for_a_batch_of_the_sandbox(
    sandbox: Sandbox, fake_clock: FakeClock
) -> None:
    file_id = sandbox.upload_batch_file([{}])["id"]
    sandbox.set_default_batch_script("instant")

    def create() -> OpenAITriggerBatchOperator:
        return OpenAITriggerBatchOperator(
            task_id="create", file_id=file_id, endpoint="/v1/responses", deferrable=False
        )

    created = AirflowTask(create, fake_clock).run_to_end()
    assert (created.state, list(sandbox.state()["batches"].values())) == ("success", ["completed"])
