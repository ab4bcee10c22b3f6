"""Metrics of waits, sent to Airflow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import Stats

if TYPE_CHECKING:
    from airflow_provider_openai_run.polling.policy import Decision
    from airflow_provider_openai_run.types.run_ref import RunRef


def count_stalled(decision: Decision, ref: RunRef) -> None:
    """
    Send the metric ``openai_run.stalled`` if a poll found that the run is stalled.

    :param decision: the decision after the poll.
    :param ref: the run.
    """
    if decision.has_stalled:
        Stats.incr("openai_run.stalled", tags={"api": ref.api})
