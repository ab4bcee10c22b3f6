"""Where a run is at a given time: its scripts, and what was done to it, played up to now.

Nothing runs in the background. A run's state is worked out whenever somebody looks.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from airflow_provider_openai_run.sandbox.scripts import TERMINAL, Json, Script, Step

#: The details beside the tokens used. The API says "prompt_token" here, unlike anywhere else.
USAGE_DETAILS: Json = {
    "prompt_token_details": {"cached_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0},
}
_DEFAULT_USAGE = {"prompt_tokens": 120, "completion_tokens": 30, "total_tokens": 150}
_AFTERWARDS = Script(phases=((0, "queued"), (0.5, "in_progress"), (2, "completed")))


@dataclass(frozen=True, kw_only=True)
class StatusChange:
    """
    A status, and when it began.

    :param at: epoch seconds.
    :param status: the status.
    """

    at: float
    status: str


@dataclass(frozen=True, kw_only=True)
class StepSnapshot:
    """
    A step as it stands at a given time.

    :param id: its id.
    :param step: what the script says of it.
    :param status: its status.
    :param began_at: when it began, in epoch seconds.
    :param ended_at: when it ended, if it has.
    :param calls: its tool calls, with their ids, and outputs where they have been submitted.
    :param usage: the tokens it used, if it has ended.
    """

    id: str
    step: Step
    status: str
    began_at: float
    ended_at: float | None
    calls: list[Json]
    usage: Json | None


@dataclass(frozen=True, kw_only=True)
class Segment:
    """
    A script, and when it took over.

    :param start: epoch seconds.
    :param script: the script.
    :param outputs: the tool outputs whose submission started it, by call id.
    """

    start: float
    script: Script
    outputs: dict[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """
    A run as it stands at a given time.

    :param entered: every status it has been in, in order.
    :param steps: the steps it has taken so far, oldest first.
    :param script: the script that it follows.
    """

    entered: list[StatusChange]
    steps: list[StepSnapshot]
    script: Script

    @property
    def status(self) -> str:
        """The status it is in."""
        return self.entered[-1].status

    @property
    def has_ended(self) -> bool:
        """Whether it is in a terminal status."""
        return self.status in TERMINAL

    def since(self, *statuses: str) -> float | None:
        """
        Tell when the run came into the first of the statuses it is in, if it is in one of them.

        :param statuses: the statuses.
        """
        return self.entered[-1].at if self.status in statuses else None

    def last_entered(self, status: str) -> float | None:
        """
        Tell when the run last came into a status.

        :param status: the status.
        """
        times = [entry.at for entry in self.entered if entry.status == status]
        return times[-1] if times else None

    def pending_calls(self) -> list[Json]:
        """Give the function calls that wait for their outputs."""
        return [
            call
            for played in self.steps
            if played.status == "in_progress"
            for call in played.calls
            if call["type"] == "function" and call["function"].get("output") is None
        ]

    def usage(self) -> Json | None:
        """Give the tokens used, in the Assistants API's names: null before the end."""
        if not self.has_ended or self.script.usage is None:
            return None
        return self.summed_usage() if self.script.usage == "sum" else self.script.usage

    def summed_usage(self) -> Json:
        """Give the tokens that the steps have used so far."""
        used = [played.usage for played in self.steps if played.usage is not None]
        total = {name: sum(usage[name] for usage in used) for name in _DEFAULT_USAGE}
        return total | USAGE_DETAILS


class RunTimeline:
    """
    One run, from its creation on.

    :param object_id: its id; the ids of its steps follow from it.
    :param created_at: epoch seconds.
    :param script: what becomes of it.
    :param expires: whether it expires when its script's time is over.
    """

    def __init__(self, object_id: str, *, created_at: float, script: Script, expires: bool) -> None:
        self.id = object_id
        self.created_at = created_at
        self.expires_at = created_at + script.expires_after if expires else None
        self.segments = [Segment(start=created_at, script=script)]
        self._cancel: StatusChange | None = None
        self._cancelled_at = float("inf")

    @property
    def script(self) -> Script:
        """The script that it follows."""
        return self.segments[-1].script

    def resume(self, now: float, outputs: dict[str, str | None]) -> None:
        """
        Let the next script take over.

        :param now: epoch seconds.
        :param outputs: the tool outputs that were submitted, by call id.
        """
        script = self.script.after_outputs or _AFTERWARDS
        self.segments.append(Segment(start=now, script=script, outputs=outputs))

    def cancel(self, now: float, *, seconds: float) -> None:
        """
        Cancel it.

        :param now: epoch seconds.
        :param seconds: how long it is "cancelling" first.
        """
        self._cancel = StatusChange(at=now, status="cancelling")
        self._cancelled_at = now + seconds

    def at(self, now: float) -> Snapshot:
        """
        Tell where it is.

        :param now: epoch seconds.
        """
        entered = self._entered(now)
        last = entered[-1]
        end = last.at if last.status in TERMINAL else None
        return Snapshot(entered=entered, steps=self._steps(now, end, last.status), script=self.script)

    def _entered(self, now: float) -> list[StatusChange]:
        entered = [entry for entry in self._scripted() if entry.at <= now]
        if self._cancel is not None:
            if self._cancelled_at > self._cancel.at and self._cancel.at <= now:
                entered.append(self._cancel)
            if self._cancelled_at <= now:
                entered.append(StatusChange(at=self._cancelled_at, status="cancelled"))
        if self.expires_at is not None and self.expires_at <= now:
            before = [entry for entry in entered if entry.at < self.expires_at]
            if before and before[-1].status not in TERMINAL:
                return [*before, StatusChange(at=self.expires_at, status="expired")]
        return entered

    def _scripted(self) -> list[StatusChange]:
        entered = []
        for segment, end in self._spans():
            for at, status in segment.script.phases:
                if segment.start + at < end or at == 0:
                    entered.append(StatusChange(at=segment.start + at, status=status))
        return entered

    def _spans(self) -> list[tuple[Segment, float]]:
        """Pair each segment with the time at which it no longer counts."""
        stop = self._cancel.at if self._cancel is not None else float("inf")
        if self.expires_at is not None:
            stop = min(stop, max(self.expires_at, self.created_at))
        ends = [segment.start for segment in self.segments[1:]] + [float("inf")]
        return [(segment, min(end, stop)) for segment, end in zip(self.segments, ends, strict=True)]

    def _steps(self, now: float, end: float | None, status: str) -> list[StepSnapshot]:
        played = []
        for index, (segment, stop) in enumerate(self._spans()):
            following = self.segments[index + 1] if index + 1 < len(self.segments) else None
            for number, step in enumerate(segment.script.steps):
                began_at = segment.start + step.at
                if began_at > now or began_at >= stop:
                    continue
                step_id = opaque_id("step", self.id, index, number)
                done_at = _done_at(step, began_at, following)
                if done_at <= (now if end is None else min(now, end)):
                    step_status, ended_at = step.status, done_at
                elif end is None:
                    step_status, ended_at = "in_progress", None
                else:
                    # What a run had not finished shares its fate; no step is ever incomplete.
                    step_status, ended_at = "completed" if status == "incomplete" else status, end
                played.append(
                    StepSnapshot(
                        id=step_id,
                        step=step,
                        status=step_status,
                        began_at=began_at,
                        ended_at=ended_at,
                        calls=_calls(step, step_id, following),
                        usage=None if ended_at is None else (step.usage or dict(_DEFAULT_USAGE)),
                    )
                )
        return played


def _done_at(step: Step, began_at: float, following: Segment | None) -> float:
    if not step.waits_for_output:
        return began_at + step.seconds
    return float("inf") if following is None else following.start


def _calls(step: Step, step_id: str, following: Segment | None) -> list[Json]:
    calls = []
    for number, call in enumerate(step.calls):
        made = {"id": opaque_id("call", step_id, number), **call}
        if call["type"] == "function" and "output" not in call["function"]:
            output = following.outputs.get(made["id"]) if following is not None else None
            made["function"] = {**call["function"], "output": output}
        calls.append(made)
    return calls


def opaque_id(prefix: str, *parts: object) -> str:
    """
    Make an id that follows from others.

    :param prefix: how it begins.
    :param parts: what it follows from.
    """
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()
    return f"{prefix}_{digest[:24]}"
