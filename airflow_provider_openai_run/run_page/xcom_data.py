"""
The XComs of a task, read as the attributes of its run.

Operators push each attribute under its own key, and all of them as the return value; the return value of
``@task.openai_response`` is the answer. The sensor returns the ids and the status. While a task waits,
:mod:`airflow_provider_openai_run.progress` pushes the run's progress. XComs may also come from an older
version, be truncated, or be stored elsewhere by an XCom backend.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

from airflow_provider_openai_run.cancellation import CANCEL_REASON_KEY
from airflow_provider_openai_run.progress import PROGRESS_KEY
from airflow_provider_openai_run.run_page.formatting import parse_json
from airflow_provider_openai_run.types.json import Json
from airflow_provider_openai_run.types.run import Run

#: The key of a task's return value in Airflow.
RETURN_VALUE = "return_value"

ATTRIBUTES = tuple(item.name for item in dataclasses.fields(Run))

#: The keys that can hold data of a run.
KEYS = (*ATTRIBUTES, RETURN_VALUE, PROGRESS_KEY, "run_id", "answer", "token_usage", CANCEL_REASON_KEY)

#: Names of the task classes that have a run. Their subclasses are recognized by their XComs.
OPERATORS = frozenset(
    {
        "OpenAIRunSensor",
        "OpenAIGetRunOperator",
        "OpenAICreateRunOperator",
        "OpenAICreateResponseOperator",
        "OpenAISubmitToolOutputsOperator",
        "OpenAICancelRunOperator",
        "_OpenAIResponseDecoratedOperator",
    }
)

#: Attributes that are text; in the others, a string that holds JSON is parsed.
_TEXT_ATTRIBUTES = frozenset(
    {"id", "api", "thread_id", "assistant_id", "model", "instructions", "status", "object"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class XComData:
    """
    The data of a run that XCom holds.

    :param attributes: the known attributes of :class:`~airflow_provider_openai_run.types.run.Run`, unchecked.
    :param progress: the progress that was pushed while the task waited.
    :param answer: the run's answer: text, or JSON.
    :param token_usage: the tokens that the task's try has used, over all its runs.
    :param cancel_reason: why the task cancelled the run: a value of
        :class:`~airflow_provider_openai_run.cancellation.CancelReason`, or one of a newer version.
    :param stored_externally: where an XCom backend stores a value outside Airflow's database, by key.
    """

    attributes: dict[str, Json] = field(default_factory=dict)
    progress: dict[str, Json] = field(default_factory=dict)
    answer: Json = None
    token_usage: dict[str, Json] = field(default_factory=dict)
    cancel_reason: str | None = None
    stored_externally: dict[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.attributes or self.progress or self.stored_externally)

    def to_json(self) -> dict[str, Json]:
        """Return all of it as plain JSON, for display and for copying."""
        return {
            "run": self.attributes,
            "answer": self.answer,
            "token_usage": self.token_usage or None,
            CANCEL_REASON_KEY: self.cancel_reason,
            PROGRESS_KEY: self.progress or None,
        }


def read_xcoms(xcoms: Mapping[str, Json]) -> XComData:
    """
    Return the data of the run that a task's XComs describe; empty data if they describe none.

    :param xcoms: the stored values by key.
    """
    returned = _read_object(xcoms.get(RETURN_VALUE))
    if not _is_run(returned):
        # It may be the answer of a decorated task.
        returned = {}
    progress = _read_object(xcoms.get(PROGRESS_KEY))
    run = _read_object(progress.get("run"))
    has_run_keys = _has_all_attributes(xcoms) or _has_run_reference(xcoms)
    if not (progress or has_run_keys or returned):
        return XComData(stored_externally=_stored_externally(xcoms) if "run_id" in xcoms else {})
    run_id = xcoms.get("run_id") or returned.get("run_id") or returned.get("id")
    if run_id and run.get("id") and run["id"] != run_id:
        # The progress describes the previous run of a conversation with tool calls.
        run = {}
    attributes = {name: run[name] for name in ATTRIBUTES if run.get(name) is not None}
    if isinstance(run_id, str):
        attributes["id"] = run_id
    for source in (returned, xcoms):
        for name in ATTRIBUTES:
            if source.get(name) is not None or (name in source and name not in attributes):
                value = source[name]
                attributes[name] = value if name in _TEXT_ATTRIBUTES else parse_json(value)
    answer = xcoms.get("answer")
    cancel_reason = xcoms.get(CANCEL_REASON_KEY)
    return XComData(
        attributes={name: attributes[name] for name in ATTRIBUTES if name in attributes},
        progress=progress,
        answer=returned.get("answer") if answer is None else answer,
        token_usage=_read_object(xcoms.get("token_usage")),
        cancel_reason=cancel_reason if isinstance(cancel_reason, str) and cancel_reason else None,
        stored_externally=_stored_externally(xcoms),
    )


def _is_run(returned: dict[str, Json]) -> bool:
    """Return whether a return value has the keys that the provider's tasks return."""
    has_ids = _has_run_reference(returned) or {"id", "api"} <= returned.keys()
    return (has_ids and "status" in returned) or _has_all_attributes(returned)


def _has_run_reference(values: Mapping[str, Json]) -> bool:
    return "run_id" in values and ("api" in values or "thread_id" in values)


def _has_all_attributes(values: Mapping[str, Json]) -> bool:
    return {"id", "status", "thread_id", "usage", "steps"} <= values.keys()


def _read_object(value: Json) -> dict[str, Json]:
    value = parse_json(value)
    return value if isinstance(value, dict) else {}


def _stored_externally(xcoms: Mapping[str, Json]) -> dict[str, str]:
    """Return the references that an XCom backend left in place of values: strings that are not JSON."""
    return {
        key: value
        for key in (RETURN_VALUE, "steps", "usage", "tools", "raw", PROGRESS_KEY)
        if isinstance(value := xcoms.get(key), str) and not isinstance(parse_json(value), dict | list)
    }
