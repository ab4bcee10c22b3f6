"""The state of each request of a bulk task, as the records of its journal say.

Records are JSON objects with a ``type``; requests stand in them by their position, from 0:

- ``pass``: a process has taken the task over.
- ``creating``: requests are about to be sent; nothing was paid for before this.
- ``lost``: a request was sent and its response was lost, so a response may exist whose id is lost.
- ``not_created``: requests that were about to be sent, and were not, or were refused without any effect.
- ``created``: the ids of responses, by position.
- ``ended``: how a request has ended, and where its line is.
- ``again``: requests that have ended are created again.
- ``finished``: the result files were written.
- ``snapshot``: the whole state; what was recorded before does not count.
"""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from airflow_provider_openai_run.types.status import RunState, classify_status

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_openai_run.types.json import Json

#: The status of a request that the API refused, so that it has no response.
REFUSED = "refused"
#: The status of a request whose response was lost, as often as it was sent.
LOST = "lost"
#: The status of a response that the API does not know any more.
GONE = "gone"

#: A retry does not create these again: the same request ends the same way.
_FINAL_STATUSES = frozenset({"completed", "incomplete", REFUSED})


def is_answered(status: str) -> bool:
    """Return whether a request that ended with a status has an answer."""
    return classify_status(status) is RunState.SUCCEEDED


class Phase(IntEnum):
    """Where a request is."""

    PENDING = 0
    CREATING = 1
    ACTIVE = 2
    ENDED = 3


@dataclass(frozen=True, slots=True)
class Ending:
    """
    How a request has ended.

    :param status: the status of its response, or ``refused``, ``lost`` or ``gone``.
    :param tokens: input, output and total tokens.
    :param file: the file with its line.
    :param offset: where the line begins there.
    :param length: the length of the line in bytes.
    """

    status: str
    tokens: tuple[int, int, int]
    file: str
    offset: int
    length: int

    @property
    def is_answered(self) -> bool:
        """Whether the response has completed."""
        return is_answered(self.status)

    def to_json(self) -> list[Json]:
        """Return it as JSON."""
        return [self.status, list(self.tokens), self.file, self.offset, self.length]

    @classmethod
    def from_json(cls, value: list[Any]) -> Ending:
        """Read what :meth:`to_json` returned."""
        status, tokens, file, offset, length = value
        return cls(status, (tokens[0], tokens[1], tokens[2]), file, offset, length)


class BulkState:
    """
    The state of all requests.

    :param total: how many there are.
    """

    def __init__(self, total: int) -> None:
        self._phases = bytearray(total)
        self._attempts = bytearray(total)
        self._resends = bytearray(total)
        self._run_ids: dict[int, str] = {}
        self._endings: dict[int, Ending] = {}
        self._counts: Counter[int] = Counter({Phase.PENDING: total})
        self._statuses: Counter[str] = Counter()
        self._tokens = [0, 0, 0]
        #: How many responses are known to have been created.
        self.created = 0
        #: How many requests were sent whose response was lost, so that more may have been created.
        self.lost = 0
        #: Whether the result files were written after the last response had ended.
        self.is_finished = False

    @property
    def total(self) -> int:
        """How many requests there are."""
        return len(self._phases)

    @property
    def statuses(self) -> dict[str, int]:
        """How many requests have ended, by their status."""
        return {status: count for status, count in sorted(self._statuses.items()) if count}

    @property
    def failed(self) -> int:
        """How many requests have ended without an answer."""
        answered = (count for status, count in self._statuses.items() if is_answered(status))
        return self.count(Phase.ENDED) - sum(answered)

    @property
    def tokens(self) -> dict[str, Json]:
        """The tokens of the responses that have ended; those of earlier attempts are counted too."""
        return dict(zip(("input", "output", "total"), self._tokens, strict=True))

    @property
    def total_tokens(self) -> int:
        """Input and output tokens together."""
        return self._tokens[2]

    def count(self, phase: Phase) -> int:
        """Return how many requests are in a phase."""
        return self._counts[phase]

    def positions(self, phase: Phase) -> list[int]:
        """Return the requests in a phase, in order."""
        return [index for index, each in enumerate(self._phases) if each == phase]

    def first(self, phase: Phase, count: int, start: int = 0) -> list[int]:
        """Return the first requests in a phase, from a position on."""
        found: list[int] = []
        while len(found) < count and (start := self._phases.find(phase, start)) >= 0:
            found.append(start)
            start += 1
        return found

    def phase(self, index: int) -> Phase:
        """Return the phase of a request."""
        return Phase(self._phases[index])

    def run_id(self, index: int) -> str:
        """Return the id of the response of an active request."""
        return self._run_ids[index]

    def attempt(self, index: int) -> int:
        """Return how often the request was created again after it had ended."""
        return self._attempts[index]

    def resends(self, index: int) -> int:
        """Return how many responses to the request were lost in its present attempt."""
        return self._resends[index]

    def ending(self, index: int) -> Ending:
        """Return how a request has ended."""
        return self._endings[index]

    def repeatable(self) -> list[int]:
        """Return the requests that ended without an answer, and may get one if they are created again."""
        return [index for index, each in self._endings.items() if each.status not in _FINAL_STATUSES]

    def first_failed(self, count: int) -> list[int]:
        """Return the first requests that have ended without an answer, in the order of their ends."""
        failed = (index for index, each in self._endings.items() if not each.is_answered)
        return list(itertools.islice(failed, count))

    def apply(self, record: dict[str, Any]) -> None:
        """Change the state as a record says; records of types that a newer version wrote are ignored."""
        kind = record.get("type")
        if kind == "creating":
            self._move(record["requests"], Phase.CREATING)
        elif kind == "lost":
            self._on_lost(record["request"])
        elif kind == "not_created":
            self._move(record["requests"], Phase.PENDING)
        elif kind == "created":
            self._on_created(record["ids"])
        elif kind == "ended":
            self._on_ended(record["request"], Ending.from_json(record["ending"]))
        elif kind == "again":
            self._on_again(record["requests"])
        elif kind == "finished":
            self.is_finished = True
        elif kind == "snapshot":
            self._on_snapshot(record)

    def snapshot(self) -> dict[str, Json]:
        """Return the record from which the state can be restored."""
        return {
            "type": "snapshot",
            "phases": self._phases.decode("latin-1"),
            "attempts": self._attempts.hex(),
            "resends": self._resends.hex(),
            "run_ids": {str(index): run_id for index, run_id in self._run_ids.items()},
            "endings": {str(index): ending.to_json() for index, ending in self._endings.items()},
            "tokens": list(self._tokens),
            "created": self.created,
            "lost": self.lost,
            "is_finished": self.is_finished,
        }

    def _move(self, indexes: Iterable[int], phase: Phase) -> None:
        for index in indexes:
            self._counts[self._phases[index]] -= 1
            self._counts[phase] += 1
            self._phases[index] = phase
        self.is_finished = False

    def _on_lost(self, index: int) -> None:
        self.lost += 1
        self._resends[index] = min(self._resends[index] + 1, 255)

    def _on_created(self, ids: dict[str, str]) -> None:
        indexes = [int(index) for index in ids]
        self._move(indexes, Phase.ACTIVE)
        self._run_ids.update(zip(indexes, ids.values(), strict=True))
        self.created += len(ids)

    def _on_ended(self, index: int, ending: Ending) -> None:
        self._move([index], Phase.ENDED)
        self._run_ids.pop(index, None)
        self._endings[index] = ending
        self._statuses[ending.status] += 1
        self._tokens = [sum(pair) for pair in zip(self._tokens, ending.tokens, strict=True)]

    def _on_again(self, indexes: list[int]) -> None:
        self._move(indexes, Phase.PENDING)
        for index in indexes:
            self._statuses[self._endings.pop(index).status] -= 1
            self._attempts[index] = min(self._attempts[index] + 1, 255)
            self._resends[index] = 0

    def _on_snapshot(self, record: dict[str, Any]) -> None:
        self._phases = bytearray(record["phases"], "latin-1")
        self._attempts = bytearray.fromhex(record["attempts"])
        self._resends = bytearray.fromhex(record["resends"])
        self._run_ids = {int(index): run_id for index, run_id in record["run_ids"].items()}
        self._endings = {int(index): Ending.from_json(each) for index, each in record["endings"].items()}
        self._counts = Counter(self._phases)
        self._statuses = Counter(ending.status for ending in self._endings.values())
        self._tokens = record["tokens"]
        self.created, self.lost = record["created"], record["lost"]
        self.is_finished = record["is_finished"]
