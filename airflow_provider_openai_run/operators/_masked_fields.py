"""Templated arguments whose values Airflow does not store.

Airflow stores the rendered value of each templated argument of a task in ``rendered_task_instance_fields`` of
its database, and shows them as "Rendered Templates". An argument that stands in a :class:`MaskedField` is
stored as three asterisks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk.definitions._internal.mixins import ResolveMixin
from airflow.sdk.definitions.xcom_arg import XComArg

from airflow_provider_openai_run.types.redaction import MASK

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence


class MaskedField(ResolveMixin):
    """
    A templated argument that Airflow renders, and stores as three asterisks.

    :param value: the argument: a template, the output of another task, or any value.
    """

    #: Airflow renders the attributes that these name in place.
    template_fields = ("value",)
    #: Airflow would call this, if there were one, and take what it returns for the rendered value.
    resolve = None  # type: ignore[assignment]

    def __init__(self, value: Any) -> None:
        self.value = value

    def iter_references(self) -> Iterable[Any]:
        """Yield the tasks on whose output the argument depends."""
        yield from XComArg.iter_xcom_references(self.value)

    def serialize(self) -> str:
        """Return what Airflow stores."""
        return MASK

    def __repr__(self) -> str:
        return MASK


def mask_fields(task: Any, names: Collection[str], *, allowed: Sequence[str]) -> None:
    """
    Put arguments of a task into masked fields.

    :param task: the task, its arguments set.
    :param names: the arguments; those that are None stay so.
    :param allowed: the arguments that can be masked.
    :raises ValueError: for another one.
    """
    if isinstance(names, str):
        raise ValueError(f"masked_fields is a collection of names, such as ({names!r},)")  # noqa: TRY004 - a wrong value like the others
    for name in names:
        if name not in allowed:
            raise ValueError(f"masked_fields must be some of {sorted(allowed)}, not {name!r}")
        value = getattr(task, name)
        if value is not None:
            setattr(task, name, MaskedField(value))


def unmask_fields(task: Any) -> None:
    """
    Put the rendered values of masked fields in their place.

    :param task: the task, as it is about to be executed.
    """
    for name in task.masked_fields:
        value = getattr(task, name)
        if isinstance(value, MaskedField):
            setattr(task, name, value.value)
