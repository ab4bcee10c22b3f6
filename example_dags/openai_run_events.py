"""
Start a DAG whenever a run of a thread has ended, no matter who created it, with its ids, status and usage.

An asset stands for the runs of the thread. Its watcher runs in the triggerer, occupies no worker, and
updates the asset once for each run that ends. Runs that end at almost the same time may start one DAG run,
so the task takes a list. Set the environment variable ``OPENAI_EXAMPLE_THREAD_ID`` for all components of
Airflow and unpause the DAG: while it is paused, the thread is not polled. Needs the Assistants API; on
Airflow 3.3 and later no run is missed while Airflow is down or the DAG is paused.
"""

from __future__ import annotations

import logging
import os
from typing import Any

from airflow.sdk import Asset, AssetWatcher, dag, task

from airflow_provider_openai_run.triggers.openai_run_event import OpenAIRunEventTrigger

log = logging.getLogger(__name__)

THREAD_ID = os.environ.get("OPENAI_EXAMPLE_THREAD_ID", "thread_of_the_example")

ended_runs = Asset(
    name="openai_example_thread",
    uri=f"openai-thread://example/{THREAD_ID}",
    watchers=[
        AssetWatcher(
            name="ended_runs",
            trigger=OpenAIRunEventTrigger(thread_id=THREAD_ID, poll_interval=2, max_poll_interval=30),
        )
    ],
)


@dag(
    schedule=[ended_runs],
    is_paused_upon_creation=True,
    tags=["openai", "example"],
    doc_md=__doc__,
)
def openai_run_events() -> None:
    """Report on each run that ended."""

    @task
    def report(triggering_asset_events: dict[Asset, Any] | None = None) -> list[str]:
        events = triggering_asset_events[ended_runs] if triggering_asset_events else ()
        runs = [event.extra["payload"] for event in events]
        lines = [f"{run['run_id']} is {run['status']}: {tokens(run)} tokens" for run in runs]
        log.info("\n".join(lines))
        return lines

    report()


def tokens(run: dict[str, Any]) -> int:
    """Return how many tokens a run used."""
    return run["usage"]["total_tokens"] if run["usage"] else 0


openai_run_events()
