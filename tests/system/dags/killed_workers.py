"""Tasks that create runs and whose worker is killed once, each at a different point."""

from __future__ import annotations

import functools
import json
import os
import signal
from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from typing import Any

from airflow.sdk import Param, dag

from airflow_provider_openai_run.operators.openai_run import (
    OpenAICreateResponseOperator,
    OpenAICreateRunOperator,
)

ROOM = "airflow_provider_openai_run.operators"

#: The points in the order in which a try reaches them: a function before or after which the worker is killed.
POINTS: dict[str, tuple[str, str, str]] = {
    "before_the_search": ("before", f"{ROOM}.making", "Making.own"),
    "before_the_create_request": ("before", f"{ROOM}.runs_of_api", "_make"),
    "before_the_id_is_saved": ("after", f"{ROOM}.runs_of_api", "_make"),
    "before_the_ids_are_pushed": ("before", f"{ROOM}.following", "Following.begin"),
    "before_the_first_poll": ("before", f"{ROOM}.following", "Following.until_the_end"),
    "before_it_defers": ("before", f"{ROOM}.following", "Following._defer"),
    "when_it_resumes": ("before", f"{ROOM}.following", "Following.after"),
    "before_the_result": ("before", f"{ROOM}.following", "Following._finish"),
    "after_the_result": ("after", f"{ROOM}.following", "Following._finish"),
    "before_airflow_pushes": ("before", "airflow.sdk.execution_time.task_runner", "_push_xcom_if_needed"),
    "after_airflow_pushed": ("after", "airflow.sdk.execution_time.task_runner", "_push_xcom_if_needed"),
    "before_airflow_records_success": (
        "before",
        "airflow.sdk.execution_time.task_runner",
        "_handle_current_task_success",
    ),
}
#: Points at which the API makes no difference.
INDEPENDENT_OF_THE_API = {
    "before_the_result",
    "after_the_result",
    "before_airflow_pushes",
    "after_airflow_pushed",
}
#: For a task that creates a thread and its run in one request.
POINTS_OF_A_NEW_THREAD = {
    "before_the_thread_is_saved": ("before", f"{ROOM}.memory", "Memory.set"),
    "before_the_create_request": POINTS["before_the_create_request"],
    "before_the_id_is_saved": POINTS["before_the_id_is_saved"],
    "before_the_ids_are_pushed": POINTS["before_the_ids_are_pushed"],
}
SCRIPT = {"sandbox_script": json.dumps({"base": "completed", "seconds": 3})}


def kill_this_process() -> None:
    """End this process as ``kill -9`` does."""
    os.kill(os.getpid(), signal.SIGKILL)


def kill_at(point: tuple[str, str, str]) -> None:
    """
    Let this process be killed at a point.

    :param point: when, and the module and the name of the function.
    """
    when, module, path = point
    holder: Any = import_module(module)
    *outer, name = path.split(".")
    for part in outer:
        holder = getattr(holder, part)
    setattr(holder, name, killing(getattr(holder, name), when))


def killing(function: Callable[..., Any], when: str) -> Callable[..., Any]:
    """Return a function that kills its process before or after its work."""

    @functools.wraps(function)
    def wrapper(*arguments: Any, **named: Any) -> Any:
        if when == "before":
            kill_this_process()
        function(*arguments, **named)
        kill_this_process()

    return wrapper


class KilledOnce:
    """Mixin that kills the worker of the first try."""

    point: tuple[str, str, str]

    def pre_execute(self, context: Any) -> None:
        """Prepare the kill; Airflow calls this in each process of a task."""
        if context["ti"].try_number == 1:
            kill_at(self.point)


class RunOfAKilledWorker(KilledOnce, OpenAICreateRunOperator):
    """A run."""


class ResponseOfAKilledWorker(KilledOnce, OpenAICreateResponseOperator):
    """A response."""


@dag(
    schedule=None,
    # More processes at once need more memory than a small machine has.
    max_active_tasks=4,
    params={"threads": Param({}, type="object")},
    default_args={
        # A scheduler that learns late that the first try ended may take it for the end of the second.
        "retries": 2,
        "retry_delay": timedelta(seconds=3),
        "deferrable": True,
        "poll_interval": 0.5,
        "max_poll_interval": 1,
        "metadata": SCRIPT,
    },
)
def killed_workers() -> None:
    """Run on a thread, a thread and a run at once, and a response."""
    for name, point in POINTS.items():
        run = RunOfAKilledWorker(
            task_id=f"run_{name}", assistant_id="asst_1", thread_id=f"{{{{ params.threads['{name}'] }}}}"
        )
        run.point = point
        if name not in INDEPENDENT_OF_THE_API:
            response = ResponseOfAKilledWorker(task_id=f"response_{name}", model="gpt-5.2", input="Hi")
            response.point = point
    for name, point in POINTS_OF_A_NEW_THREAD.items():
        both = RunOfAKilledWorker(
            task_id=f"both_{name}",
            assistant_id="asst_1",
            thread={"messages": [{"role": "user", "content": "Hi"}]},
        )
        both.point = point


killed_workers()
