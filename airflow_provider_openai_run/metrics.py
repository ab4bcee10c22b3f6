"""Metrics of waits, sent to Airflow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_openai_run.types.run_ref import RunRef


def count_stalled(ref: RunRef, *, in_triggerer: bool = False) -> None:
    """
    Count a stalled run in the metric ``openai_run.stalled``.

    :param ref: the run.
    :param in_triggerer: whether this process is a triggerer: there Airflow sends the metrics of its core,
        and on a worker those of the Task SDK.
    """
    stats = _core_stats() if in_triggerer else _task_sdk_stats()
    stats.incr("openai_run.stalled", tags={"api": ref.api})


def _core_stats() -> Any:  # noqa: ANN401 - Airflow's class, which has moved
    try:
        from airflow.observability.stats import Stats
    except ImportError:
        return _task_sdk_stats()
    return Stats


def _task_sdk_stats() -> Any:  # noqa: ANN401 - likewise
    from airflow.providers.common.compat.sdk import Stats

    return Stats
