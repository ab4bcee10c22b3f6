"""Trigger arguments from Airflow's database, written by this or another version of the provider."""

from __future__ import annotations

import functools
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

log = logging.getLogger(__name__)


class InvalidTriggerArgumentError(ValueError, TypeError):
    """
    An argument of a trigger is invalid.

    It is a ``TypeError`` because Airflow's triggerer handles only that when it creates a trigger from stored
    arguments: the task fails. Any other error ends the process that runs all triggers.
    """


@contextmanager
def checked_arguments() -> Iterator[None]:
    """
    Check arguments: raise a ``ValueError`` as an :class:`InvalidTriggerArgumentError`.

    :raises InvalidTriggerArgumentError: with the message of the ``ValueError``.
    """
    try:
        yield
    except ValueError as error:
        raise InvalidTriggerArgumentError(str(error)) from error


def ignore_unknown(trigger: str, names: Iterable[str]) -> None:
    """
    Log that stored arguments are ignored, once per process for each set of names.

    :param trigger: the trigger's class.
    :param names: the arguments.
    """
    _log_ignored(trigger, tuple(sorted(names)))


@functools.cache
def _log_ignored(trigger: str, names: tuple[str, ...]) -> None:
    if names:
        log.warning(
            "%s ignores stored arguments that this version of the provider does not know: %s",
            trigger,
            ", ".join(names),
        )
