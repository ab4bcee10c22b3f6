"""A task that is deferred as long as the benchmark lasts, to record how late the triggerer's loop is."""

from __future__ import annotations

import os

from airflow.sdk import DAG, BaseOperator, Context

from tests.benchmarks.loop_lateness import LoopLatenessTrigger
from tests.benchmarks.whole_airflow_tasks import LATENESS_FILE


class RecordLatenessOperator(BaseOperator):
    """Defer until the task is ended."""

    def execute(self, context: Context) -> None:
        """Defer."""
        self.defer(trigger=LoopLatenessTrigger(os.environ[LATENESS_FILE]), method_name="execute")


with DAG("loop_lateness", schedule=None):
    RecordLatenessOperator(task_id="record")
