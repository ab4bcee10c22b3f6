"""Scripts of batches: how long each status lasts, how they end, and which of their requests fail."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

#: How a batch can end, beside by a cancel.
Ending = Literal["completed", "failed", "expired"]


@dataclass(frozen=True, kw_only=True)
class BatchScript:
    """
    The course of a batch whose input file is valid. Its requests are carried out one after the other.

    :param validating: seconds in the status "validating".
    :param in_progress: seconds that all its requests take.
    :param finalizing: seconds in the status "finalizing".
    :param cancelling: seconds in the status "cancelling", once it is cancelled.
    :param ending: its last status. A "failed" batch has failed its validation.
    :param done: number of requests that are done before it expires; half of them by default.
    :param fail_every: every n-th request fails with ``fail_status``; none by default.
    :param fail_status: the HTTP status of a failed request.
    :param description: one line for the list of scripts.
    """

    validating: float = 1.0
    in_progress: float = 10.0
    finalizing: float = 1.0
    cancelling: float = 1.0
    ending: Ending = "completed"
    done: int | None = None
    fail_every: int | None = None
    fail_status: int = 500
    description: str = ""

    def __post_init__(self) -> None:
        times: list[object] = [self.validating, self.in_progress, self.finalizing, self.cancelling]
        if not all(isinstance(time, int | float) and time >= 0 for time in times):
            raise ValueError("the times of a batch's script must be numbers of seconds, 0 or more")
        if self.ending not in ("completed", "failed", "expired"):
            raise ValueError(f"ending must be completed, failed or expired, not {self.ending!r}")
        every: object = self.fail_every
        if every is not None and (not isinstance(every, int) or every < 1):
            raise ValueError("fail_every must be an integer of 1 or more")

    def fails(self, number: int) -> bool:
        """
        Return whether a request fails.

        :param number: its line in the input file, from 1.
        """
        return self.fail_every is not None and number % self.fail_every == 0


#: The scripts of batches that the sandbox starts with, by name.
BATCH_SCRIPTS: Mapping[str, BatchScript] = MappingProxyType(
    {
        "completed": BatchScript(description="completes after 12 s"),
        "instant": BatchScript(
            validating=0, in_progress=0, finalizing=0, description="completed as soon as it is created"
        ),
        "failed": BatchScript(ending="failed", description="fails its validation after 1 s"),
        "expired": BatchScript(ending="expired", description="expires after 11 s with half of it done"),
        "every_10th_fails": BatchScript(
            fail_every=10, description="completes after 12 s; every 10th request fails"
        ),
        "in_progress": BatchScript(
            in_progress=7 * 24 * 3600.0, description="in progress until it expires after 24 h"
        ),
    }
)


def read_batch_script(value: BatchScript | str | Mapping[str, Any]) -> BatchScript:
    """
    Return the script that a name, JSON or script describes.

    :param value: a script, its name, or its JSON as a mapping or text: fields of :class:`BatchScript`, and
        ``base``, the name of the script that has the others.
    :raises ValueError: it is invalid; the message says why.
    """
    if isinstance(value, BatchScript):
        return value
    if isinstance(value, Mapping):
        return _script_from_json(value)
    if not str(value).lstrip().startswith("{"):
        return _named_script(str(value))
    try:
        return _script_from_json(json.loads(value))
    except json.JSONDecodeError as error:
        raise ValueError(f"this script is not JSON: {error}") from error


def _script_from_json(document: Mapping[str, Any]) -> BatchScript:
    fields = dict(document)
    base = _named_script(str(fields.pop("base", "completed")))
    allowed = {field.name for field in dataclasses.fields(BatchScript)}
    if unknown := sorted(set(fields) - allowed):
        names = ", ".join(sorted(allowed))
        raise ValueError(f"a batch's script has no {', '.join(unknown)}; it has {names}")
    return dataclasses.replace(base, **fields)


def _named_script(name: str) -> BatchScript:
    if name not in BATCH_SCRIPTS:
        known = ", ".join(sorted(BATCH_SCRIPTS))
        raise ValueError(f"there is no script '{name}' of batches; there are {known}")
    return BATCH_SCRIPTS[name]
