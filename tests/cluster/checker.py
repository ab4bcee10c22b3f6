"""The check after a soak: what must hold whatever went wrong in it."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.cluster.cluster import DATABASE, Cluster
from tests.cluster.faults import Fault, may_be_missed
from tests.cluster.workload import DAG_ID, ENDED_BY_A_USER, Round, created_runs
from tests.system.run_owner import owner_of

JsonObject = dict[str, Any]

#: The states of a task and of the last run that it has created, by the end of the task's id.
EXPECTED: Mapping[str, tuple[str, str]] = {
    "completes": ("success", "completed"),
    "fails": ("failed", "failed"),
    "calls_functions": ("success", "completed"),
    "times_out": ("failed", "cancelled"),
    "is_ended": ("failed", "cancelled"),
    "on_worker": ("success", "completed"),
}
ENDED = frozenset({"completed", "failed", "cancelled", "expired", "incomplete"})
#: Statuses after which a retry creates another run.
ENDED_IN_VAIN = frozenset({"failed", "cancelled", "expired", "incomplete"})
#: The task's log says in these words that it may have created a run which nothing can find: a window that
#: docs/owned-runs.md names.
MAY_BE_TWICE = re.compile("is billed and cannot be found")


@dataclass
class Verdict:
    """
    The result of a check.

    :param findings: what does not hold, one line each.
    :param counts: what was checked, and how often a documented window was met.
    """

    findings: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


class Checker:
    """
    Compares the tasks of a soak with their runs at the API.

    :param cluster: the healed cluster.
    :param faults: the faults of the soak.
    """

    def __init__(self, cluster: Cluster, faults: list[Fault]) -> None:
        self._cluster = cluster
        self._faults = faults
        self._verdict = Verdict()

    def check(self, rounds: list[Round]) -> Verdict:
        """
        Return what does not hold.

        :param rounds: the rounds of the soak.
        """
        by_task: dict[str, list[JsonObject]] = defaultdict(list)
        for run in created_runs(self._cluster):
            by_task[owner_of(run)].append(run)
        for one in rounds:
            for task in self._cluster.airflow.rest.task_instances(DAG_ID, one.run_id):
                owner = f"{DAG_ID}/{one.run_id}/{task['task_id']}/-1"
                self._check_task(one, task, by_task[owner])
        self._check_secrets()
        self._verdict.counts["runs"] = sum(len(runs) for owner, runs in by_task.items() if owner)
        return self._verdict

    def _check_task(self, one: Round, task: JsonObject, runs: list[JsonObject]) -> None:
        name: str = task["task_id"]
        kind, _, end = name.partition("_")
        state, status = EXPECTED[end]
        problems = []
        if task["state"] != state:
            problems.append(f"the task is {task['state']}, not {state}")
        if kind in {"run", "response"}:
            problems += self._problems_of_runs(one, name, task, runs, status)
        elif runs:
            problems.append("a task that only waits has created a run")
        if task["state"] == "success" and kind != "sensor":
            problems += self._problems_of_xcoms(one, name, status, {run["id"] for run in runs})
        self._verdict.counts["tasks"] += 1
        self._verdict.counts["tries"] += max(task["try_number"], 1)
        for problem in problems:
            self._verdict.findings.append(f"{one.run_id} {name} (try {task['try_number']}): {problem}")

    def _problems_of_runs(
        self, one: Round, name: str, task: JsonObject, runs: list[JsonObject], status: str
    ) -> Iterator[str]:
        if not runs:
            if status != "completed" and name not in ENDED_BY_A_USER:
                # All its tries were lost to killed workers and the like.
                self._verdict.counts["failed before they created a run"] += 1
            else:
                yield "no run was created"
            return
        active = [run["id"] for run in runs if run["status"] not in {*ENDED, "requires_action"}]
        unanswered = [run["id"] for run in runs if run["status"] == "requires_action"]
        if name in ENDED_BY_A_USER and active and may_be_missed(self._faults, one.ended_at.get(name, 0.0)):
            self._verdict.counts["ended while its triggerer was down"] += 1
        elif active == [runs[-1]["id"]] and f"Could not cancel run {active[0]}" in self._logs(one, task):
            self._verdict.counts["could not be cancelled, as the log says"] += 1
        elif active or unanswered:
            yield f"left without an owner: {active + unanswered}"
        if runs[-1]["status"] != status and not active:
            yield f"its run is {runs[-1]['status']}, not {status}: {runs[-1]['id']}"
        surplus = sum(_is_surplus(runs[:number], run) for number, run in enumerate(runs))
        if surplus:
            named = len(MAY_BE_TWICE.findall(self._logs(one, task)))
            self._verdict.counts["created twice, as its log says"] += min(surplus, named)
            if surplus > named:
                listed = [(run["id"], run["created_at"], run["status"]) for run in runs]
                yield f"{surplus} runs too many, {named} of them named in the log: {listed}"

    def _problems_of_xcoms(self, one: Round, name: str, status: str, created: set[str]) -> Iterator[str]:
        run_id, pushed = (
            self._cluster.airflow.rest.xcom(DAG_ID, one.run_id, name, key) for key in ("id", "status")
        )
        if pushed != status:
            yield f"the XCom status is {pushed}, not {status}"
        if created and run_id not in created:
            yield f"the XCom id is {run_id}, not one of {created}"

    def _logs(self, one: Round, task: JsonObject) -> str:
        return "\n".join(self._cluster.airflow.log_files(DAG_ID, one.run_id, task["task_id"]).values())

    def _check_secrets(self) -> None:
        secret = self._cluster.sandbox.api_key
        dump = self._cluster.postgres.dump(DATABASE)
        if DAG_ID not in dump:
            self._verdict.findings.append("the dump of the database does not have even what is there")
        if secret in dump or secret.encode().hex() in dump:
            self._verdict.findings.append("the API key is in the database")
        for path in self._cluster.airflow.home.rglob("*.log"):
            self._verdict.counts["log files"] += 1
            if secret.encode() in path.read_bytes():
                self._verdict.findings.append(
                    f"the API key is in {path.relative_to(self._cluster.airflow.home)}"
                )


def _is_surplus(earlier: list[JsonObject], run: JsonObject) -> bool:
    """Return whether a run was created although an earlier one of its task was active or has completed."""
    previous = run.get("previous_response_id")
    if previous is not None:
        # A response that follows one with function calls; two must not follow the same one.
        return any(one.get("previous_response_id") == previous and not _in_vain(one, run) for one in earlier)
    roots = [one for one in earlier if one.get("previous_response_id") is None]
    return any(not _in_vain(one, run) for one in roots)


def _in_vain(earlier: JsonObject, run: JsonObject) -> bool:
    return earlier["status"] in ENDED_IN_VAIN
