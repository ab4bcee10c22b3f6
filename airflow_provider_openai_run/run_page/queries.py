"""Reads from Airflow's database what the page shows: the task instance, and its XComs as they are stored.

As Airflow's own API does, it goes past the XCom backend: what that keeps elsewhere stays there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from sqlalchemy import func, select

from airflow_provider_openai_run.run_page.task_instance import TaskInstanceInfo
from airflow_provider_openai_run.run_page.xcom_data import ATTRIBUTES, KEYS, RETURN_VALUE

if TYPE_CHECKING:
    from sqlalchemy.orm import Session
    from sqlalchemy.sql.elements import ColumnElement

    from airflow_provider_openai_run.types.run import Json

#: Attributes that can be large and are for the raw JSON only.
_FOR_RAW_ONLY = frozenset({"raw", "tools", "instructions", "metadata", "file_ids"})


class XComQueries:
    """
    The XComs of a task instance's last try.

    :param session: of the database.
    :param map_index: which one of a mapped task; -1 for a task that is not mapped.
    """

    def __init__(self, session: Session, dag_id: str, run_id: str, task_id: str, map_index: int) -> None:
        self._session = session
        self._key = (dag_id, run_id, task_id, map_index)

    def task(self) -> TaskInstanceInfo | None:
        """Give the task instance; None if there is none."""
        columns = (
            TaskInstance.state,
            TaskInstance.operator,
            TaskInstance.try_number,
            TaskInstance.end_date,
        )
        row = self._session.execute(select(*columns).where(*self._of(TaskInstance))).first()
        if row is None:
            return None
        dag_id, run_id, task_id, map_index = self._key
        return TaskInstanceInfo(
            dag_id=dag_id,
            run_id=run_id,
            task_id=task_id,
            map_index=map_index,
            state=None if row.state is None else str(row.state),
            operator=row.operator,
            try_number=row.try_number or 0,
            ended_at=None if row.end_date is None else row.end_date.timestamp(),
        )

    def version(self) -> str:
        """Give a word that is another one as soon as there are news."""
        news = select(func.count(), func.max(XComModel.timestamp)).where(*self._of(XComModel))
        xcoms: Any = self._session.execute(news).one()
        task = self.task()
        state = (task.state, task.try_number) if task else ()
        return ".".join(map(str, (*xcoms, *state)))

    def values(self, *, everything: bool = False) -> dict[str, Json]:
        """
        Give the XComs that can tell of a run, by key.

        :param everything: whether to read what only the raw JSON shows.
        """
        keys = set(self._session.scalars(select(XComModel.key).where(*self._of(XComModel)))) & set(KEYS)
        if {"id", "status", "steps"} <= keys:
            # Each attribute stands under its own key; reading all of them twice would take twice as long.
            keys -= {RETURN_VALUE}
        if not everything:
            keys -= _FOR_RAW_ONLY
        rows = select(XComModel.key, XComModel.value).where(*self._of(XComModel), XComModel.key.in_(keys))
        found = {row.key: row.value for row in self._session.execute(rows)}
        return {key: found[key] for key in (*ATTRIBUTES, *KEYS) if key in found}

    def _of(self, model: type[TaskInstance | XComModel]) -> tuple[ColumnElement[bool], ...]:
        dag_id, run_id, task_id, map_index = self._key
        return (
            model.dag_id == dag_id,
            model.run_id == run_id,
            model.task_id == task_id,
            model.map_index == map_index,
        )
