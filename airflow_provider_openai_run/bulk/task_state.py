"""The entry of a bulk task in Airflow's task state store: that its journal has begun, and where."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_openai_run.owned_runs.identity import RunIdentity

log = logging.getLogger(__name__)

_STORE_KEY = "openai_bulk"


class BulkTaskState:
    """
    The proof that a journal has begun, for a try that does not find it. Airflow has no store before 3.3.

    :param context: of the running task.
    :param identity: the task instance. What was stored before it was cleared does not count.
    """

    def __init__(self, context: Context, identity: RunIdentity) -> None:
        self._store: Any = context.get("task_state_store")
        self._generation = identity.clear_generation

    @property
    def has_begun(self) -> bool:
        """Whether an earlier try has begun the journal, since the task was last cleared."""
        if self._store is None:
            return False
        from airflow.sdk.exceptions import AirflowRuntimeError

        try:
            stored = self._store.get(_STORE_KEY)
        except AirflowRuntimeError as error:
            log.warning("Whether the task has begun is not known: the task state store failed: %s", error)
            return False
        return isinstance(stored, dict) and stored.get("clear_generation") == self._generation

    def record_begun(self, results: str) -> None:
        """
        Store that the journal has begun; a failure is only logged.

        :param results: the path or the URL of the results folder.
        """
        if self._store is None:
            return
        from airflow.sdk.exceptions import AirflowRuntimeError

        try:
            self._store.set(_STORE_KEY, {"clear_generation": self._generation, "results": results})
        except AirflowRuntimeError as error:
            message = "A retry on a machine without %s would start again: the task state store failed: %s"
            log.warning(message, results, error)
