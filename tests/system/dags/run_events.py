"""Two DAGs that run when runs of one thread have ended: one for all of them, one for those that failed."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Asset, AssetWatcher, dag, task

from airflow_provider_openai_run.triggers.openai_run_event import OpenAIRunEventTrigger

THREAD_ID = "thread_watched"


def asset(name: str, **options: Any) -> Asset:
    trigger = OpenAIRunEventTrigger(thread_id=THREAD_ID, poll_interval=1, max_poll_interval=1, **options)
    return Asset(name=name, watchers=[AssetWatcher(name=name, trigger=trigger)])


ended = asset("ended_runs")
failed = asset("failed_runs", statuses=["failed"])


@task
def received(triggering_asset_events: dict[Asset, Any] | None = None) -> list[str]:
    by_asset = triggering_asset_events or {}
    return [event.extra["payload"]["run_id"] for events in by_asset.values() for event in events]


@dag(schedule=[ended], is_paused_upon_creation=True, max_active_runs=16)
def ended_run_events() -> None:
    """Run for each run that has ended."""
    received()


@dag(schedule=[failed], is_paused_upon_creation=True, max_active_runs=16)
def failed_run_events() -> None:
    """Run for each run that has failed."""
    received()


ended_run_events()
failed_run_events()
