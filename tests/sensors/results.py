"""The result of a sensor for each end of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.providers.common.compat.sdk import AirflowSensorTimeout

from airflow_provider_openai_run.exceptions import OpenAIRunError, RunWaitTimeoutError
from airflow_provider_openai_run.progress import PROGRESS_KEY
from tests.airflow_task import TaskAttempt
from tests.sensors.conftest import ids_of


def assert_result(
    end: TaskAttempt,
    run: Mapping[str, Any],
    status: str,
    error: type[OpenAIRunError] | None,
    *,
    soft_fail: bool,
) -> None:
    """Check that the sensor has succeeded, was skipped, or has failed without a retry."""
    if error is None:
        assert (end.state, end.error) == ("success", None)
        api = "responses" if run.get("thread_id") is None else "assistants"
        assert end.xcoms["return_value"] == {**ids_of(run), "api": api, "status": status}
        assert end.xcoms.keys() <= {"return_value", PROGRESS_KEY}
        return
    assert end.state == ("skipped" if soft_fail else "failed")
    assert end.xcoms.keys() <= {PROGRESS_KEY}
    if soft_fail:
        assert end.error is None
        return
    assert isinstance(end.error, error)
    assert (end.error.run_id, end.error.thread_id) == (run["id"], run.get("thread_id"))
    assert end.error.status == status
    assert isinstance(end.error, AirflowSensorTimeout) == (error is RunWaitTimeoutError)
