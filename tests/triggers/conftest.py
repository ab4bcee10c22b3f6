from __future__ import annotations

from typing import Any

from airflow_provider_openai_run.triggers.openai_run import OpenAIRunTrigger
from tests.sandboxed import connect, running_sandbox, sandbox, stopped_time, task_log
from tests.stopped_time import StoppedTime

__all__ = ["connect", "running_sandbox", "sandbox", "stopped_time", "task_log"]

PACE: dict[str, Any] = {"poll_interval": 30.0, "max_poll_interval": 30.0}


def trigger_for(run: dict[str, Any], stopped_time: StoppedTime, **options: Any) -> OpenAIRunTrigger:
    now = stopped_time.time()
    facts = {"run_id": run["id"], "thread_id": run.get("thread_id"), "started_at": now}
    deadline = now + options.pop("timeout", 100)
    return OpenAIRunTrigger(conn_id="openai_default", **{**facts, "deadline": deadline, **PACE, **options})
