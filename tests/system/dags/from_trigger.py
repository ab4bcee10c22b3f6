"""Sensors that start and end in the triggerer."""

from __future__ import annotations

from typing import Any

from airflow import __version__ as airflow_version
from airflow.sdk import DAG, BaseOperator

from airflow_provider_openai_run.sensors.openai_run import OpenAIRunSensor

OPTIONS: dict[str, Any] = {
    "start_from_trigger": True,
    "end_from_trigger": True,
    "timeout": 600,
    "poll_interval": 0.5,
    "max_poll_interval": 0.5,
}


class RunIdOperator(BaseOperator):
    """Return the id of a run, as a task that creates it does."""

    template_fields = ("run_id",)

    def __init__(self, *, run_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.run_id = run_id

    def execute(self, context: Any) -> dict[str, str]:
        """Return the id."""
        return {"id": self.run_id}


# Airflow 3.3 is the first that can.
if tuple(map(int, airflow_version.split(".")[:2])) >= (3, 3):
    with DAG("from_trigger", schedule=None, params={"good": "resp_1", "bad": "resp_1", "endless": "resp_1"}):
        created = RunIdOperator(task_id="created", run_id="{{ params.good }}", multiple_outputs=True)
        outputs: Any = created.output
        OpenAIRunSensor(task_id="succeeds", run_id="{{ params.good }}", **OPTIONS)
        OpenAIRunSensor(task_id="after_a_task", run_id=outputs["id"], **OPTIONS)
        OpenAIRunSensor(task_id="fails", run_id="{{ params.bad }}", retries=2, **OPTIONS)
        OpenAIRunSensor(task_id="skips", run_id="{{ params.bad }}", soft_fail=True, **OPTIONS)
        OpenAIRunSensor(task_id="times_out", run_id="{{ params.endless }}", **{**OPTIONS, "timeout": 40})
        OpenAIRunSensor(task_id="undefined", run_id="{{ params.nothing }}", **OPTIONS)
        OpenAIRunSensor.partial(task_id="mapped", **OPTIONS).expand(run_id=["{{ params.good }}"])
