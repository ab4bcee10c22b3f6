"""What is not there to be shown, and why, in sentences."""

from __future__ import annotations

from airflow_provider_openai_run.run_page.formatting import first_line
from airflow_provider_openai_run.run_page.steps import StepView
from airflow_provider_openai_run.run_page.task_instance import TaskInstanceInfo
from airflow_provider_openai_run.run_page.xcom_data import XComData
from airflow_provider_openai_run.types.status import classify_status

_SENSOR = "OpenAIRunSensor"
_LEFT_ALONE = "A sensor leaves the steps and the answer alone; OpenAIGetRunOperator retrieves them."


def notices_for(
    told: XComData, task: TaskInstanceInfo, status: str | None, steps: tuple[StepView, ...] | None
) -> tuple[str, ...]:
    """
    Say what is missing.

    :param told: what there is.
    :param task: the task instance.
    :param status: the run's.
    :param steps: the run's, if there are any.
    """
    if not told:
        return (_nothing(task),)
    sentences = [
        f"{key} is kept outside Airflow's database by an XCom backend, at {first_line(value)}."
        for key, value in told.elsewhere.items()
    ]
    if status is None:
        sentences.append("No status of the run is in XCom yet.")
    elif not classify_status(status).is_terminal and task.state == "failed":
        sentences.append(f"The last status seen was {status}. The task has failed since; its log says why.")
    elif classify_status(status).is_terminal and not told.elsewhere:
        sentences += _of_the_end(told, task, steps)
    return tuple(sentences)


def _of_the_end(told: XComData, task: TaskInstanceInfo, steps: tuple[StepView, ...] | None) -> list[str]:
    sentences = []
    run = told.attributes
    if steps is None and run.get("steps") is not None:
        sentences.append("The steps in XCom have a shape that is not known here; the raw JSON has them.")
    elif steps is None and task.operator == _SENSOR:
        sentences.append(_LEFT_ALONE)
    elif steps is None:
        sentences.append("The steps were not retrieved (include_steps=False), or are not in XCom.")
    elif not steps:
        sentences.append("The run has no steps.")
    if "usage" in run and run["usage"] is None:
        sentences.append("The API told no token usage.")
    return sentences


def _nothing(task: TaskInstanceInfo) -> str:
    if task.state in (None, "scheduled", "queued"):
        return "The task has not started yet."
    if task.is_live:
        return "Nothing of the run is in XCom yet."
    if task.state == "success":
        return "Nothing of the run is in XCom: the task was told to push none, or its XComs were deleted."
    return "Nothing of the run is in XCom. The task's log says why it ended."
