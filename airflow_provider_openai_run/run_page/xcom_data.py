"""
The XComs of a task, read as the attributes of its run.

Operators push each attribute under its own key, and all of them as the return value; the return value of
``@task.openai_response`` is the answer. The sensor returns the ids and the status. While a task waits,
:mod:`airflow_provider_openai_run.progress` pushes the run's progress. XComs may also come from an older
version, be truncated, or be stored elsewhere by an XCom backend.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from airflow_provider_openai_run.cancellation import CANCEL_REASON_KEY
from airflow_provider_openai_run.links.openai_run import LINK_KEY
from airflow_provider_openai_run.owned_runs.rounds import ROUNDS_KEY
from airflow_provider_openai_run.progress import PROGRESS_KEY
from airflow_provider_openai_run.run_list_progress import RUN_LIST_PROGRESS_KEY, RunListProgress
from airflow_provider_openai_run.run_page.formatting import parse_json
from airflow_provider_openai_run.types.json import Json
from airflow_provider_openai_run.types.run import Run

#: The key of a task's return value in Airflow.
RETURN_VALUE = "return_value"

ATTRIBUTES = tuple(item.name for item in dataclasses.fields(Run))

_ALL_ATTRIBUTES = frozenset({"id", "status", "thread_id", "usage", "steps"})

#: The keys that can hold data of a run.
KEYS = (
    *ATTRIBUTES,
    RETURN_VALUE,
    PROGRESS_KEY,
    RUN_LIST_PROGRESS_KEY,
    ROUNDS_KEY,
    "run_id",
    "answer",
    "refusal",
    "token_usage",
    CANCEL_REASON_KEY,
    LINK_KEY,
)

#: Names of the task classes that have a run. Their subclasses are recognized by their XComs.
OPERATORS = frozenset(
    {
        "OpenAIBulkResponsesOperator",
        "OpenAIRunSensor",
        "OpenAIGetRunOperator",
        "OpenAICreateRunOperator",
        "OpenAICreateResponseOperator",
        "OpenAISubmitToolOutputsOperator",
        "OpenAICancelRunOperator",
        "_OpenAIResponseDecoratedOperator",
    }
)

#: What an XCom backend leaves in Airflow's database in place of a value.
_REFERENCE = re.compile(r"[a-z][a-z0-9+.-]*://\S+")
#: Keys whose value can be a URL itself.
_FREE_KEYS = frozenset({"answer", "refusal", LINK_KEY, RETURN_VALUE})

#: Attributes that are text; in the others, a string that holds JSON is parsed.
_TEXT_ATTRIBUTES = frozenset(
    {
        *("id", "api", "thread_id", "assistant_id", "model", "instructions", "status", "object"),
        *("endpoint", "completion_window", "input_file_id", "output_file_id", "error_file_id"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class XComData:
    """
    The data of a run that XCom holds.

    :param attributes: the known attributes of :class:`~airflow_provider_openai_run.types.run.Run`, unchecked.
    :param progress: the progress that was pushed while the task waited.
    :param run_list: the progress of the runs, of a task with many.
    :param rounds: the tool rounds of the task, unchecked.
    :param answer: the run's answer: text, or JSON.
    :param refusal: why the model refused.
    :param token_usage: the tokens that the task's try has used, over all its runs.
    :param cancel_reason: why the task cancelled the run: a value of
        :class:`~airflow_provider_openai_run.cancellation.CancelReason`, or one of a newer version.
    :param console_url: the URL of the run in the vendor's console, unchecked.
    :param unreadable: why a value that an XCom backend stores elsewhere cannot be read, by key.
    """

    attributes: dict[str, Json] = field(default_factory=dict)
    progress: dict[str, Json] = field(default_factory=dict)
    run_list: RunListProgress | None = None
    rounds: Json = None
    answer: Json = None
    refusal: Json = None
    token_usage: dict[str, Json] = field(default_factory=dict)
    cancel_reason: str | None = None
    console_url: Json = None
    unreadable: dict[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.attributes or self.progress or self.run_list or self.unreadable)

    def to_json(self) -> dict[str, Json]:
        """Return all of it as plain JSON, for display and for copying, without what the API never sent."""
        parts: dict[str, Json] = {
            "run": _without_nulls(self.attributes),
            "answer": self.answer,
            "refusal": self.refusal,
            "token_usage": self.token_usage,
            CANCEL_REASON_KEY: self.cancel_reason,
            ROUNDS_KEY: self.rounds,
            PROGRESS_KEY: self.progress,
            RUN_LIST_PROGRESS_KEY: None if self.run_list is None else self.run_list.to_xcom(),
        }
        return {name: value for name, value in parts.items() if value not in (None, {})}


def read_xcoms(xcoms: Mapping[str, Json], unreadable: Mapping[str, str] | None = None) -> XComData:
    """
    Return the data of the run that a task's XComs describe; empty data if they describe none.

    :param xcoms: the values by key.
    :param unreadable: why others cannot be read, by key.
    """
    references = {key: str(value) for key, value in xcoms.items() if _is_reference(key, value)}
    xcoms = {key: value for key, value in xcoms.items() if key not in references}
    unreadable = {**references, **(unreadable or {})}
    returned = _read_object(xcoms.get(RETURN_VALUE))
    if not _is_run(returned):
        # It may be the answer of a decorated task.
        returned = {}
    progress = _read_object(xcoms.get(PROGRESS_KEY))
    run_list = RunListProgress.from_xcom(parse_json(xcoms.get(RUN_LIST_PROGRESS_KEY)))
    run = _read_object(progress.get("run"))
    has_run_keys = has_all_attributes(xcoms) or _has_run_reference(xcoms)
    if not (progress or has_run_keys or returned):
        known = unreadable.keys() | xcoms.keys()
        keys = {"run_id", PROGRESS_KEY, RUN_LIST_PROGRESS_KEY}
        is_of_run = bool(known & keys) or known >= _ALL_ATTRIBUTES
        return XComData(run_list=run_list, unreadable=unreadable if is_of_run else {})
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
        run_list=run_list,
        rounds=parse_json(xcoms.get(ROUNDS_KEY)),
        answer=returned.get("answer") if answer is None else answer,
        refusal=xcoms.get("refusal") or returned.get("refusal"),
        token_usage=_read_object(xcoms.get("token_usage")),
        cancel_reason=cancel_reason if isinstance(cancel_reason, str) and cancel_reason else None,
        console_url=xcoms.get(LINK_KEY),
        unreadable=unreadable,
    )


def _is_run(returned: dict[str, Json]) -> bool:
    """Return whether a return value has the keys that the provider's tasks return."""
    has_ids = _has_run_reference(returned) or {"id", "api"} <= returned.keys()
    return (has_ids and "status" in returned) or has_all_attributes(returned)


def _has_run_reference(values: Mapping[str, Json]) -> bool:
    return "run_id" in values and ("api" in values or "thread_id" in values)


def has_all_attributes(values: Mapping[str, Json]) -> bool:
    """Return whether a mapping has the attributes of a run."""
    return values.keys() >= _ALL_ATTRIBUTES


def _read_object(value: Json) -> dict[str, Json]:
    value = parse_json(value)
    return value if isinstance(value, dict) else {}


def _is_reference(key: str, value: Json) -> bool:
    return key not in _FREE_KEYS and isinstance(value, str) and _REFERENCE.fullmatch(value) is not None


def _without_nulls(attributes: dict[str, Json]) -> dict[str, Json]:
    """Return the attributes, and those of each step, without the ones that are None."""
    kept: dict[str, Json] = {name: value for name, value in attributes.items() if value is not None}
    if isinstance(steps := kept.get("steps"), list):
        kept["steps"] = [
            {name: value for name, value in step.items() if value is not None}
            if isinstance(step, dict)
            else step
            for step in steps
        ]
    return kept
