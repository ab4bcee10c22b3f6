"""The meaning of each status of a run: one table for all APIs.

The statuses are those of `Assistants runs <https://platform.openai.com/docs/api-reference/runs/object>`__ and
of `Responses <https://platform.openai.com/docs/api-reference/responses/object>`__, which share them, and of
`batches <https://platform.openai.com/docs/api-reference/batch/object>`__, which add two.
"""

from __future__ import annotations

from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


class RunState(Enum):
    """The state of a run, as its status says."""

    ACTIVE = "active"
    NEEDS_ACTION = "needs action"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    INCOMPLETE = "incomplete"
    UNKNOWN = "unknown"

    @property
    def is_terminal(self) -> bool:
        """Whether the run has ended; a run with an unknown status has not."""
        return self not in _OPEN


_OPEN = frozenset({RunState.ACTIVE, RunState.NEEDS_ACTION, RunState.UNKNOWN})

#: Every status the APIs document.
STATUSES: Mapping[str, RunState] = MappingProxyType(
    {
        "queued": RunState.ACTIVE,
        "validating": RunState.ACTIVE,
        "in_progress": RunState.ACTIVE,
        "finalizing": RunState.ACTIVE,
        "cancelling": RunState.ACTIVE,
        "requires_action": RunState.NEEDS_ACTION,
        "completed": RunState.SUCCEEDED,
        "failed": RunState.FAILED,
        "cancelled": RunState.CANCELLED,
        "expired": RunState.EXPIRED,
        "incomplete": RunState.INCOMPLETE,
    }
)

#: The statuses in which a run has ended.
TERMINAL_STATUSES = frozenset(name for name, state in STATUSES.items() if state.is_terminal)


def classify_status(status: str | None) -> RunState:
    """
    Return the state that a status means.

    :param status: the API's word; one that is not documented, or None, means ``RunState.UNKNOWN``.
    """
    return STATUSES.get(status, RunState.UNKNOWN) if status is not None else RunState.UNKNOWN


def check_accepted_statuses(statuses: Collection[str], name: str = "accepted_statuses") -> tuple[str, ...]:
    """
    Return the statuses as a tuple.

    :param statuses: the terminal statuses that count as success.
    :param name: the argument's name, for the error.
    :raises ValueError: for a bare string, an empty collection, or a status that is not terminal.
    """
    if isinstance(statuses, str):
        msg = f"{name} must be a collection of statuses, such as ({statuses!r},), not a string"
        raise ValueError(msg)  # noqa: TRY004 - wrong values of all kinds are a ValueError
    unknown = sorted(set(map(str, statuses)) - TERMINAL_STATUSES)
    if unknown or not statuses:
        msg = f"{name} must be some of {sorted(TERMINAL_STATUSES)}, not {list(statuses)!r}"
        raise ValueError(msg)
    return tuple(statuses)
