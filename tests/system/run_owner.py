"""Which task has created a run of the sandbox."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_openai_run.sandbox import Sandbox
from tests.system.dag_run import DagRun


def owner_of(run: Mapping[str, Any]) -> str:
    """Return the task that the metadata of a run or response name; empty if they name none."""
    return str((run.get("metadata") or {}).get("airflow_task", ""))


def all_runs(sandbox: Sandbox) -> list[dict[str, Any]]:
    """Return the JSON of all runs and responses."""
    return [*sandbox.list_runs(), *sandbox.list_responses()]


def created_by(sandbox: Sandbox, run: DagRun, task_id: str) -> dict[str, str]:
    """Return the statuses of the runs and responses whose metadata name a task, by id."""
    tag = f"{run.dag_id}/{run.run_id}/{task_id}/-1"
    return {run["id"]: run["status"] for run in all_runs(sandbox) if owner_of(run) == tag}
