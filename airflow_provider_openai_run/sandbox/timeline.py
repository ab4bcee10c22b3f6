"""The state of a run at a given time, computed from its scripts and from what was done to it.

Nothing runs in the background: the state is computed for each request.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from airflow_provider_openai_run.sandbox.scripts import TERMINAL, JsonObject, Script, Step

#: The usage details. The API's name is "prompt_token_details" here, in the singular.
USAGE_DETAILS: dict[str, dict[str, int]] = {
    "prompt_token_details": {"cached_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0},
}
_DEFAULT_USAGE = {"prompt_tokens": 120, "completion_tokens": 30, "total_tokens": 150}
_DEFAULT_AFTER_OUTPUTS = Script(phases=((0, "queued"), (0.5, "in_progress"), (2, "completed")))


@dataclass(frozen=True, kw_only=True)
class StatusChange:
    """
    A change of a run's status.

    :param at: time in epoch seconds.
    :param status: the new status.
    """

    at: float
    status: str


@dataclass(frozen=True, kw_only=True)
class StepSnapshot:
    """
    The state of a step at a given time.

    :param id: ID of the step.
    :param step: the step of the script.
    :param status: its status.
    :param began_at: start in epoch seconds.
    :param ended_at: end in epoch seconds; None before the end.
    :param calls: its tool calls with their IDs and submitted outputs.
    :param usage: its token usage; None before the end.
    """

    id: str
    step: Step
    status: str
    began_at: float
    ended_at: float | None
    calls: list[JsonObject]
    usage: JsonObject | None


@dataclass(frozen=True, kw_only=True)
class Segment:
    """
    A script and its start.

    :param start: time in epoch seconds.
    :param script: the script.
    :param outputs: tool outputs that were submitted at its start, by call ID.
    """

    start: float
    script: Script
    outputs: dict[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """
    The state of a run at a given time.

    :param changes: its status changes, oldest first.
    :param steps: its steps, oldest first.
    :param script: the current script.
    """

    changes: list[StatusChange]
    steps: list[StepSnapshot]
    script: Script

    @property
    def status(self) -> str:
        """The current status."""
        return self.changes[-1].status

    @property
    def has_ended(self) -> bool:
        """Whether the status is terminal."""
        return self.status in TERMINAL

    def status_since(self, *statuses: str) -> float | None:
        """
        Return the time of the last status change if the current status is one of these, else None.

        :param statuses: accepted statuses.
        """
        return self.changes[-1].at if self.status in statuses else None

    def last_change_to(self, status: str) -> float | None:
        """
        Return the time of the last change to a status, or None.

        :param status: the new status.
        """
        times = [change.at for change in self.changes if change.status == status]
        return times[-1] if times else None

    def pending_calls(self) -> list[JsonObject]:
        """Return the function calls without an output."""
        return [
            call
            for step in self.steps
            if step.status == "in_progress"
            for call in step.calls
            if call["type"] == "function" and call["function"].get("output") is None
        ]

    def usage(self) -> JsonObject | None:
        """Return the token usage in the Assistants API's names; None before the end."""
        if not self.has_ended or self.script.usage is None:
            return None
        return self.summed_usage() if self.script.usage == "sum" else self.script.usage

    def summed_usage(self) -> JsonObject:
        """Return the sum of the steps' token usage."""
        usages = [step.usage for step in self.steps if step.usage is not None]
        total: JsonObject = {name: sum(usage[name] for usage in usages) for name in _DEFAULT_USAGE}
        for name, details in USAGE_DETAILS.items():
            total[name] = {key: sum(usage.get(name, details)[key] for usage in usages) for key in details}
        return total


class RunTimeline:
    """
    The course of one run or response.

    :param object_id: ID of the run; the IDs of its steps are derived from it.
    :param created_at: time in epoch seconds.
    :param script: its first script.
    :param expires: whether it expires ``script.expires_after`` seconds after its creation.
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
        """The current script."""
        return self.segments[-1].script

    def resume(self, now: float, outputs: dict[str, str | None]) -> None:
        """
        Start the next script.

        :param now: current time in epoch seconds.
        :param outputs: the submitted tool outputs, by call ID.
        """
        script = self.script.after_outputs or _DEFAULT_AFTER_OUTPUTS
        self.segments.append(Segment(start=now, script=script, outputs=outputs))

    def cancel(self, now: float, *, seconds: float) -> None:
        """
        Cancel the run.

        :param now: current time in epoch seconds.
        :param seconds: seconds that it is "cancelling" first.
        """
        self._cancel = StatusChange(at=now, status="cancelling")
        self._cancelled_at = now + seconds

    def at(self, now: float) -> Snapshot:
        """
        Return the state at a time.

        :param now: current time in epoch seconds.
        """
        changes = self._changes(now)
        last = changes[-1]
        end = last.at if last.status in TERMINAL else None
        return Snapshot(changes=changes, steps=self._steps(now, end, last.status), script=self.script)

    def _changes(self, now: float) -> list[StatusChange]:
        changes = [change for change in self._scripted() if change.at <= now]
        if self._cancel is not None:
            if self._cancelled_at > self._cancel.at and self._cancel.at <= now:
                changes.append(self._cancel)
            if self._cancelled_at <= now:
                changes.append(StatusChange(at=self._cancelled_at, status="cancelled"))
        if self.expires_at is not None and self.expires_at <= now:
            before = [change for change in changes if change.at < self.expires_at]
            if before and before[-1].status not in TERMINAL:
                return [*before, StatusChange(at=self.expires_at, status="expired")]
        return changes

    def _scripted(self) -> list[StatusChange]:
        changes = []
        for segment, end in self._spans():
            for at, status in segment.script.phases:
                if segment.start + at < end or at == 0:
                    changes.append(StatusChange(at=segment.start + at, status=status))
        return changes

    def _spans(self) -> list[tuple[Segment, float]]:
        """Return each segment with the time from which it no longer applies."""
        stop = self._cancel.at if self._cancel is not None else float("inf")
        if self.expires_at is not None:
            stop = min(stop, max(self.expires_at, self.created_at))
        ends = [segment.start for segment in self.segments[1:]] + [float("inf")]
        return [(segment, min(end, stop)) for segment, end in zip(self.segments, ends, strict=True)]

    def _steps(self, now: float, end: float | None, status: str) -> list[StepSnapshot]:
        snapshots = []
        for index, (segment, stop) in enumerate(self._spans()):
            next_segment = self.segments[index + 1] if index + 1 < len(self.segments) else None
            for number, step in enumerate(segment.script.steps):
                began_at = segment.start + step.at
                if began_at > now or began_at >= stop:
                    continue
                step_id = opaque_id("step", self.id, index, number)
                done_at = _done_at(step, began_at, next_segment)
                if done_at <= (now if end is None else min(now, end)):
                    step_status, ended_at = step.status, done_at
                elif end is None:
                    step_status, ended_at = "in_progress", None
                else:
                    # An unfinished step gets the status of its run; no step is ever incomplete.
                    step_status, ended_at = "completed" if status == "incomplete" else status, end
                snapshots.append(
                    StepSnapshot(
                        id=step_id,
                        step=step,
                        status=step_status,
                        began_at=began_at,
                        ended_at=ended_at,
                        calls=_calls(step, step_id, next_segment),
                        usage=None if ended_at is None else (step.usage or dict(_DEFAULT_USAGE)),
                    )
                )
        return snapshots


def _done_at(step: Step, began_at: float, next_segment: Segment | None) -> float:
    if not step.waits_for_output:
        return began_at + step.seconds
    return float("inf") if next_segment is None else next_segment.start


def _calls(step: Step, step_id: str, next_segment: Segment | None) -> list[JsonObject]:
    calls = []
    for number, call in enumerate(step.calls):
        complete = {"id": opaque_id("call", step_id, number), **call}
        if call["type"] == "function" and "output" not in call["function"]:
            output = next_segment.outputs.get(complete["id"]) if next_segment is not None else None
            complete["function"] = {**call["function"], "output": output}
        calls.append(complete)
    return calls


def opaque_id(prefix: str, *parts: object) -> str:
    """
    Return an ID derived from others.

    :param prefix: its prefix.
    :param parts: values to derive it from.
    """
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()
    return f"{prefix}_{digest[:24]}"
