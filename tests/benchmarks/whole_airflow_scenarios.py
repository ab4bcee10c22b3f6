"""The ways of waiting that ``whole_airflow`` compares."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from airflow_provider_openai_run.sandbox import Sandbox
from airflow_provider_openai_run.sensors.openai_run import OpenAIRunSensor
from tests.benchmarks.whole_airflow_tasks import TASKS_PER_DAG_RUN

DAG_FILES = Path(__file__).parent / "whole_airflow_dags"
#: A task that waits until a time must have started before.
SHORTEST_WAIT_SECONDS = 5.0

Conf = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Load:
    """The runs that a scenario has to wait for.

    :param runs: number of runs.
    :param seconds: how long each takes.
    :param folder: an empty folder, for files that tasks read or write.
    """

    runs: int
    seconds: float
    folder: Path


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A way of waiting.

    :param name: id of its DAG, and name of its DAG file.
    :param title: its name in the table.
    :param prepare: makes what is waited for, and returns the ``conf`` of each DAG run.
    :param is_one_task: whether one task waits for all runs; else there is a task for each.
    :param is_synchronous: whether the response to a request that creates one is sent only when it has ended.
    :param missing: returns why it cannot run with the installed versions, None if it can.
    """

    name: str
    title: str
    prepare: Callable[[Sandbox, Load], list[Conf]]
    is_one_task: bool = False
    is_synchronous: bool = False
    missing: Callable[[], str | None] = lambda: None

    @property
    def dag_file(self) -> Path:
        """The file with its DAG."""
        return DAG_FILES / f"{self.name}.py"


def _nothing(sandbox: Sandbox, load: Load) -> list[Conf]:
    return [{} for _ in range(dag_runs(load.runs))]


def _until(sandbox: Sandbox, load: Load) -> list[Conf]:
    until = datetime.now(UTC) + timedelta(seconds=max(load.seconds, SHORTEST_WAIT_SECONDS))
    return [{"until": until.isoformat()} for _ in range(dag_runs(load.runs))]


def _run_ids_of_dag_runs(sandbox: Sandbox, load: Load) -> list[Conf]:
    ids = [str(sandbox.create_response()["id"]) for _ in range(dag_runs(load.runs) * TASKS_PER_DAG_RUN)]
    return [
        {"run_ids": ids[first : first + TASKS_PER_DAG_RUN]} for first in range(0, len(ids), TASKS_PER_DAG_RUN)
    ]


def _all_run_ids(sandbox: Sandbox, load: Load) -> list[Conf]:
    return [{"run_ids": [str(sandbox.create_response()["id"]) for _ in range(load.runs)]}]


def _requests_file(sandbox: Sandbox, load: Load) -> list[Conf]:
    file, results = load.folder / "requests.jsonl", load.folder / "results"
    lines = [
        json.dumps({"custom_id": f"request-{number}", "body": {"input": f"Question {number}"}})
        for number in range(load.runs)
    ]
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return [{"requests": str(file), "results": str(results)}]


def dag_runs(runs: int) -> int:
    """Return the number of DAG runs with a task for each run, at least one."""
    return max(1, runs // TASKS_PER_DAG_RUN)


def _without_worker() -> str | None:
    parameters = inspect.signature(OpenAIRunSensor.__init__).parameters
    if "end_from_trigger" not in parameters:
        return "OpenAIRunSensor has no end_from_trigger"
    return None


def _with_list() -> str | None:
    run_ids: Any = ["resp_1", "resp_2"]
    try:
        OpenAIRunSensor(task_id="any", run_id=run_ids, deferrable=True)
    except (TypeError, ValueError) as error:
        return f"OpenAIRunSensor takes no list: {error}"
    return None


def _with_bulk() -> str | None:
    if find_spec("airflow_provider_openai_run.operators.bulk_responses") is None:
        return "there is no OpenAIBulkResponsesOperator"
    return None


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario(name="noop", title="a task that does nothing", prepare=_nothing),
        Scenario(
            name="date_time",
            title="`DateTimeSensorAsync(start_from_trigger, end_from_trigger)`",
            prepare=_until,
        ),
        Scenario(name="sensor", title="`OpenAIRunSensor(deferrable=True)`", prepare=_run_ids_of_dag_runs),
        Scenario(
            name="zero_worker_sensor",
            title="`OpenAIRunSensor(start_from_trigger, end_from_trigger)`",
            prepare=_run_ids_of_dag_runs,
            missing=_without_worker,
        ),
        Scenario(
            name="list_sensor",
            title="`OpenAIRunSensor(run_id=[…])`, one task for all",
            prepare=_all_run_ids,
            is_one_task=True,
            missing=_with_list,
        ),
        Scenario(
            name="bulk_responses",
            title="`OpenAIBulkResponsesOperator`, one task for all",
            prepare=_requests_file,
            is_one_task=True,
            missing=_with_bulk,
        ),
        Scenario(
            name="official_response",
            title="official `OpenAIResponseOperator`",
            prepare=_nothing,
            is_synchronous=True,
        ),
    )
}
