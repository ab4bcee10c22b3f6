"""Runs that never end, in tasks that a user or a timeout ends."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG

from airflow_provider_openai_run.operators.openai_run import (
    OpenAICreateResponseOperator,
    OpenAICreateRunOperator,
)

ENDLESS: dict[str, Any] = {
    "metadata": {"sandbox_script": "in_progress"},
    "poll_interval": 0.5,
    "max_poll_interval": 1,
}
TASKS: dict[str, dict[str, Any]] = {
    "deferred": {"deferrable": True},
    "on_worker": {"deferrable": False},
    "kept": {"deferrable": True, "cancel_on_kill": False},
    "timed_out": {"deferrable": True, "timeout": 20},
    "timed_out_kept": {"deferrable": True, "timeout": 20, "cancel_on_timeout": False},
    "execution_timed_out": {"deferrable": True, "execution_timeout": timedelta(seconds=30)},
    "execution_timed_out_on_worker": {"deferrable": False, "execution_timeout": timedelta(seconds=30)},
}

for name, options in TASKS.items():
    with DAG(f"ended_{name}", schedule=None) as dag:
        OpenAICreateResponseOperator(task_id="response", model="gpt-5.2", input="Hi", **ENDLESS, **options)
        OpenAICreateRunOperator(
            task_id="run",
            assistant_id="asst_1",
            thread={"messages": [{"role": "user", "content": "Hi"}]},
            **ENDLESS,
            **options,
        )
    globals()[f"ended_{name}"] = dag
