"""One task that creates many responses and waits for them."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_openai_run.operators.bulk_responses import OpenAIBulkResponsesOperator

with DAG("bulk_responses", schedule=None):
    OpenAIBulkResponsesOperator(
        task_id="task",
        requests="{{ dag_run.conf['requests'] }}",
        results="{{ dag_run.conf['results'] }}",
        model="gpt-5.2",
        deferrable=True,
    )
