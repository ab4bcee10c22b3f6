"""Tasks that release their worker, and whose run ends before the scheduler may have read that."""

from __future__ import annotations

import json
from typing import Any

from airflow.sdk import DAG, Param

from airflow_provider_openai_run.operators.openai_run import OpenAICreateResponseOperator
from airflow_provider_openai_run.sensors.openai_run import OpenAIRunSensor

LONG_SECONDS = 250
SCRIPT = {"base": "completed", "seconds": LONG_SECONDS}
OFTEN: dict[str, Any] = {"poll_interval": 0.1, "max_poll_interval": 0.1}
PARAMS = {"run_id": Param(type="string")}

with DAG("creates_and_defers", schedule=None, params=PARAMS):
    OpenAICreateResponseOperator(
        task_id="wait",
        model="gpt-5.2",
        input="Hi",
        metadata={"sandbox_script": json.dumps(SCRIPT)},
        deferrable=True,
        **OFTEN,
    )
with DAG("senses_and_defers", schedule=None, params=PARAMS):
    OpenAIRunSensor(task_id="wait", run_id="{{ params.run_id }}", deferrable=True, **OFTEN)
with DAG("senses_and_reschedules", schedule=None, params=PARAMS):
    OpenAIRunSensor(
        task_id="wait", run_id="{{ params.run_id }}", deferrable=False, mode="reschedule", **OFTEN
    )
