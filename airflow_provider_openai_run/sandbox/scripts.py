"""What becomes of a run: its script.

A script is data: it can be written in Python, sent to the admin API as JSON, or stand in a run's metadata::

    Script(phases=((0, "queued"), (1, "in_progress"), (4, "failed")), last_error={"code": "server_error"})
    {"phases": [[0, "queued"], [1, "in_progress"], [4, "failed"]], "last_error": {"code": "server_error"}}
    {"base": "completed", "seconds": 30, "steps": 25}
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Json: TypeAlias = dict[str, Any]

#: The statuses in which a run stays for good.
TERMINAL = frozenset({"completed", "failed", "cancelled", "expired", "incomplete"})


@dataclass(frozen=True, kw_only=True)
class Step:
    """
    One step of a run.

    :param type: "message_creation", "tool_calls", or any other word to play a kind nobody knows.
    :param at: when it begins, in seconds after its script does.
    :param seconds: how long it takes. A function call waits for its output regardless.
    :param text: what the message says, for a "message_creation".
    :param details: what stands in ``step_details`` beside its type, e.g. ``{"tool_calls": [...]}``. Ids that
        are left out are filled in.
    :param status: how it ends, unless the run ends first.
    :param last_error: why it failed.
    :param usage: the tokens it used, in the Assistants API's names; a plausible number unless given.
    """

    type: str = "message_creation"
    at: float = 0.0
    seconds: float = 0.0
    text: str = "The answer is 42."
    details: Json = dataclasses.field(default_factory=dict)
    status: str = "completed"
    last_error: Json | None = None
    usage: Json | None = None

    @property
    def calls(self) -> list[Json]:
        """The tool calls of the step."""
        return list(self.details.get("tool_calls", ())) if self.type == "tool_calls" else []

    @property
    def waits_for_output(self) -> bool:
        """Whether somebody has to submit a tool's output for the step to go on."""
        return any(call["type"] == "function" and "output" not in call["function"] for call in self.calls)


@dataclass(frozen=True, kw_only=True)
class Script:
    """
    What becomes of a run, in the words of the Assistants API; a response translates them into its own.

    :param phases: when each status begins: pairs of (seconds after the script's start, status). Any word will
        do for a status.
    :param steps: the steps, each at its time.
    :param usage: the tokens used, known at the end: the sum of the steps' unless given; None stays null.
    :param last_error: why the run failed, ``{"code": ..., "message": ...}``.
    :param incomplete_details: why the run is incomplete, ``{"reason": ...}``.
    :param required_action: what ``requires_action`` asks for: the pending function calls, this JSON, or null.
    :param after_outputs: the script that takes over when tool outputs are submitted.
    :param cancel_seconds: how long a run is "cancelling" (a response is cancelled at once).
    :param expires_after: when a run that has not ended expires, in seconds after its creation.
    :param about: one line for people.
    """

    phases: tuple[tuple[float, str], ...]
    steps: tuple[Step, ...] = ()
    usage: Json | Literal["sum"] | None = "sum"
    last_error: Json | None = None
    incomplete_details: Json | None = None
    required_action: Json | Literal["calls"] | None = "calls"
    after_outputs: Script | None = None
    cancel_seconds: float = 1.0
    expires_after: float = 600.0
    about: str = ""

    def __post_init__(self) -> None:
        times = [at for at, _ in self.phases]
        if not times or times[0] != 0 or times != sorted(times):
            raise ValueError("the phases of a script begin at 0 seconds and are in order")

    @property
    def seconds(self) -> float:
        """How long the script takes until its last phase."""
        return self.phases[-1][0]

    def lasting(self, seconds: float) -> Script:
        """
        Play the same in another time.

        :param seconds: how long it shall take until the last phase.
        """
        if not self.seconds:
            return self
        pace = seconds / self.seconds
        return dataclasses.replace(
            self,
            phases=tuple((at * pace, status) for at, status in self.phases),
            steps=tuple(dataclasses.replace(s, at=s.at * pace, seconds=s.seconds * pace) for s in self.steps),
        )


def many_steps(count: int, *, seconds: float) -> tuple[Step, ...]:
    """
    Make steps that use the code interpreter, one after the other, and a message at the end.

    :param count: how many, the message included.
    :param seconds: how long they take together.
    """
    if count < 1:
        return ()
    each = seconds / count
    calls = [
        Step(
            type="tool_calls",
            at=number * each,
            seconds=each,
            details={"tool_calls": [code_interpreter_call(f"print({number})", logs=f"{number}\n")]},
        )
        for number in range(count - 1)
    ]
    message = Step(at=(count - 1) * each, seconds=each, text=f"Done in {count} steps.")
    return (*calls, message)


def code_interpreter_call(code: str, *, logs: str | None = None) -> Json:
    """
    Make the call of a code interpreter.

    :param code: what it runs.
    :param logs: what that prints.
    """
    outputs = [] if logs is None else [{"type": "logs", "logs": logs}]
    return {"type": "code_interpreter", "code_interpreter": {"input": code, "outputs": outputs}}


def function_call(name: str, arguments: Mapping[str, Any]) -> Json:
    """
    Make the call of a function.

    :param name: which function.
    :param arguments: its arguments.
    """
    return {"type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}


def script_from_json(document: Mapping[str, Any], known: Mapping[str, Script]) -> Script:
    """
    Read a script from JSON.

    :param document: the fields of :class:`Script`, and besides: ``base``, the name of a script to start from;
        ``seconds``, how long to take; and for ``steps`` also a number of them.
    :param known: the scripts that can be named.
    :raises ValueError: what is wrong with it, for people.
    """
    fields = dict(document)
    base = named_script(str(fields.pop("base", "completed")), known)
    seconds = fields.pop("seconds", None)
    allowed = {field.name for field in dataclasses.fields(Script)}
    if unknown := sorted(set(fields) - allowed):
        raise ValueError(f"a script has no {', '.join(unknown)}; it has {', '.join(sorted(allowed))}")
    try:
        script = dataclasses.replace(base, **_values(fields, base, known))
        return script if seconds is None else script.lasting(float(seconds))
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"this is no script: {error}") from error


def _values(fields: Json, base: Script, known: Mapping[str, Script]) -> Json:
    values = dict(fields)
    if "phases" in fields:
        values["phases"] = tuple((float(at), str(status)) for at, status in fields["phases"])
        values.setdefault("steps", _steps_within(base.steps, values["phases"]))
    if "steps" in fields:
        steps = fields["steps"]
        is_number = isinstance(steps, int)
        values["steps"] = (
            many_steps(steps, seconds=base.seconds)
            if is_number
            else tuple(_read_step(step) for step in steps)
        )
    after = fields.get("after_outputs")
    if after is not None:
        values["after_outputs"] = read_script(after, known)
    return values


def _read_step(fields: Json) -> Step:
    step = Step(**fields)
    times: list[object] = [step.at, step.seconds]
    if not all(isinstance(time, int | float) and time >= 0 for time in times):
        raise ValueError("a step's times are numbers of seconds, 0 or more")
    calls: list[Any] = list(step.calls)
    if not all(isinstance(call, dict) and call.get(call.get("type")) for call in calls):
        raise ValueError("a tool call has a type, and its own content under the name of that type")
    return step


def _steps_within(steps: tuple[Step, ...], phases: tuple[tuple[float, str], ...]) -> tuple[Step, ...]:
    """Keep of a base's steps those that still have time when the phases are others."""
    end = phases[-1][0] if phases else 0
    return tuple(step for step in steps if step.at < end)


def named_script(name: str, known: Mapping[str, Script]) -> Script:
    """
    Find a script by its name.

    :param name: the name.
    :param known: the scripts that can be named.
    :raises ValueError: there is none; it says which there are.
    """
    if name not in known:
        raise ValueError(f"there is no script '{name}'; there are {', '.join(sorted(known))}")
    return known[name]


def read_script(wanted: Script | str | Mapping[str, Any], known: Mapping[str, Script]) -> Script:
    """
    Read a script in whichever form it comes.

    :param wanted: the script itself, its name, or its JSON, parsed or not.
    :param known: the scripts that can be named.
    :raises ValueError: what is wrong with it, for people.
    """
    if isinstance(wanted, Script):
        return wanted
    if isinstance(wanted, Mapping):
        return script_from_json(wanted, known)
    wanted = str(wanted)
    if not wanted.lstrip().startswith("{"):
        return named_script(wanted, known)
    try:
        document = json.loads(wanted)
    except json.JSONDecodeError as error:
        raise ValueError(f"this script is no JSON: {error}") from error
    return script_from_json(document, known)
