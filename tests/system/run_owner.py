"""Which task has created a run of the sandbox."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def owner_of(run: Mapping[str, Any]) -> str:
    """Return the task that the metadata of a run or response name; empty if they name none."""
    return str((run.get("metadata") or {}).get("airflow_task", ""))
