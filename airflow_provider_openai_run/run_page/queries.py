"""
Database queries for the page: the task instance and its stored XComs.

Like Airflow's own API, they read the stored values without the XCom backend; values that a backend stores
elsewhere are not fetched.
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

    from airflow_provider_openai_run.types.json import Json

#: Attributes that can be large and that only the raw JSON shows.
_LARGE_KEYS = frozenset({"raw", "tools", "instructions", "metadata", "file_ids"})


class XComQueries:
    """
    Query a task instance and the XComs of its last try.

    :param session: session of Airflow's metadata database.
    :param map_index: index of the mapped task instance; -1 for a task that is not mapped.
    """

    def __init__(self, session: Session, dag_id: str, run_id: str, task_id: str, map_index: int) -> None:
        self._session = session
        self._key = (dag_id, run_id, task_id, map_index)

    def task_instance(self) -> TaskInstanceInfo | None:
        """Return the task instance; None if it does not exist."""
        columns = (
            TaskInstance.state,
            TaskInstance.operator,
            TaskInstance.try_number,
            TaskInstance.end_date,
        )
        row = self._session.execute(select(*columns).where(*self._conditions(TaskInstance))).first()
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
        """Return a string that changes whenever the task instance or its XComs change."""
        query = select(func.count(), func.max(XComModel.timestamp)).where(*self._conditions(XComModel))
        xcoms: Any = self._session.execute(query).one()
        task = self.task_instance()
        state = (task.state, task.try_number) if task else ()
        return ".".join(map(str, (*xcoms, *state)))

    def values(self, *, include_large: bool = False) -> dict[str, Json]:
        """
        Return the stored XComs that can describe a run, by key.

        :param include_large: whether to read the attributes that only the raw JSON shows.
        """
        query = select(XComModel.key).where(*self._conditions(XComModel))
        keys = set(self._session.scalars(query)) & set(KEYS)
        if {"id", "status", "steps"} <= keys:
            # Each attribute has a key of its own; reading the return value too would take twice as long.
            keys -= {RETURN_VALUE}
        if not include_large:
            keys -= _LARGE_KEYS
        rows = select(XComModel.key, XComModel.value).where(
            *self._conditions(XComModel), XComModel.key.in_(keys)
        )
        values = {row.key: row.value for row in self._session.execute(rows)}
        return {key: values[key] for key in (*ATTRIBUTES, *KEYS) if key in values}

    def _conditions(self, model: type[TaskInstance | XComModel]) -> tuple[ColumnElement[bool], ...]:
        dag_id, run_id, task_id, map_index = self._key
        return (
            model.dag_id == dag_id,
            model.run_id == run_id,
            model.task_id == task_id,
            model.map_index == map_index,
        )
