"""Scripts: the statuses and steps that a run goes through.

A script is data: a Python object, JSON for the admin API, or JSON in a run's metadata::

    Script(phases=((0, "queued"), (1, "in_progress"), (4, "failed")), last_error={"code": "server_error"})
    {"phases": [[0, "queued"], [1, "in_progress"], [4, "failed"]], "last_error": {"code": "server_error"}}
    {"base": "completed", "seconds": 30, "steps": 25}
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

#: A JSON object. Its values may be of any type: the server can also send what the API does not document.
JsonObject: TypeAlias = dict[str, Any]

#: The statuses that end a run.
TERMINAL = frozenset({"completed", "failed", "cancelled", "expired", "incomplete"})


@dataclass(frozen=True, kw_only=True)
class Step:
    """
    One step of a run.

    :param type: "message_creation", "tool_calls", the type of a response's output item (e.g. "mcp_call"),
        or any other word.
    :param at: start in seconds after the start of the script.
    :param seconds: duration. A function call always waits for its output.
    :param text: text of the message of a "message_creation" step. By default a fixed sentence, or JSON that
        fits the schema in the request.
    :param refusal: text of a refusal, which replaces the message's text.
    :param annotations: citations of the message, in the form of the Responses API.
    :param details: content of ``step_details`` besides its type, e.g. ``{"tool_calls": [...]}``. Missing IDs
        are filled in.
    :param status: final status, unless the run ends first.
    :param last_error: the error of a failed step.
    :param usage: token usage in the Assistants API's names; a plausible number by default.
    """

    type: str = "message_creation"
    at: float = 0.0
    seconds: float = 0.0
    text: str | None = None
    refusal: str | None = None
    annotations: Sequence[JsonObject] = ()
    details: JsonObject = dataclasses.field(default_factory=dict)
    status: str = "completed"
    last_error: JsonObject | None = None
    usage: JsonObject | None = None

    @property
    def calls(self) -> list[JsonObject]:
        """The step's tool calls."""
        return list(self.details.get("tool_calls", ())) if self.type == "tool_calls" else []

    @property
    def waits_for_output(self) -> bool:
        """Whether the step waits for a submitted tool output."""
        return any(call["type"] == "function" and "output" not in call["function"] for call in self.calls)


@dataclass(frozen=True, kw_only=True)
class Script:
    """
    The course of a run in the Assistants API's terms; for a response they are translated.

    :param phases: start of each status: pairs of (seconds after the script's start, status). A status may be
        any word.
    :param steps: the steps.
    :param usage: token usage at the end: the sum over the steps by default; None leaves it null.
    :param last_error: error of a failed run, ``{"code": ..., "message": ...}``.
    :param incomplete_details: reason of an incomplete run, ``{"reason": ...}``.
    :param required_action: ``required_action`` of the run: "calls" for the pending calls, JSON, or None.
    :param after_outputs: script that starts when tool outputs are submitted.
    :param cancel_seconds: seconds that a run is "cancelling". A response is cancelled at once.
    :param expires_after: seconds after its creation at which an unfinished run expires.
    :param description: one line for the list of scripts.
    """

    phases: tuple[tuple[float, str], ...]
    steps: tuple[Step, ...] = ()
    usage: JsonObject | Literal["sum"] | None = "sum"
    last_error: JsonObject | None = None
    incomplete_details: JsonObject | None = None
    required_action: JsonObject | Literal["calls"] | None = "calls"
    after_outputs: Script | None = None
    cancel_seconds: float = 1.0
    expires_after: float = 600.0
    description: str = ""

    def __post_init__(self) -> None:
        times = [at for at, _ in self.phases]
        if not times or times[0] != 0 or times != sorted(times):
            raise ValueError("the phases of a script must begin at 0 seconds and be in order")

    @property
    def seconds(self) -> float:
        """Seconds until the last phase begins."""
        return self.phases[-1][0]

    def scaled_to(self, seconds: float) -> Script:
        """
        Return the same script with another duration.

        :param seconds: seconds until the last phase begins.
        """
        if not self.seconds:
            return self
        factor = seconds / self.seconds
        return dataclasses.replace(
            self,
            phases=tuple((at * factor, status) for at, status in self.phases),
            steps=tuple(
                dataclasses.replace(s, at=s.at * factor, seconds=s.seconds * factor) for s in self.steps
            ),
        )


def many_steps(count: int, *, seconds: float) -> tuple[Step, ...]:
    """
    Return consecutive code interpreter steps and a final message step.

    :param count: number of steps, including the message.
    :param seconds: total duration.
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


def code_interpreter_call(code: str, *, logs: str | None = None) -> JsonObject:
    """
    Return a code interpreter call.

    :param code: the code.
    :param logs: the printed output.
    """
    outputs = [] if logs is None else [{"type": "logs", "logs": logs}]
    return {"type": "code_interpreter", "code_interpreter": {"input": code, "outputs": outputs}}


def function_call(name: str, arguments: Mapping[str, Any]) -> JsonObject:
    """
    Return a function call.

    :param name: name of the function.
    :param arguments: its arguments.
    """
    return {"type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}


def script_from_json(document: Mapping[str, Any], scripts: Mapping[str, Script]) -> Script:
    """
    Return the script that a JSON object describes.

    :param document: fields of :class:`Script`, and also ``base``, the name of a script to start from, and
        ``seconds``, its duration. ``steps`` may be a number of steps.
    :param scripts: scripts by name.
    :raises ValueError: it is invalid; the message says why.
    """
    fields = dict(document)
    base = named_script(str(fields.pop("base", "completed")), scripts)
    seconds = fields.pop("seconds", None)
    allowed = {field.name for field in dataclasses.fields(Script)}
    if unknown := sorted(set(fields) - allowed):
        raise ValueError(f"a script has no {', '.join(unknown)}; it has {', '.join(sorted(allowed))}")
    try:
        script = dataclasses.replace(base, **_values(fields, base, scripts))
        return script if seconds is None else script.scaled_to(float(seconds))
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"this is not a script: {error}") from error


def _values(fields: JsonObject, base: Script, scripts: Mapping[str, Script]) -> JsonObject:
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
        values["after_outputs"] = read_script(after, scripts)
    return values


def _read_step(fields: JsonObject) -> Step:
    step = Step(**fields)
    times: list[object] = [step.at, step.seconds]
    if not all(isinstance(time, int | float) and time >= 0 for time in times):
        raise ValueError("a step's times must be numbers of seconds, 0 or more")
    calls: list[Any] = list(step.calls)
    if not all(isinstance(call, dict) and call.get(call.get("type")) for call in calls):
        raise ValueError("a tool call must have a type and its content under the name of that type")
    return step


def _steps_within(steps: tuple[Step, ...], phases: tuple[tuple[float, str], ...]) -> tuple[Step, ...]:
    """Return the steps that start before the last phase."""
    end = phases[-1][0] if phases else 0
    return tuple(step for step in steps if step.at < end)


def named_script(name: str, scripts: Mapping[str, Script]) -> Script:
    """
    Return a script by its name.

    :param name: the name.
    :param scripts: scripts by name.
    :raises ValueError: it does not exist; the message lists the names.
    """
    if name not in scripts:
        raise ValueError(f"there is no script '{name}'; there are {', '.join(sorted(scripts))}")
    return scripts[name]


def read_script(value: Script | str | Mapping[str, Any], scripts: Mapping[str, Script]) -> Script:
    """
    Return the script that a name, JSON or script describes.

    :param value: a script, its name, or its JSON as a mapping or text.
    :param scripts: scripts by name.
    :raises ValueError: it is invalid; the message says why.
    """
    if isinstance(value, Script):
        return value
    if isinstance(value, Mapping):
        return script_from_json(value, scripts)
    value = str(value)
    if not value.lstrip().startswith("{"):
        return named_script(value, scripts)
    try:
        document = json.loads(value)
    except json.JSONDecodeError as error:
        raise ValueError(f"this script is not JSON: {error}") from error
    return script_from_json(document, scripts)
