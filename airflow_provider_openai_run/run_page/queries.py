"""
Database queries for the page: the task instance, its stored XComs and its rendered template fields.

:mod:`airflow_provider_openai_run.run_page.xcom_backend` reads the values that a backend stores elsewhere.
"""

from __future__ import annotations

from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any

from airflow.models.renderedtifields import RenderedTaskInstanceFields
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from sqlalchemy import func, select

from airflow_provider_openai_run.run_page.task_instance import Iteration, TaskInstanceInfo
from airflow_provider_openai_run.run_page.xcom_data import ATTRIBUTES, KEYS, RETURN_VALUE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Row
    from sqlalchemy.orm import Session
    from sqlalchemy.sql.elements import ColumnElement

    from airflow_provider_openai_run.types.json import Json

#: Attributes that can be large and that only the raw JSON shows.
_LARGE_KEYS = frozenset({"raw", "file_ids"})

#: Whether this Airflow has loops (3.4): their task instances differ by their region alone.
_HAS_LOOPS = hasattr(TaskInstance, "region_id")


class XComQueries:
    """
    Query a task instance and the XComs of its last try.

    :param session: session of Airflow's metadata database.
    :param map_index: index of the mapped task instance; -1 for a task that is not mapped.
    :param iteration: which iteration of a loop; None for the last, and for a task outside of loops.
    """

    def __init__(
        self,
        session: Session,
        *,
        dag_id: str,
        run_id: str,
        task_id: str,
        map_index: int,
        iteration: Iteration | None = None,
    ) -> None:
        self._session = session
        self._key = (dag_id, run_id, task_id, map_index)
        self._iteration = iteration

    def task_instance(self) -> TaskInstanceInfo | None:
        """Return the task instance; None if it does not exist."""
        row = self._row
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
            iteration=self._rows.index(row),
            iterations=tuple(map(_iteration_of, self._rows)) if _HAS_LOOPS else (),
        )

    def version(self) -> str:
        """Return a string that changes whenever the task instance or its XComs change."""
        query = select(func.count(), func.max(XComModel.timestamp)).where(*self._conditions(XComModel))
        xcoms: Any = self._session.execute(query).one()
        task = self.task_instance()
        state = (task.state, task.try_number, len(task.iterations)) if task else ()
        return ".".join(map(str, (*xcoms, *state)))

    def rendered_fields(self) -> dict[str, Json]:
        """Return the rendered template fields, as Airflow stored them: long ones cut, secrets masked."""
        query = select(RenderedTaskInstanceFields.rendered_fields)
        fields = self._session.scalar(query.where(*self._conditions(RenderedTaskInstanceFields)))
        return fields if isinstance(fields, dict) else {}

    def rows(self, *, include_large: bool = False, with_return_value: bool = False) -> dict[str, Any]:
        """
        Return the stored XComs that can describe a run, by key: rows with ``key`` and ``value``.

        :param include_large: whether to read the attributes that only the raw JSON shows.
        :param with_return_value: whether to read the return value even if each attribute has its own key.
        """
        query = select(XComModel.key).where(*self._conditions(XComModel))
        keys = set(self._session.scalars(query)) & set(KEYS)
        if not with_return_value and {"id", "status", "steps"} <= keys:
            # Each attribute has a key of its own; reading the return value too would take twice as long.
            keys -= {RETURN_VALUE}
        if not include_large:
            keys -= _LARGE_KEYS
        rows = select(XComModel.key, XComModel.value).where(
            *self._conditions(XComModel), XComModel.key.in_(keys)
        )
        by_key = {row.key: row for row in self._session.execute(rows)}
        return {key: by_key[key] for key in (*ATTRIBUTES, *KEYS) if key in by_key}

    @cached_property
    def _rows(self) -> Sequence[Row[Any]]:
        """The task instances, more than one if the task is in a loop: the oldest iteration first."""
        columns: list[Any] = [
            TaskInstance.id,
            TaskInstance.state,
            TaskInstance.operator,
            TaskInstance.try_number,
            TaskInstance.end_date,
        ]
        dag_id, run_id, task_id, map_index = self._key
        index: Any = TaskInstance.map_index
        if _HAS_LOOPS:
            model: Any = TaskInstance
            columns += [model.region_id, model.region_index]
            # Airflow's own expression: the database has the iteration's number in place of the map index.
            index = import_module("airflow.models.task_coordinates").public_map_index_expression(model)
        query = select(*columns).where(
            TaskInstance.dag_id == dag_id,
            TaskInstance.run_id == run_id,
            TaskInstance.task_id == task_id,
            index == map_index,
        )
        rows = self._session.execute(query).all()
        # The ids of regions are UUIDs of version 7, which sort by their time.
        return sorted(rows, key=_iteration_of) if _HAS_LOOPS else rows

    @cached_property
    def _row(self) -> Row[Any] | None:
        requested = self._iteration
        rows = [row for row in self._rows if requested is None or _iteration_of(row) == requested]
        return rows[-1] if rows else None

    def _conditions(self, model: Any) -> tuple[ColumnElement[bool], ...]:  # noqa: ANN401 - a class of Airflow's
        if _HAS_LOOPS:
            return (model.task_instance_id == (self._row.id if self._row else None),)
        dag_id, run_id, task_id, map_index = self._key
        return (
            model.dag_id == dag_id,
            model.run_id == run_id,
            model.task_id == task_id,
            model.map_index == map_index,
        )


def _iteration_of(row: Row[Any]) -> Iteration:
    return Iteration(str(row.region_id), row.region_index)
