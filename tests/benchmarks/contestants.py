"""The measured triggers: their arguments, and the status in the event of a completed run."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.benchmarks.scenarios import Scenario

CONN_ID = "openai_default"
A_DAY = 86_400.0
BASELINE = "nothing"

Arguments = Callable[[int, float, Scenario], dict[str, Any]]
"""Returns a trigger's arguments from the number of its run, the run's age in seconds, and the scenario."""


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """One kind of trigger.

    :param title: its name in the table.
    :param classpath: class path of the trigger.
    :param arguments: returns the trigger's arguments.
    :param success: the ``status`` in the event of a completed run.
    """

    title: str
    classpath: str
    arguments: Arguments
    success: str


def _nothing(run: int, age: float, scenario: Scenario) -> dict[str, Any]:
    return {"number": run}


def _bare(run: int, age: float, scenario: Scenario) -> dict[str, Any]:
    return {"conn_id": CONN_ID, "run_id": f"resp_{run:06}", "poll_interval": scenario.poll_interval}


def _ours(run: int, age: float, scenario: Scenario) -> dict[str, Any]:
    return {
        "conn_id": CONN_ID,
        "run_id": f"resp_{run:06}",
        "started_at": time.time() - age,
        "poll_interval": scenario.poll_interval,
        "max_poll_interval": scenario.longest_interval or scenario.poll_interval,
        # No contestant but ours has anything to publish, and there is no database to take it.
        "push_progress": False,
    }


def _batch(run: int, age: float, scenario: Scenario) -> dict[str, Any]:
    return {
        "conn_id": CONN_ID,
        "batch_id": f"batch_{run:06}",
        "poll_interval": scenario.poll_interval,
        "timeout": A_DAY,
    }


def _agent(run: int, age: float, scenario: Scenario) -> dict[str, Any]:
    return {
        "conn_id": CONN_ID,
        "session_id": f"agsess_{run:06}",
        "poll_interval": scenario.poll_interval,
        "end_time": time.time() + A_DAY,
    }


CONTESTANTS = {
    BASELINE: Contestant(
        title="do nothing",
        classpath="tests.benchmarks.baseline_triggers.DoNothingTrigger",
        arguments=_nothing,
        success="",
    ),
    "bare": Contestant(
        title="bare loop",
        classpath="tests.benchmarks.baseline_triggers.BareLoopTrigger",
        arguments=_bare,
        success="completed",
    ),
    "ours": Contestant(
        title="ours",
        classpath="airflow_provider_openai_run.triggers.openai_run.OpenAIRunTrigger",
        arguments=_ours,
        success="completed",
    ),
    "sdk": Contestant(
        title="one shared SDK client",
        classpath="tests.benchmarks.sdk_triggers.SharedSdkClientTrigger",
        arguments=_ours,
        success="completed",
    ),
    "sdk-aiohttp": Contestant(
        title="SDK on aiohttp",
        classpath="tests.benchmarks.sdk_triggers.AioHttpSdkClientTrigger",
        arguments=_ours,
        success="completed",
    ),
    "batch": Contestant(
        title="batch",
        classpath="airflow.providers.openai.triggers.openai.OpenAIBatchTrigger",
        arguments=_batch,
        success="success",
    ),
    "agent": Contestant(
        title="agent",
        classpath="airflow.providers.openai.triggers.agent.OpenAIAgentSessionTrigger",
        arguments=_agent,
        success="success",
    ),
}
