"""Tasks that make runs, and whose worker is killed once, each at another point."""

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

#: The points in the order in which a try comes by: a function before which, or after which, it is killed.
POINTS: dict[str, tuple[str, str, str]] = {
    "before_it_looks_for_a_run": ("before", f"{ROOM}.making", "Making.own"),
    "before_it_asks_for_a_run": ("before", f"{ROOM}.runs_of_api", "_make"),
    "before_the_id_is_remembered": ("after", f"{ROOM}.runs_of_api", "_make"),
    "before_the_ids_are_pushed": ("before", f"{ROOM}.following", "Following.begin"),
    "before_it_looks_at_the_run": ("before", f"{ROOM}.following", "Following.until_the_end"),
    "before_it_defers": ("before", f"{ROOM}.following", "Following._defer"),
    "when_it_resumes": ("before", f"{ROOM}.following", "Following.after"),
    "before_it_tells": ("before", f"{ROOM}.following", "Following._finish"),
    "after_it_told": ("after", f"{ROOM}.following", "Following._finish"),
    "before_airflow_pushes": ("before", "airflow.sdk.execution_time.task_runner", "_push_xcom_if_needed"),
    "after_airflow_pushed": ("after", "airflow.sdk.execution_time.task_runner", "_push_xcom_if_needed"),
    "before_airflow_is_told": (
        "before",
        "airflow.sdk.execution_time.task_runner",
        "_handle_current_task_success",
    ),
}
#: Points at which nothing depends on the API.
THE_SAME_FOR_BOTH = {"before_it_tells", "after_it_told", "before_airflow_pushes", "after_airflow_pushed"}
#: Where a thread is made along with the run.
POINTS_OF_A_NEW_THREAD = {
    "before_the_thread_is_remembered": ("before", f"{ROOM}.memory", "Memory.set"),
    "before_it_asks_for_a_run": POINTS["before_it_asks_for_a_run"],
    "before_the_id_is_remembered": POINTS["before_the_id_is_remembered"],
    "before_the_ids_are_pushed": POINTS["before_the_ids_are_pushed"],
}
SCRIPT = {"sandbox_script": json.dumps({"base": "completed", "seconds": 3})}


def die() -> None:
    """End this process as ``kill -9`` does."""
    os.kill(os.getpid(), signal.SIGKILL)


def arrange_death(point: tuple[str, str, str]) -> None:
    """
    Let this process die at a point.

    :param point: when, and the module and the name of the function.
    """
    when, module, path = point
    holder: Any = import_module(module)
    *outer, name = path.split(".")
    for part in outer:
        holder = getattr(holder, part)
    setattr(holder, name, dying(getattr(holder, name), when))


def dying(function: Callable[..., Any], when: str) -> Callable[..., Any]:
    """Give a function that is the end of its process."""

    @functools.wraps(function)
    def fatal(*arguments: Any, **named: Any) -> Any:
        if when == "before":
            die()
        function(*arguments, **named)
        die()

    return fatal


class DiesOnce:
    """What kills the worker of the first try."""

    point: tuple[str, str, str]

    def pre_execute(self, context: Any) -> None:
        """Arrange it; Airflow calls this in each process of a task."""
        if context["ti"].try_number == 1:
            arrange_death(self.point)


class RunOfAKilledWorker(DiesOnce, OpenAICreateRunOperator):
    """A run."""


class ResponseOfAKilledWorker(DiesOnce, OpenAICreateResponseOperator):
    """A response."""


@dag(
    schedule=None,
    # Dozens of processes at once would be killed by each other's weight.
    max_active_tasks=4,
    params={"threads": Param({}, type="object")},
    default_args={
        # A scheduler that hears late of the first try's end may take it for the second's.
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
        if name not in THE_SAME_FOR_BOTH:
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
