"""The arguments of deferrals in this process.

``airflow dags test`` runs a task and its trigger in one process, and drops ``defer(kwargs=)``. Without them a
task would start again at each resume: with a new timeout, no rounds and no tokens used. Any other Airflow
resumes a task in a new process, with its arguments from the database.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.sdk import Context

    from airflow_provider_openai_run.types.json import Json

#: The method that resumes and its arguments, by the id of the task instance.
_kept: dict[str, tuple[str, dict[str, Json]]] = {}


def keep_arguments(context: Context, method_name: str, kwargs: Mapping[str, Json]) -> None:
    """
    Keep the arguments of a deferral until the task resumes in this process.

    :param context: the task's context; without a task instance nothing is kept.
    :param method_name: the method in which the task resumes.
    :param kwargs: its arguments, beside the event.
    """
    ti = context.get("ti")
    if ti is not None:
        _kept[str(ti.id)] = (method_name, dict(kwargs))


def take_arguments(context: Context, method_name: str) -> dict[str, Json]:
    """
    Return the arguments that were kept for a method, and forget them; empty if there are none.

    :param context: the task's context.
    :param method_name: the method in which the task resumes.
    """
    ti = context.get("ti")
    name, kwargs = _kept.pop(str(ti.id), ("", {})) if ti is not None else ("", {})
    return kwargs if name == method_name else {}


def forget_arguments(context: Context) -> None:
    """
    Forget what an earlier try of the task instance has kept.

    :param context: the task's context.
    """
    ti = context.get("ti")
    if ti is not None:
        _kept.pop(str(ti.id), None)
