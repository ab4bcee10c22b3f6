from __future__ import annotations

from typing import Any

from airflow_provider_openai_run.triggers.openai_run import OpenAIRunTrigger
from tests.fake_clock import FakeClock

PACE: dict[str, Any] = {"poll_interval": 30.0, "max_poll_interval": 30.0}


def trigger_for(run: dict[str, Any], fake_clock: FakeClock, **options: Any) -> OpenAIRunTrigger:
    now = fake_clock.time()
    ids = {"run_id": run["id"], "thread_id": run.get("thread_id"), "started_at": now}
    deadline = now + options.pop("timeout", 100)
    return OpenAIRunTrigger(conn_id="openai_default", **{**ids, "deadline": deadline, **PACE, **options})
