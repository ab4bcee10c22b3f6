"""The link from a task to its run in the vendor's console."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperatorLink

from airflow_provider_openai_run import task_xcoms

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

LINK_KEY = task_xcoms.LINK_KEY


class OpenAIRunLink(BaseOperatorLink):
    """
    Link to the run's page in the vendor's console.

    :mod:`airflow_provider_openai_run.connection.run_url` lists which endpoints have such pages.
    """

    name = "OpenAI run"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """
        Return the URL, empty if there is none.

        Airflow calls this on the worker when the task ends or defers, and stores the result. A task that
        resumes after its deferral does not look up its connection for it: the stored URL is returned again.

        :param operator: the task.
        :param ti_key: where Airflow calls this, the running task instance rather than its key.
        """
        url: str | None = getattr(operator, "link", None)
        task_instance: Any = ti_key
        if url is None and hasattr(task_instance, "xcom_pull"):
            url = task_instance.xcom_pull(
                key=LINK_KEY, task_ids=task_instance.task_id, map_indexes=task_instance.map_index
            )
        return url or ""
