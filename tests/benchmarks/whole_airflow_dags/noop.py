"""Tasks that do nothing: what any task costs."""

from __future__ import annotations

from airflow.sdk import DAG, BaseOperator, Context

from tests.benchmarks.whole_airflow_tasks import TASKS_PER_DAG_RUN


class DoNothingOperator(BaseOperator):
    """Do nothing on a worker."""

    def execute(self, context: Context) -> None:
        """Return at once."""


with DAG("noop", schedule=None):
    for number in range(TASKS_PER_DAG_RUN):
        DoNothingOperator(task_id=f"task_{number}")
