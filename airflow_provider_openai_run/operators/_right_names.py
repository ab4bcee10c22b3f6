"""Wrong arguments that are noticed when a DAG is parsed; the error names what to write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk.definitions.mappedoperator import OperatorPartial

from airflow_provider_openai_run.types.run_ref import check_id

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from airflow.sdk.definitions._internal.expandinput import (
        OperatorExpandArgument,
        OperatorExpandKwargsArgument,
    )
    from airflow.sdk.definitions.mappedoperator import MappedOperator


class RightNames:
    """Mixin of operators: name the right argument in the place of one that the operator does not have."""

    #: What to write, by the names of other APIs.
    RIGHT_NAMES: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def check_names(cls, arguments: Collection[str]) -> None:
        """
        Refuse arguments that have another name in this API, and name it.

        :param arguments: the names of the arguments.
        :raises TypeError: as Python does for an unknown argument.
        """
        for name in arguments:
            if name in cls.RIGHT_NAMES:
                label = getattr(cls, "custom_operator_name", cls.__name__)
                raise TypeError(f"{label} has no argument {name!r}; use {cls.RIGHT_NAMES[name]}")

    @classmethod
    def partial(cls, **kwargs: Any) -> OperatorPartial:
        """
        Return Airflow's partial operator, for ``expand`` and ``expand_kwargs``.

        Airflow checks the names there itself, before it calls any ``__init__``.

        :param kwargs: the arguments that all mapped tasks share.
        :raises TypeError: for an argument that the operator does not have.
        """
        cls.check_names(kwargs)
        operator: OperatorPartial = super().partial(**kwargs)  # type: ignore[misc]
        # A new object would need Airflow's private fields, and the old one would warn that it was not used.
        operator.__class__ = _CheckedPartial
        return operator


def check_outputs(**arguments: object) -> None:
    """
    Refuse the whole output of a task of this provider, an object, where an argument needs one value of it.

    :param arguments: the arguments by their names, when the DAG is parsed.
    :raises InvalidRunReferenceError: naming the argument, and what to pass.
    """
    for name, value in arguments.items():
        is_output = getattr(value, "key", None) == "return_value"
        task = getattr(value, "operator", None) if is_output else value
        if keys := getattr(task, "OUTPUT_KEYS", ()):
            check_id(name, dict.fromkeys(keys))


def check_positive(name: str, value: object) -> None:
    """
    Check that an argument is None or a positive number.

    :param name: the argument.
    :param value: its value.
    :raises ValueError: if it is anything else, naming both.
    """
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or value <= 0):
        raise ValueError(f"{name} must be more than 0, not {value!r}")


class _CheckedPartial(OperatorPartial):
    """Airflow's partial operator, which checks the names of the mapped arguments as well."""

    __slots__ = ()

    def expand(self, **mapped_kwargs: OperatorExpandArgument) -> MappedOperator:
        self.operator_class.check_names(mapped_kwargs)  # type: ignore[attr-defined]
        return super().expand(**mapped_kwargs)

    def expand_kwargs(self, kwargs: OperatorExpandKwargsArgument, *, strict: bool = True) -> MappedOperator:
        for item in kwargs if isinstance(kwargs, list | tuple) else ():
            if isinstance(item, dict):
                self.operator_class.check_names(item)  # type: ignore[attr-defined]
        return super().expand_kwargs(kwargs, strict=strict)
