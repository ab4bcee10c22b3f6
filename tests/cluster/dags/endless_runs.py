"""Deferred tasks that own runs which never end: created by workers, and many without a worker."""

from __future__ import annotations

import json
import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, BaseOperator
from airflow.triggers.base import StartTriggerArgs

from airflow_provider_openai_run.operators.openai_run import (
    OpenAICreateResponseOperator,
    OpenAICreateRunOperator,
)

#: Mapped tasks of each kind.
TASKS_OF_A_KIND = 6
#: Tasks in one DAG: the triggerer gets the whole DAG along with each trigger that no worker started.
TASKS_OF_A_DAG = 50
#: Names the file with the ids of the responses that tasks without a worker own.
RESPONSE_IDS = "CLUSTER_RESPONSE_IDS"
#: Polls a second of all tasks without a worker.
POLLS_A_SECOND = 20
POLLING: dict[str, Any] = {"poll_interval": 2, "max_poll_interval": 5}

with DAG("endless_runs", schedule=None):
    endless: dict[str, Any] = {
        "deferrable": True,
        "metadata": {"sandbox_script": "in_progress"},
        # On a busy machine Airflow itself may fail a try.
        "retries": 3,
        "retry_delay": timedelta(seconds=2),
        **POLLING,
    }
    OpenAICreateResponseOperator.partial(task_id="response", model="gpt-5.2", **endless).expand(
        input=[f"Question {number}" for number in range(TASKS_OF_A_KIND)]
    )
    OpenAICreateRunOperator.partial(task_id="run", assistant_id="asst_1", **endless).expand(
        thread=[
            {"messages": [{"role": "user", "content": f"Question {number}"}]}
            for number in range(TASKS_OF_A_KIND)
        ]
    )


class OwnedWaitOperator(BaseOperator):
    """
    Wait for a response as a task that has created it does, deferred by the scheduler.

    A worker costs a second of CPU for each task, which a thousand of them would make a quarter of an hour.

    :param response_id: the response.
    """

    start_from_trigger = True

    def __init__(self, *, response_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.start_trigger_args = StartTriggerArgs(
            trigger_cls="airflow_provider_openai_run.triggers.openai_run.OpenAIOwnedRunTrigger",
            trigger_kwargs={
                "conn_id": "openai_default",
                "run_id": response_id,
                "started_at": time.time(),
                "poll_interval": interval,
                "max_poll_interval": interval,
                "push_progress": False,
            },
            next_method="execute",
        )


ids_path = Path(os.environ.get(RESPONSE_IDS, os.devnull))
response_ids: list[str] = json.loads(ids_path.read_text() or "[]")
interval = max(5.0, len(response_ids) / POLLS_A_SECOND)
for first in range(0, len(response_ids), TASKS_OF_A_DAG):
    dag_id = f"many_endless_runs_{first // TASKS_OF_A_DAG}"
    with DAG(dag_id, schedule=None, max_active_tasks=TASKS_OF_A_DAG) as dag:
        for number, response_id in enumerate(response_ids[first : first + TASKS_OF_A_DAG]):
            OwnedWaitOperator(task_id=f"wait_{number}", response_id=response_id)
    globals()[dag_id] = dag
