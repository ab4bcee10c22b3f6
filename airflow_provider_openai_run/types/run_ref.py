"""A reference to a run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from airflow_provider_openai_run.exceptions import InvalidRunReferenceError
from airflow_provider_openai_run.types.storable import MAX_ID_CHARACTERS

#: The keys of a task's output that hold the id for an argument, where they differ from its name.
_ID_KEYS: dict[str, tuple[str, ...]] = {
    "run_id": ("id", "run_id"),
    "previous_response_id": ("id", "run_id"),
    "conversation": ("conversation_id",),
}
_REFUSED_IN_IDS = re.compile(r"[\s/?#\x00-\x1f\x7f-\x9f\\%\ud800-\udfff]|\.\.|^\.$")


@dataclass(frozen=True, slots=True)
class RunRef:
    r"""
    A reference to one run of one API.

    DAG authors use the API's own names (``run_id``, ``thread_id``), from which
    :func:`airflow_provider_openai_run.api.registry.run_ref` makes a reference.

    :param api: the name of an API in :data:`airflow_provider_openai_run.api.registry.APIS`.
    :param run_id: the run's id. Ids are opaque: no prefix is required.
    :param parent_id: the id of what the run belongs to, such as its thread; None for an API whose runs
        stand alone.
    :raises InvalidRunReferenceError: for an id that is not a string, is empty, has more than 1,000
        characters, or contains white space, control characters, ``/``, ``\``, ``..``, ``?``, ``#`` or ``%``,
        which would change the path.
    """

    api: str
    run_id: str
    parent_id: str | None = None

    def __post_init__(self) -> None:
        check_id("run_id", self.run_id)
        if self.parent_id is not None:
            check_id("parent_id", self.parent_id)

    def __str__(self) -> str:
        return f"run {self.run_id}" if self.parent_id is None else f"run {self.run_id} on {self.parent_id}"

    @property
    def ids(self) -> dict[str, Any]:
        """The reference as plain JSON, as it is in triggers, events and errors."""
        return {"api": self.api, "run_id": self.run_id, "parent_id": self.parent_id}


def check_id(name: str, value: object) -> None:
    """
    Check that an id can be used in a request.

    :param name: the argument's name.
    :param value: the id.
    :raises InvalidRunReferenceError: if it cannot, naming the argument and the value.
    """
    if isinstance(value, dict) and (key := _id_key(name, value)):
        raise InvalidRunReferenceError(
            f"{name} must be a string, not dict: it is the whole output of a task; pass .output[{key!r}], "
            f"or of mapped tasks .output.map(lambda run: run[{key!r}])"
        )
    if not isinstance(value, str):
        problem = f"must be a string, not {type(value).__name__}"
    elif not value:
        problem = "is empty"
    elif value == "None":
        problem = "rendered to 'None': the XCom or param it comes from is empty"
    elif len(value) > MAX_ID_CHARACTERS:
        problem = f"has {len(value):,} characters, and no API has ids of more than {MAX_ID_CHARACTERS:,}"
    elif bad := _REFUSED_IN_IDS.search(value):
        problem = f"contains {bad.group()!r}, which no id contains"
    else:
        return
    advice = "Pass the id as the API returned it; check the template or the XCom that it comes from."
    raise InvalidRunReferenceError(f"{name} {problem}: {str(value)[:100]!r}. {advice}")


def check_run_ids(values: object) -> list[str]:
    """
    Return the ids of many runs as a list.

    :param values: a list or a tuple of ids.
    :raises InvalidRunReferenceError: if it is anything else, or an id cannot be used in a request, naming its
        position, or is there twice.
    """
    if not isinstance(values, list | tuple):
        raise InvalidRunReferenceError(f"run_id must be a list of ids, not {type(values).__name__}")
    positions: dict[str, int] = {}
    for position, value in enumerate(values):
        check_id(f"run_id[{position}]", value)
        if (first := positions.setdefault(value, position)) != position:
            raise InvalidRunReferenceError(
                f"run_id has {value[:100]!r} twice, at the positions {first} and {position}; "
                "a wait for many runs takes each once"
            )
    return list(positions)


def _id_key(name: str, output: dict[str, object]) -> str | None:
    """Return the key of a task's output that holds the id for an argument; None if it has none."""
    argument = name.partition("[")[0]
    keys = _ID_KEYS.get(argument, (argument,))
    return next((key for key in keys if key in output), None)
