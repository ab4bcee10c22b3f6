"""The link from a task to its run in the vendor's console."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

#: The XCom under which a task leaves the address before it waits, so that the link shows while it does.
LINK_KEY = "_link_OpenAIRunLink"


class OpenAIRunLink(BaseOperatorLink):
    """Leads to the run's page; where there is one, :mod:`airflow_provider_openai_run.connection.run_url` says."""

    name = "OpenAI run"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """
        Give the address; Airflow asks for it on the worker when the task ends or defers, and keeps it.

        A task that goes on after it was deferred does not look up its connection for this: what it left
        before is given again.
        """
        link: str | None = getattr(operator, "link", None)
        # Where this is asked, Airflow gives the running task instance in place of its key.
        running: Any = ti_key
        if link is None and hasattr(running, "xcom_pull"):
            link = running.xcom_pull(key=LINK_KEY, task_ids=running.task_id, map_indexes=running.map_index)
        return link or ""
