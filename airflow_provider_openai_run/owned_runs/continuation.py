"""How far a task has come with its run."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from airflow_provider_openai_run.api.registry import ref_from_json

if TYPE_CHECKING:
    from airflow_provider_openai_run.types.run import Json, Run
    from airflow_provider_openai_run.types.run_ref import RunRef


@dataclass(frozen=True, slots=True, kw_only=True)
class Continuation:
    """
    How far a task has come with its run: small, and plain JSON, because it crosses deferrals.

    :param run_id: the run that is followed now; over the rounds of a tool conversation with the Responses API
        this is one response after the other.
    :param api: the name of its API.
    :param parent_id: what it belongs to, such as its thread; None for a response.
    :param started_at: when this try began, in epoch seconds: what the deadlines count from.
    :param owned: whether this task made the run, and so may cancel it.
    :param round: how many times the run was handed what it asked for, in this try.
    :param spent: tokens used by the responses before this one.
    :param made: the runs this try has followed, oldest first.
    :param answers: what people have answered so far in this round, by call id.
    """

    run_id: str
    api: str | None = None
    parent_id: str | None = None
    started_at: float = field(default_factory=time.time)
    owned: bool = True
    round: int = 0
    spent: int = 0
    made: tuple[str, ...] = ()
    answers: dict[str, Json] = field(default_factory=dict)

    @property
    def ref(self) -> RunRef:
        """The run."""
        return ref_from_json({"run_id": self.run_id, "api": self.api, "parent_id": self.parent_id})

    def on(self, run: Run, *, spent: int = 0) -> Self:
        """
        Give the progress after a round.

        :param run: what is followed from here on.
        :param spent: tokens used by the response before it.
        """
        made = self.made if run.id in self.made else (*self.made, run.id)
        return dataclasses.replace(
            self, run_id=run.id, round=self.round + 1, spent=self.spent + spent, made=made, answers={}
        )

    def answered(self, call_id: str, answer: Json) -> Self:
        """Give the progress after a person has answered a call."""
        return dataclasses.replace(self, answers={**self.answers, call_id: answer})

    def to_json(self) -> dict[str, Json]:
        """Give it as plain JSON."""
        return {**dataclasses.asdict(self), "made": list(self.made)}

    @classmethod
    def from_json(cls, value: dict[str, Json]) -> Self:
        """Read what :meth:`to_json` gave."""
        known = {item.name for item in dataclasses.fields(cls)}
        kept = {name: held for name, held in value.items() if name in known}
        if "api" not in kept:
            kept |= ref_from_json(value).ids
        return cls(**{**kept, "made": tuple(kept.get("made") or ())})
