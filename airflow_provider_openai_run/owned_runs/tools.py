"""What a run asks for, and the functions that answer it."""

from __future__ import annotations

import inspect
import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from airflow_provider_openai_run.exceptions import ToolCallError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from airflow_provider_openai_run.types.run import Json, Run

#: What becomes of a call that cannot be done: the model is told, or the task fails.
OnToolError: TypeAlias = Literal["submit", "fail"]

Kind: TypeAlias = Literal["function", "approval", "other"]

log = logging.getLogger(__name__)

_LONGEST_ERROR = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingToolCall:
    """
    One thing that a run asks for.

    :param id: by which it is answered.
    :param kind: a function's output, the approval of what the API would do itself, or what nobody here does.
    :param name: the function, or the tool to approve of.
    :param arguments: as the model wrote them: JSON, if it kept to the rules.
    :param where: the server that has the tool, for an approval.
    """

    id: str
    kind: Kind
    name: str
    arguments: str = ""
    where: str | None = None

    def __str__(self) -> str:
        return f"{self.name} ({self.id})"


def pending_calls(run: Run) -> tuple[PendingToolCall, ...]:
    """Give what a run asks for."""
    action = run.required_action or {}
    outputs = _calls(action.get("submit_tool_outputs"))
    approvals = _calls(action.get("submit_tool_approval"))
    return (*map(_output_call, outputs), *map(_approval_call, approvals))


def _calls(part: Json) -> list[dict[str, Json]]:
    calls = part.get("tool_calls") if isinstance(part, dict) else None
    found = calls if isinstance(calls, list) else []
    return [call for call in found if isinstance(call, dict) and call.get("id")]


def _output_call(call: dict[str, Json]) -> PendingToolCall:
    function = call.get("function")
    if not isinstance(function, dict):
        return PendingToolCall(id=str(call["id"]), kind="other", name=str(call.get("type")))
    name, arguments = str(function.get("name")), function.get("arguments")
    return PendingToolCall(id=str(call["id"]), kind="function", name=name, arguments=_text(arguments))


def _approval_call(call: dict[str, Json]) -> PendingToolCall:
    where = call.get("server_label")
    name, arguments = str(call.get("name")), _text(call.get("arguments"))
    return PendingToolCall(
        id=str(call["id"]), kind="approval", name=name, arguments=arguments, where=where and str(where)
    )


def _text(arguments: Json) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments or {})


def function_tools(tools: Json) -> dict[str, dict[str, Json]]:
    """
    Give the definitions of functions by their names, in whichever API's form they are.

    :param tools: what the API gets; templates and XComs give none.
    """
    found = {}
    for tool in tools if isinstance(tools, list | tuple) else ():
        if isinstance(tool, dict) and tool.get("type") == "function":
            definition = tool["function"] if isinstance(tool.get("function"), dict) else tool
            if isinstance(definition.get("name"), str):
                found[definition["name"]] = definition
    return found


def check_handlers(
    handlers: Mapping[str, Any], tools: Json, *, on_error: str, also_known: Collection[str]
) -> None:
    """
    Refuse handlers that could not do what they are there for.

    :param handlers: functions by the names of the tools.
    :param tools: the definitions that the API gets.
    :param on_error: what becomes of a call that cannot be done.
    :param also_known: tools that somebody else answers.
    :raises ValueError: for what is wrong, naming it.
    """
    if on_error not in ("submit", "fail"):
        raise ValueError(f"on_tool_error must be 'submit' or 'fail', not {on_error!r}")
    for name, handler in handlers.items():
        if not callable(handler) or inspect.iscoroutinefunction(handler):
            raise ValueError(f"tool_handlers[{name!r}] must be a plain function, not {handler!r}")
        if name in also_known:
            raise ValueError(f"{name!r} is both in tool_handlers and in human_tools")
    for name, definition in function_tools(tools).items():
        if name in handlers:
            _check_parameters(name, handlers[name], definition)


def _check_parameters(name: str, handler: Callable[..., Json], definition: dict[str, Json]) -> None:
    schema = definition.get("parameters")
    if not isinstance(schema, dict) or not isinstance(schema.get("properties"), dict):
        return
    properties = schema["properties"]
    try:
        signature = inspect.signature(handler)
    except ValueError:
        return
    required = [key for key in schema.get("required") or () if key in properties]
    for keys in (list(properties), required):
        try:
            signature.bind(**dict.fromkeys(keys))
        except TypeError as error:
            raise ValueError(
                f"tool_handlers[{name!r}] does not take what its tool promises: {error}"
            ) from None


class ToolRunner:
    """
    The functions that answer a run's calls.

    :param handlers: functions by the names of the tools; each gets the call's arguments by name and returns a
        text or what JSON can hold.
    :param tools: the definitions the API gets: arguments are checked against their schemas.
    :param on_error: ``"submit"`` tells the model what went wrong, ``"fail"`` fails the task.
    """

    def __init__(
        self, handlers: Mapping[str, Callable[..., Json]], tools: Json, on_error: OnToolError
    ) -> None:
        self._handlers = handlers
        self._definitions = function_tools(tools)
        self._on_error = on_error

    def output(self, call: PendingToolCall) -> str:
        """
        Do a call, and give its output as text.

        What the function raises as an ``AirflowException`` is raised: it is meant for Airflow.

        :raises ToolCallError: if it cannot be done and the task is to fail, and for any result that JSON
            cannot hold, which is no fault of the model.
        """
        from airflow.providers.common.compat.sdk import AirflowException

        handler = self._handlers[call.name]
        log.info("Calling %s", call)
        try:
            arguments = self._arguments(call, handler)
            result = handler(**arguments)
        except AirflowException:
            raise
        except Exception as error:  # a function of the user's may raise anything
            if self._on_error == "fail":
                raise ToolCallError(f"The tool {call} failed: {_told(error)}") from error
            log.warning("The tool %s failed; the model is told", call, exc_info=True)
            return json.dumps({"error": _told(error)})
        return _as_text(call, result)

    def _arguments(self, call: PendingToolCall, handler: Callable[..., Json]) -> dict[str, Json]:
        try:
            arguments = json.loads(call.arguments or "{}")
        except ValueError as error:
            raise ValueError(f"the arguments are no valid JSON: {error}") from None
        if not isinstance(arguments, dict):
            raise ValueError(f"the arguments are a JSON {type(arguments).__name__} where an object was due")  # noqa: TRY004 - told to the model like the others
        _check_against_schema(arguments, self._definitions.get(call.name, {}).get("parameters"))
        inspect.signature(handler).bind(**arguments)
        return arguments


def _check_against_schema(arguments: dict[str, Json], schema: Json) -> None:
    if not isinstance(schema, dict):
        return
    from jsonschema.exceptions import best_match
    from jsonschema.validators import validator_for

    error = best_match(validator_for(schema)(schema).iter_errors(arguments))
    if error is not None:
        raise ValueError(f"the arguments do not keep to the schema at {error.json_path}: {error.message}")


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:_LONGEST_ERROR]


def _as_text(call: PendingToolCall, result: Json) -> str:
    if isinstance(result, str):
        return result
    try:
        return json.dumps(result, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        message = (
            f"The tool {call} returned what JSON cannot hold ({error}); return text, or plain JSON types"
        )
        raise ToolCallError(message) from None
