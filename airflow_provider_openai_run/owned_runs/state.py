"""What a task remembers from one try to the next: the task state store, which Airflow has from 3.3 on."""

from __future__ import annotations

import logging
import uuid
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_openai_run.owned_runs.identity import RunIdentity
    from airflow_provider_openai_run.types.run import Json

log = logging.getLogger(__name__)

_KEY = "openai_run"


class TaskRunState:
    """
    Facts about the runs of a task instance, kept over its tries; forgotten below Airflow 3.3.

    :param context: of the running task.
    :param mark: whose the runs are. What is remembered of the time before a clearing is kept apart.
    """

    def __init__(self, context: Context, mark: RunIdentity) -> None:
        self._store: Any = context.get("task_state_store")
        self._mark = mark
        kept = self._kept()
        is_current = kept.get("clear") == mark.clear
        self._facts: dict[str, Json] = kept if is_current else {"clear": mark.clear}
        #: What was remembered before the task was cleared.
        self.before_clear: dict[str, Json] = {} if is_current else kept

    @property
    def lasts(self) -> bool:
        """Whether a later try will know."""
        return self._store is not None

    def get(self, name: str, default: Json = None) -> Json:
        """Give a fact."""
        return self._facts.get(name, default)

    def set(self, **facts: Json) -> None:
        """Remember facts; with a warning in place of an error, since a run may be under way already."""
        self._facts.update(facts)
        if self._store is None:
            return
        from airflow.sdk.exceptions import AirflowRuntimeError

        try:
            self._store.set(_KEY, self._facts)
        except AirflowRuntimeError as error:
            log.warning("A retry may not find the run again: the task state store failed: %s", error)

    def next_key(self) -> str:
        """Give the ``Idempotency-Key`` for the next run to be made; the same until :meth:`made` is called."""
        return self._mark.key(self.get("made", 0)) if self.lasts else f"airflow-{uuid.uuid4().hex}"

    def made(self, **facts: Json) -> None:
        """Remember a run that was made; what the one before had used does not count for it."""
        self.set(made=self.get("made", 0) + 1, making=False, **{"spent": 0, "round": 0, **facts})

    def give_up(self, run_id: str) -> None:
        """Remember that a later try is not to come back to a run."""
        self.set(given_up=[*self.get("given_up", []), run_id])

    def _kept(self) -> dict[str, Json]:
        if self._store is None:
            return {}
        from airflow.sdk.exceptions import AirflowRuntimeError

        try:
            kept = self._store.get(_KEY)
        except AirflowRuntimeError as error:
            log.warning("An earlier try's run may not be found: the task state store failed: %s", error)
            return {}
        return kept if isinstance(kept, dict) else {}
