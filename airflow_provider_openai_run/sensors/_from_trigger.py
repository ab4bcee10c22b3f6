"""The start and the end of a sensor in the triggerer, and the arguments that it must not have then.

Callbacks, outlets and templates that need a worker are refused when the DAG is parsed: Airflow ignores them.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow import __version__ as airflow_version

if TYPE_CHECKING:
    from airflow.triggers.base import StartTriggerArgs

#: The first version of Airflow whose triggers can set XComs, and are given rendered arguments.
_FIRST_VERSION = (3, 3)

_START_TRIGGER = "airflow_provider_openai_run.triggers.openai_run_end.OpenAIRunStartTrigger"

#: What the templates of a task that starts in the triggerer may use: it is known without a worker.
_KNOWN_IN_TRIGGERER = frozenset(
    {
        *("params", "dag_run", "run_id", "logical_date", "ds", "ds_nodash", "ts", "ts_nodash"),
        *("ts_nodash_with_tz", "data_interval_start", "data_interval_end", "macros"),
    }
)
#: The arguments that Airflow ignores if the task starts, or ends, in the triggerer, and their attributes.
_IGNORED = {
    "start_from_trigger": {"on_execute_callback": "on_execute_callback", "pre_execute": "_pre_execute_hook"},
    "end_from_trigger": {
        "on_success_callback": "on_success_callback",
        "outlets": "outlets",
        "post_execute": "_post_execute_hook",
    },
}


def check_support(*, start: bool, end: bool) -> None:
    """
    Refuse what the installed Airflow cannot do.

    :param start: whether the task starts in the triggerer.
    :param end: whether it ends there.
    :raises ValueError: before Airflow 3.3.
    """
    if (start or end) and tuple(map(int, airflow_version.split(".")[:2])) < _FIRST_VERSION:
        name = "start_from_trigger" if start else "end_from_trigger"
        raise ValueError(
            f"{name}=True needs Airflow 3.3 or later, and this is {airflow_version}; use deferrable=True"
        )


def check_task(task: Any, *, start: bool, end: bool) -> None:
    """
    Refuse arguments of a task that Airflow would ignore.

    :param task: the sensor.
    :param start: whether it starts in the triggerer.
    :param end: whether it ends there.
    :raises ValueError: naming the argument and the way out.
    """
    if end and isinstance(task.run_id, list | tuple):
        raise ValueError("run_id is a list, and end_from_trigger=True is for one run; leave it out")
    for option, is_set in (("start_from_trigger", start), ("end_from_trigger", end)):
        ignored = [name for name, attribute in _IGNORED[option].items() if getattr(task, attribute, None)]
        if is_set and ignored:
            raise ValueError(
                f"{ignored[0]} is set, but Airflow ignores it with {option}=True, as no worker is there; "
                f"remove one of them"
            )


def start_trigger_args(
    task: Any, fields: dict[str, Any], arguments: dict[str, Any], margin: timedelta
) -> StartTriggerArgs:
    """
    Return how Airflow starts a task in the triggerer.

    :param task: the sensor.
    :param fields: its templated arguments.
    :param arguments: the arguments of the trigger that no template changes.
    :param margin: how much longer than the wait the deferral may last.
    :raises ValueError: for an argument that a triggerer cannot render, naming it and the way out.
    """
    from airflow.triggers.base import StartTriggerArgs

    xcoms: dict[str, dict[str, str]] = {}
    for name, value in list(fields.items()):
        if hasattr(value, "resolve"):
            xcoms[name], fields[name] = _source_of(name, value), None
        elif isinstance(value, str):
            _check_template(name, value, task)
        elif value is not None:
            kind = type(value).__name__
            raise ValueError(f"{name} is of type {kind}, not text; leave start_from_trigger out")
    seconds = {"timeout": float(task.timeout)}
    deferral = timedelta(seconds=task.timeout) + margin
    if task.execution_timeout is not None:
        seconds["execution_timeout"] = task.execution_timeout.total_seconds()
        # Airflow itself ends the deferral then.
        deferral = min(deferral, task.execution_timeout)
    return StartTriggerArgs(
        trigger_cls=_START_TRIGGER,
        trigger_kwargs={
            **fields,
            "xcoms": xcoms,
            "seconds": seconds,
            "deferral_seconds": deferral.total_seconds(),
            "arguments": arguments,
        },
        next_method="execute_complete",
        next_kwargs=None,
        timeout=deferral,
    )


def _source_of(name: str, value: Any) -> dict[str, str]:
    """Return the task and the key of an XCom that the triggerer can read."""
    operator, key = getattr(value, "operator", None), getattr(value, "key", None)
    is_mapped = getattr(operator, "is_mapped", False) or _in_mapped_group(operator)
    if operator is None or not isinstance(key, str) or is_mapped:
        raise ValueError(
            f"{name} is {type(value).__name__} of a mapped task or a function of outputs, which a triggerer "
            f"cannot resolve; leave start_from_trigger out"
        )
    return {"task_id": operator.task_id, "key": key}


def _in_mapped_group(operator: Any) -> bool:
    find = getattr(operator, "get_closest_mapped_task_group", None)
    return find is not None and find() is not None


def _check_template(name: str, text: str, task: Any) -> None:
    """Refuse a template with anything that a triggerer leaves empty, or waits for without end."""
    if "{" not in text:
        return
    from jinja2 import meta

    used = meta.find_undeclared_variables(task.get_template_env().parse(text))
    if unknown := sorted(used - _KNOWN_IN_TRIGGERER):
        raise ValueError(
            f"{name} is {text!r}, but a triggerer cannot render {unknown[0]!r}; pass the output of a task as "
            f"task.output[...], use params or dag_run.conf, or leave start_from_trigger out"
        )
