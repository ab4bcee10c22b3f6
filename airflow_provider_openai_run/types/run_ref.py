"""Which run is meant."""

from __future__ import annotations

import re
from dataclasses import dataclass

from airflow_provider_openai_run.exceptions import InvalidRunReferenceError

_REFUSED_IN_IDS = re.compile(r"[\s/?#\x00-\x1f\x7f-\x9f\\%\ud800-\udfff]|\.\.|^\.$")


@dataclass(frozen=True, slots=True)
class RunRef:
    r"""
    Which run is meant.

    :param run_id: the run's id. Ids are opaque: no prefix is asked for.
    :param thread_id: the thread of an Assistants run; None means the Responses API.
    :raises InvalidRunReferenceError: for an id that is no string, is empty, or holds white space, control
        characters, ``/``, ``\``, ``..``, ``?``, ``#`` or ``%``: it would ask the API for something else.
    """

    run_id: str
    thread_id: str | None = None

    def __post_init__(self) -> None:
        _refuse_bad_id("run_id", self.run_id)
        if self.thread_id is not None:
            _refuse_bad_id("thread_id", self.thread_id)

    def __str__(self) -> str:
        return f"run {self.run_id}" if self.thread_id is None else f"run {self.run_id} on {self.thread_id}"


def _refuse_bad_id(name: str, value: object) -> None:
    if not isinstance(value, str):
        problem = f"must be a string, not {type(value).__name__}"
    elif not value:
        problem = "is empty"
    elif value == "None":
        problem = "is what a template makes of nothing"
    elif bad := _REFUSED_IN_IDS.search(value):
        problem = f"holds {bad.group()!r}, which no id holds"
    else:
        return
    way_out = (
        "Give the id as the API returned it; if it comes from a template or an XCom, look at what that gave."
    )
    msg = f"{name} {problem}: {str(value)[:100]!r}. {way_out}"
    raise InvalidRunReferenceError(msg)
