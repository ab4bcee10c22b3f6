"""Owned runs in a loop, one in a task of its own and two in a mapped task: Airflow 3.4."""

from __future__ import annotations

import json
from typing import Any

from airflow.sdk import DAG, task_group

from airflow_provider_openai_run.operators.openai_run import OpenAICreateResponseOperator

OPTIONS: dict[str, Any] = {
    "model": "gpt-5.2",
    "deferrable": True,
    "poll_interval": 0.5,
    "max_poll_interval": 1,
}
SCRIPT = json.dumps({"base": "completed", "seconds": 250})


@task_group
def body() -> None:
    """Create the runs of one iteration."""
    options: dict[str, Any] = {**OPTIONS, "metadata": {"sandbox_script": SCRIPT}}
    one = OpenAICreateResponseOperator(task_id="one", input="Iteration {{ loop.index }}", **options)
    each = OpenAICreateResponseOperator.partial(task_id="each", **options).expand(input=["first", "second"])
    one >> each


@task_group
def endless() -> None:
    """Create a run that never ends."""
    metadata = {"sandbox_script": "in_progress"}
    OpenAICreateResponseOperator(task_id="wait", input="Hi", metadata=metadata, **OPTIONS)


groups: dict[str, Any] = {"loop": body, "endless_loop": endless}
for dag_id, group in groups.items():
    if hasattr(group, "loop"):
        with DAG(dag_id, schedule=None) as dag:
            group.loop(max_iterations=2)
        globals()[dag_id] = dag
