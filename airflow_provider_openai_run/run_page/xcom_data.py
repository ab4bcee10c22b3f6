"""What the XComs of a task tell of its run, whatever shape they have.

The operators push each attribute under its own key, and all of them as the return value; the sensor returns
ids and a status; and while a task waits there is what :mod:`airflow_provider_openai_run.progress` left.
XComs can be of an older version, cut short, or kept elsewhere by an XCom backend.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

from airflow_provider_openai_run.progress import PROGRESS_KEY
from airflow_provider_openai_run.run_page.formatting import parsed
from airflow_provider_openai_run.types.run import Json, Run

#: Under which key Airflow keeps what a task returned.
RETURN_VALUE = "return_value"

ATTRIBUTES = tuple(item.name for item in dataclasses.fields(Run))

#: The keys under which there can be something of a run.
KEYS = (*ATTRIBUTES, RETURN_VALUE, PROGRESS_KEY, "run_id", "answer", "token_usage")

#: The classes whose tasks are about a run. Subclasses are known by their XComs.
OPERATORS = frozenset(
    {
        "OpenAIRunSensor",
        "OpenAIGetRunOperator",
        "OpenAICreateRunOperator",
        "OpenAICreateResponseOperator",
        "OpenAISubmitToolOutputsOperator",
        "OpenAICancelRunOperator",
    }
)

_OBJECTS = ("thread.run", "response")


@dataclass(frozen=True, slots=True, kw_only=True)
class XComData:
    """
    What is told of a run.

    :param attributes: those of :class:`~airflow_provider_openai_run.types.run.Run` that are known, as they came.
    :param published: what was published while the task waited.
    :param answer: what the run answered.
    :param token_usage: what the try has used.
    :param elsewhere: what is kept outside Airflow's database, by key.
    """

    attributes: dict[str, Json] = field(default_factory=dict)
    published: dict[str, Json] = field(default_factory=dict)
    answer: Json = None
    token_usage: dict[str, Json] = field(default_factory=dict)
    elsewhere: dict[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.attributes or self.published or self.elsewhere)

    def to_json(self) -> dict[str, Json]:
        """Give all of it as plain JSON, as a person would copy it."""
        return {
            "run": self.attributes,
            "answer": self.answer,
            "token_usage": self.token_usage or None,
            PROGRESS_KEY: self.published or None,
        }


def read_xcoms(xcoms: Mapping[str, Json]) -> XComData:
    """
    Read the XComs of a task.

    :param xcoms: them, by key. Those of tasks that are about no run come to nothing.
    """
    returned = _object(xcoms.get(RETURN_VALUE))
    published = _object(xcoms.get(PROGRESS_KEY))
    run = _object(published.get("run"))
    by_key = _is_whole(xcoms) or {"run_id", "thread_id"} <= xcoms.keys()
    if not (published or by_key or _is_of_a_run(returned)):
        return XComData(elsewhere=_elsewhere(xcoms) if "run_id" in xcoms else {})
    followed = xcoms.get("run_id") or returned.get("run_id") or returned.get("id")
    if followed and run.get("id") and run["id"] != followed:
        # Of the run before, in a conversation with tools.
        run = {}
    attributes = {name: run[name] for name in ATTRIBUTES if run.get(name) is not None}
    if isinstance(followed, str):
        attributes["id"] = followed
    for source in (returned, xcoms):
        for name in ATTRIBUTES:
            if source.get(name) is not None or (name in source and name not in attributes):
                attributes[name] = parsed(source[name]) if name not in _TEXTS else source[name]
    answer = xcoms.get("answer")
    return XComData(
        attributes={name: attributes[name] for name in ATTRIBUTES if name in attributes},
        published=published,
        answer=returned.get("answer") if answer is None else answer,
        token_usage=_object(xcoms.get("token_usage")),
        elsewhere=_elsewhere(xcoms),
    )


_TEXTS = frozenset({"id", "thread_id", "assistant_id", "model", "instructions", "status", "object"})


def _is_of_a_run(returned: dict[str, Json]) -> bool:
    of_a_sensor = {"run_id", "thread_id", "status"} <= returned.keys()
    return of_a_sensor or ("id" in returned and returned.get("object") in _OBJECTS) or _is_whole(returned)


def _is_whole(values: Mapping[str, Json]) -> bool:
    return {"id", "status", "thread_id", "usage", "steps"} <= values.keys()


def _object(value: Json) -> dict[str, Json]:
    value = parsed(value)
    return value if isinstance(value, dict) else {}


def _elsewhere(xcoms: Mapping[str, Json]) -> dict[str, str]:
    """Give what an XCom backend keeps outside: in the database there is only where."""
    return {
        key: value
        for key in (RETURN_VALUE, "steps", "usage", "tools", "raw", PROGRESS_KEY)
        if isinstance(value := xcoms.get(key), str) and not isinstance(parsed(value), dict | list)
    }
