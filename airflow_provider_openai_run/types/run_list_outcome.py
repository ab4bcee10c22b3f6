"""The outcome of a wait for many runs, and the event in which the triggerer sends it to the worker."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from airflow_provider_openai_run.exceptions import OpenAIRunError, error_from_event
from airflow_provider_openai_run.types.index_ranges import format_ranges, parse_ranges
from airflow_provider_openai_run.types.outcome import Outcome, bounded_error
from airflow_provider_openai_run.types.run_ref import RunRef
from airflow_provider_openai_run.types.storable import bounded_text

#: How many failed runs the outcome, its event and the error name.
MAX_FAILURES = 5


def list_digest(run_ids: Sequence[str]) -> str:
    """
    Return a short text that another list of runs does not have, so that an event shows whose it is.

    :param run_ids: the ids of the runs.
    """
    return hashlib.sha256("\n".join(run_ids).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunListOutcome:
    """
    How a wait for many runs ended.

    :param statuses: the last known status of each run, in the order of the list; None if none is known.
    :param given_up: the positions of the runs whose own wait failed: the API does not know them, they have
        stalled, or ``on_requires_action`` is ``"fail"``.
    :param failures: the first five runs that do not count as accepted, as far as they have ended or were
        given up.
    :param error: why the wait ended before as many runs as were waited for had ended in an accepted status;
        None if they had.
    """

    statuses: tuple[str | None, ...]
    given_up: tuple[int, ...] = ()
    failures: tuple[Outcome, ...] = ()
    error: OpenAIRunError | None = None

    @property
    def counts(self) -> dict[str, int]:
        """How many runs have each status, the most frequent first; runs without one are left out."""
        return dict(Counter(status for status in self.statuses if status is not None).most_common())

    def raise_if_failed(self) -> None:
        """
        Raise the error that ended the wait.

        :raises OpenAIRunError: that error, if there is one.
        """
        if self.error is not None:
            raise self.error

    def to_event(self) -> dict[str, Any]:
        """
        Return the event of a trigger: a small JSON object.

        The positions of runs are text, see :mod:`airflow_provider_openai_run.types.index_ranges`:
        ``{"total": 1000, "statuses": {"completed": "0-997,999", "failed": "998"}, …}``.
        """
        by_status: dict[str, list[int]] = {}
        for index, status in enumerate(self.statuses):
            if status is not None:
                by_status.setdefault(status, []).append(index)
        return {
            "total": len(self.statuses),
            "statuses": {bounded_text(status): format_ranges(found) for status, found in by_status.items()},
            "given_up": format_ranges(self.given_up),
            "failures": [failure.to_event() for failure in self.failures[:MAX_FAILURES]],
            "error": None if self.error is None else bounded_error(self.error),
        }

    @classmethod
    def from_event(cls, event: Mapping[str, Any], api: str, parent_id: str | None = None) -> Self:
        """
        Return the outcome that :meth:`to_event` described; keys of a newer version are ignored.

        :param event: the JSON object.
        :param api: the API of the runs.
        :param parent_id: the id of what they belong to.
        :raises ValueError: if its positions are not those of a list of its length.
        """
        total = int(event["total"])
        statuses: list[str | None] = [None] * total
        for status, ranges in event["statuses"].items():
            for index in parse_ranges(ranges, total):
                statuses[index] = status
        error = event.get("error")
        return cls(
            statuses=tuple(statuses),
            given_up=tuple(parse_ranges(event.get("given_up") or "", total)),
            failures=tuple(
                Outcome.from_event(failure, RunRef(api, failure["run_id"], parent_id))
                for failure in event.get("failures") or ()
            ),
            error=error_from_event(error) if error else None,
        )
