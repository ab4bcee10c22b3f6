"""Notices: sentences that say which data the page does not have, and why."""

from __future__ import annotations

from airflow_provider_openai_run.run_page.formatting import shorten
from airflow_provider_openai_run.run_page.steps import StepView
from airflow_provider_openai_run.run_page.task_instance import TaskInstanceInfo
from airflow_provider_openai_run.run_page.xcom_data import XComData
from airflow_provider_openai_run.types.status import classify_status

_SENSOR = "OpenAIRunSensor"
_MAX_NAMED_KEYS = 4


def notices_for(
    data: XComData, task: TaskInstanceInfo, status: str | None, steps: tuple[StepView, ...] | None
) -> tuple[str, ...]:
    """
    Return a sentence for each kind of data that is missing.

    :param data: the data that XCom holds.
    :param task: the task instance.
    :param status: the run's status, if it is known.
    :param steps: the run's steps; None if they are not known.
    """
    if not data:
        return (_no_data_notice(task),)
    notices = [_unreadable_notice(data.unreadable)] if data.unreadable else []
    if status is None:
        notices.append("The run's status is not in XCom yet.")
    elif not classify_status(status).is_terminal and task.state == "failed":
        notices.append(f"The last known status is {status}. The task has failed since then; see its log.")
    elif classify_status(status).is_terminal and not data.unreadable:
        notices += _notices_of_ended_run(data, task, steps)
    return tuple(notices)


def _unreadable_notice(unreadable: dict[str, str]) -> str:
    keys = list(unreadable)
    names = ", ".join(keys[:_MAX_NAMED_KEYS]) + (" and others" if len(keys) > _MAX_NAMED_KEYS else "")
    cause = shorten(unreadable[keys[0]], 200)
    return (
        f"An XCom backend stores {names} outside Airflow's database, and the API server could not read that "
        f"({cause}). It needs the same core.xcom_backend, its configuration and access to its storage."
    )


def _notices_of_ended_run(
    data: XComData, task: TaskInstanceInfo, steps: tuple[StepView, ...] | None
) -> list[str]:
    notices = []
    run = data.attributes
    if steps is None and run.get("steps") is not None:
        notices.append("The steps in XCom have an unknown format; the raw JSON shows them.")
    elif run.get("input_file_id"):
        notices.append("A batch has no steps and no answer; its results are the lines of its files.")
    elif steps is None and task.operator == _SENSOR:
        notices.append("The sensor does not retrieve the steps and the answer; OpenAIGetRunOperator does.")
    elif steps is None:
        notices.append("The steps were not retrieved (include_steps=False), or are not in XCom.")
    elif not steps:
        notices.append("The run has no steps.")
    if "usage" in run and run["usage"] is None:
        notices.append("The API reported no token usage.")
    return notices


def _no_data_notice(task: TaskInstanceInfo) -> str:
    if task.state in (None, "scheduled", "queued"):
        return "The task has not started yet."
    if task.is_live:
        return "XCom has no data of the run yet."
    if task.state == "success":
        return "XCom has no data of the run: the task has do_xcom_push=False, or its XComs were deleted."
    return "XCom has no data of the run. See the task's log for why the task ended."
