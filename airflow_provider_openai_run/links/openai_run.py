"""The link from a task to its run in the vendor's console."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

#: The XCom under which a task leaves the address before it waits, so that the link shows while it does.
LINK_KEY = "_link_OpenAIRunLink"


class OpenAIRunLink(BaseOperatorLink):
    """Leads to the run in OpenAI's console; there is none where the API is another server's."""

    name = "OpenAI run"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Give the address; Airflow asks for it on the worker when the task has ended."""
        del ti_key
        return getattr(operator, "link", None) or ""
