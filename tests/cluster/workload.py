"""The tasks of a soak: DAG runs that are started one after the other, and the tasks that a user ends."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import requests

from airflow_provider_openai_run.sandbox import Script, Step
from airflow_provider_openai_run.sandbox.scripts import function_call
from tests.cluster.cluster import Cluster
from tests.system.airflow_rest import AirflowRestError
from tests.system.local_airflow import FINAL_RUN_STATES
from tests.system.run_owner import all_runs, owner_of

DAG_ID = "soak"
#: Tasks whose runs never end: a user marks them failed while they are deferred.
ENDED_BY_A_USER = ("run_is_ended", "response_is_ended")
CALL = Step(type="tool_calls", at=2.0, details={"tool_calls": [function_call("get_time", {"city": "Oslo"})]})
BEFORE_A_CALL = ((0.0, "queued"), (1.0, "in_progress"), (2.5, "requires_action"))
STEP_SECONDS = 2.0


def two_rounds() -> Script:
    """Return the script of a run that calls a function twice."""
    end = Script(phases=((0.0, "in_progress"), (3.0, "completed")), steps=(Step(at=1.0, seconds=1.0),))
    second = Script(phases=BEFORE_A_CALL, steps=(CALL,), after_outputs=end, expires_after=86_400)
    return Script(phases=BEFORE_A_CALL, steps=(CALL,), after_outputs=second, expires_after=86_400)


@dataclass
class Round:
    """
    A DAG run of the soak.

    :param run_id: its id.
    :param end_at: when a user ends the tasks that would wait for ever, in seconds after the soak's start.
    :param ended_at: when each of them was ended.
    """

    run_id: str
    end_at: float
    ended_at: dict[str, float] = field(default_factory=dict)
    state: str = "running"

    @property
    def has_ended(self) -> bool:
        """Whether the DAG run was seen to have ended."""
        return self.state in FINAL_RUN_STATES


class Workload:
    """
    Starts rounds and acts as a user, also while parts of the cluster do not respond.

    :param cluster: where.
    :param seed: decides how long the runs take, and when a user ends tasks.
    :param active: how many rounds run at once.
    """

    def __init__(self, cluster: Cluster, *, seed: int, active: int) -> None:
        self._cluster = cluster
        self._chance = random.Random(seed)
        self._active = active
        self.rounds: list[Round] = []
        #: Whether further rounds are started.
        self.is_open = True
        cluster.sandbox.add_script("two_rounds", two_rounds())
        # A run of the Assistants API would expire after ten minutes.
        cluster.sandbox.add_script("in_progress", {"base": "in_progress", "expires_after": 86_400})

    def run(self, clock: Callable[[], float], stop: threading.Event) -> None:
        """
        Step until the end; for a thread of its own, because a frozen database lets a request wait.

        :param clock: returns the seconds since the start of the soak.
        :param stop: set at the end.
        """
        while not stop.wait(STEP_SECONDS):
            # What fails is tried again: parts of the cluster do not respond.
            with contextlib.suppress(requests.RequestException, AirflowRestError):
                self._step(clock())

    @property
    def has_ended(self) -> bool:
        """Whether all rounds have ended."""
        return all(one.has_ended for one in self.rounds)

    def _step(self, now: float) -> None:
        for one in self.rounds:
            if not one.has_ended:
                self._end_tasks(one, now)
                self._read_state(one)
        if self.is_open and sum(not one.has_ended for one in self.rounds) < self._active:
            self._start_round(now)

    def _start_round(self, now: float) -> None:
        seconds = self._chance.randint(15, 60)
        conf = {
            "seconds": seconds,
            "completes": self._create("completed", seconds),
            "fails": self._create("failed", seconds),
        }
        end_at = now + self._chance.uniform(20, 60)
        run_id = f"round_{len(self.rounds)}"
        # With an id of its own a request whose response was lost is not sent twice.
        if run_id not in self._known():
            body = {"logical_date": None, "dag_run_id": run_id, "conf": conf}
            self._cluster.airflow.rest.call("POST", f"/dags/{DAG_ID}/dagRuns", body=body)
        self.rounds.append(Round(run_id, end_at))

    def _known(self) -> set[str]:
        runs = self._cluster.airflow.rest.call("GET", f"/dags/{DAG_ID}/dagRuns", params={"limit": 1000})
        return {run["dag_run_id"] for run in runs["dag_runs"]}

    def _create(self, base: str, seconds: float) -> str:
        response_id: str = self._cluster.sandbox.create_response(script={"base": base, "seconds": seconds})[
            "id"
        ]
        return response_id

    def _end_tasks(self, one: Round, now: float) -> None:
        if now < one.end_at:
            return
        for task in self._cluster.airflow.rest.task_instances(DAG_ID, one.run_id):
            name = task["task_id"]
            is_waiting = task["state"] == "deferred" and task.get("triggerer_job") is not None
            if name in ENDED_BY_A_USER and is_waiting and self._is_polled(one, name):
                one.ended_at[name] = now
                self._cluster.airflow.rest.set_state(DAG_ID, one.run_id, name, "failed")

    def _is_polled(self, one: Round, task_id: str) -> bool:
        """Return whether a triggerer has polled the task's run: the worker polls it once."""
        owner = f"{DAG_ID}/{one.run_id}/{task_id}/-1"
        return any(
            self._cluster.sandbox.count("GET", run["id"]) > 2
            for run in created_runs(self._cluster)
            if owner_of(run) == owner
        )

    def _read_state(self, one: Round) -> None:
        one.state = self._cluster.airflow.rest.dag_run(DAG_ID, one.run_id)["state"]


def created_runs(cluster: Cluster) -> list[dict[str, Any]]:
    """
    Return the JSON of all runs and responses, oldest first.

    :param cluster: the cluster whose sandbox has them.
    """
    return sorted(all_runs(cluster.sandbox), key=lambda run: run["created_at"])
