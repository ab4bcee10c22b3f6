"""Tasks that create runs and whose worker is killed once, each at a different point."""

from __future__ import annotations

import functools
import json
import os
import signal
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from airflow.sdk import Param, dag
from airflow.sdk.execution_time import task_runner

from airflow_provider_openai_run.operators.openai_run import (
    OpenAICreateResponseOperator,
    OpenAICreateRunOperator,
)
from airflow_provider_openai_run.owned_runs.resolver import RunResolver
from airflow_provider_openai_run.owned_runs.results import RunResults
from airflow_provider_openai_run.owned_runs.runner import OwnedRunRunner
from airflow_provider_openai_run.owned_runs.state import TaskRunState

#: When a worker is killed: before or after a function, and the class or module and the name of that function.
Point = tuple[str, Any, str]

#: The points in the order in which a try reaches them.
POINTS: dict[str, Point] = {
    "before_the_search": ("before", RunResolver, "find_existing"),
    "before_the_create_request": ("before", TaskRunState, "next_idempotency_key"),
    "before_the_id_is_saved": ("before", TaskRunState, "record_created"),
    "before_the_ids_are_pushed": ("before", OwnedRunRunner, "_announce"),
    "before_the_first_poll": ("before", OwnedRunRunner, "_poll"),
    "before_it_defers": ("before", OwnedRunRunner, "_defer"),
    "when_it_resumes": ("before", OwnedRunRunner, "resume"),
    "before_the_result": ("before", RunResults, "success"),
    "after_the_result": ("after", RunResults, "success"),
    "before_airflow_pushes": ("before", task_runner, "_push_xcom_if_needed"),
    "after_airflow_pushed": ("after", task_runner, "_push_xcom_if_needed"),
    "before_airflow_records_success": ("before", task_runner, "_handle_current_task_success"),
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
    "before_the_thread_is_saved": ("before", TaskRunState, "update"),
    "before_the_create_request": POINTS["before_the_create_request"],
    "before_the_id_is_saved": POINTS["before_the_id_is_saved"],
    "before_the_ids_are_pushed": POINTS["before_the_ids_are_pushed"],
}
for _, holder, name in [*POINTS.values(), *POINTS_OF_A_NEW_THREAD.values()]:
    # A name that no longer exists makes this file an import error, on which every test of its DAG fails.
    getattr(holder, name)
#: The test looks for this line in the log of the first try.
KILL_LINE = "This worker is killed now."
SCRIPT = {"sandbox_script": json.dumps({"base": "completed", "seconds": 3})}


def kill_this_process() -> None:
    """Leave a line in the task's log, and end this process as ``kill -9`` does."""
    sys.stdout.write(f"{KILL_LINE}\n")
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGKILL)


def kill_at(point: Point) -> None:
    """
    Let this process be killed at a point.

    :param point: the point.
    """
    when, holder, name = point
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

    point: Point

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
