"""The functions that perform the calls a run waits for."""

from __future__ import annotations

import inspect
import json
import logging
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from airflow_provider_openai_run.exceptions import ToolCallError
from airflow_provider_openai_run.types.required_action import PendingCall, RequiredAction
from airflow_provider_openai_run.types.storable import bounded_text, storable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from airflow_provider_openai_run.types.json import Json
    from airflow_provider_openai_run.types.run import Run

#: What happens when a call cannot be performed: the error is submitted as its output, or the task fails.
ToolErrorPolicy: TypeAlias = Literal["submit", "fail"]

log = logging.getLogger(__name__)

_MAX_ERROR_LENGTH = 500
#: How much of the names of calls a message has.
_MAX_NAMES_LENGTH = 500


def pending_calls(run: Run) -> tuple[PendingCall, ...]:
    """Return the calls of a run that can be answered: those with an id."""
    return tuple(call for call in RequiredAction.from_json(run.required_action).calls if call.id)


def call_names(calls: Iterable[PendingCall]) -> str:
    """Return the names and ids of calls, for a message; empty if there are none."""
    return bounded_text(", ".join(map(str, calls)), _MAX_NAMES_LENGTH)


def function_tools(tools: object) -> dict[str, dict[str, Any]]:
    """
    Return the definitions of functions by their names.

    :param tools: the parameter ``tools`` of any API; templates and XComs yield none.
    """
    found: dict[str, dict[str, Any]] = {}
    for tool in tools if isinstance(tools, list | tuple) else ():
        if isinstance(tool, dict) and tool.get("type") == "function":
            definition = tool["function"] if isinstance(tool.get("function"), dict) else tool
            if isinstance(definition.get("name"), str):
                found[definition["name"]] = definition
    return found


def check_handlers(
    handlers: Mapping[str, Any], tools: object, *, on_tool_error: str, human_tools: Collection[str]
) -> None:
    """
    Refuse handlers that could not perform their calls.

    :param handlers: functions by the names of the tools.
    :param tools: the definitions that are sent to the API.
    :param on_tool_error: see :data:`ToolErrorPolicy`.
    :param human_tools: tools whose calls a person answers.
    :raises ValueError: naming what is wrong.
    """
    if on_tool_error not in ("submit", "fail"):
        raise ValueError(f"on_tool_error must be 'submit' or 'fail', not {on_tool_error!r}")
    for name, handler in handlers.items():
        if not callable(handler) or inspect.iscoroutinefunction(handler):
            raise ValueError(f"tool_handlers[{name!r}] must be a plain function, not {handler!r}")
        if name in human_tools:
            raise ValueError(f"{name!r} is both in tool_handlers and in human_tools")
    for name, definition in function_tools(tools).items():
        if name in handlers:
            _check_parameters(name, handlers[name], definition)


def _check_parameters(name: str, handler: Callable[..., Any], definition: dict[str, Any]) -> None:
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
            message = f"tool_handlers[{name!r}] does not accept the parameters of its tool: {error}"
            raise ValueError(message) from None


class ToolRunner:
    """
    Perform the calls of a run.

    :param handlers: functions by the names of the tools; each is called with the call's arguments by name,
        and returns text or plain JSON types.
    :param tools: the definitions that are sent to the API: arguments are checked against their schemas.
    :param on_tool_error: ``"submit"`` makes an error the call's output, ``"fail"`` raises it.
    """

    def __init__(
        self, handlers: Mapping[str, Callable[..., Any]], tools: object, on_tool_error: ToolErrorPolicy
    ) -> None:
        self._handlers = handlers
        self._definitions = function_tools(tools)
        self._on_tool_error = on_tool_error

    def output(self, call: PendingCall) -> str:
        """
        Perform a call, and return its output as text.

        An ``AirflowException`` of the function is raised as it is: it is meant for Airflow.

        :raises ToolCallError: if the call fails and ``on_tool_error`` is ``"fail"``; and for any result that
            is not JSON, which is not the model's fault.
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
            if self._on_tool_error == "fail":
                raise ToolCallError(f"The tool {call} failed: {_describe(error)}") from error
            log.warning("The tool %s failed; the error is submitted as its output", call, exc_info=True)
            return json.dumps({"error": _describe(error)})
        return _to_text(call, result)

    def _arguments(self, call: PendingCall, handler: Callable[..., Any]) -> dict[str, Json]:
        try:
            arguments: Json = storable(json.loads(call.arguments_text or "{}"))
        except ValueError as error:
            raise ValueError(f"the arguments are not valid JSON: {error}") from None
        if not isinstance(arguments, dict):
            kind = type(arguments).__name__
            raise ValueError(f"the arguments must be a JSON object, not a JSON {kind}")  # noqa: TRY004 - submitted to the model like the others
        _check_against_schema(arguments, self._definitions.get(call.name, {}).get("parameters"))
        inspect.signature(handler).bind(**arguments)
        return arguments


def _check_against_schema(arguments: dict[str, Json], schema: object) -> None:
    if not isinstance(schema, dict):
        return
    from jsonschema.exceptions import best_match
    from jsonschema.validators import validator_for

    error = best_match(validator_for(schema)(schema).iter_errors(arguments))
    if error is not None:
        raise ValueError(f"the arguments do not match the schema at {error.json_path}: {error.message}")


def _describe(error: Exception) -> str:
    return bounded_text(f"{type(error).__name__}: {error}", _MAX_ERROR_LENGTH)


def _to_text(call: PendingCall, result: object) -> str:
    if isinstance(result, str):
        return result
    try:
        return json.dumps(result, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        message = (
            f"The tool {call} returned a value that is not JSON ({error}); return text or plain JSON types"
        )
        raise ToolCallError(message) from None
