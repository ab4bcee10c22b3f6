"""
Let tasks wait while everything breaks, and check that each ended as its run did and paid once.

``python -m tests.cluster.soak --seed 7 --minutes 30`` starts the cluster and the sandbox, runs tasks of every
kind, kills, pauses and heals parts at times that the seed decides, and then compares the tasks with their
runs. It exits with 0 only if it found nothing.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.cluster.checker import Checker, Verdict
from tests.cluster.cluster import TRIGGERERS, Cluster, reason_to_skip
from tests.cluster.faults import Fault, schedule
from tests.cluster.workload import DAG_ID, Workload
from tests.system.component import Component

TICK_SECONDS = 0.25
#: After the last fault everything must end within this time: in a test, and in the command, for which a busy
#: machine may take long.
SETTLE_SECONDS = 420.0
COMMAND_SETTLE_SECONDS = 1800.0
#: How long a component that has crashed stays down.
RESTART_SECONDS = 8.0
#: A component may crash while the database is away, and shortly afterwards.
CRASH_SECONDS = 60.0
ACTIVE_ROUNDS = 2

Say = Callable[[str], None]


@dataclass
class Report:
    """
    The faults and the findings of a soak.

    :param faults: how many faults of each kind there were.
    :param crashes: components that ended by themselves, with how often.
    :param verdict: what the checker found.
    """

    faults: Counter[str] = field(default_factory=Counter)
    crashes: Counter[str] = field(default_factory=Counter)
    verdict: Verdict = field(default_factory=Verdict)

    @property
    def findings(self) -> list[str]:
        """Everything that does not hold, one line each."""
        return self.verdict.findings

    def lines(self) -> list[str]:
        """Return the report as text."""
        counted = {
            "faults": self.faults,
            "components that crashed": self.crashes,
            "checked": self.verdict.counts,
        }
        summary = [
            f"{title}: {', '.join(f'{count} {name}' for name, count in sorted(counts.items())) or 'none'}"
            for title, counts in counted.items()
        ]
        return [*summary, *(f"FOUND: {one}" for one in self.findings), f"{len(self.findings)} findings"]


class Soak:
    """
    One soak.

    :param cluster: a running cluster.
    :param seed: decides which faults there are, and when.
    :param seconds: for how long things break.
    :param active: how many rounds of tasks run at once.
    :param say: called with a line for each thing that happens.
    :param settle_seconds: how long the tasks may take to end after the last fault.
    """

    def __init__(
        self,
        cluster: Cluster,
        *,
        seed: int,
        seconds: float,
        active: int,
        say: Say,
        settle_seconds: float = SETTLE_SECONDS,
    ) -> None:
        self._cluster = cluster
        self._seconds = seconds
        self._settle_seconds = settle_seconds
        self._say = say
        self._faults = schedule(seed, seconds)
        self._workload = Workload(cluster, seed=seed, active=active)
        self._pending = list(self._faults)
        self._active: list[Fault] = []
        self._report = Report()
        self._database_was_away_at = float("-inf")
        self._crashed_at: dict[str, float] = {}

    def run(self) -> Report:
        """Break, heal, wait until the tasks have ended, and check."""
        self._cluster.airflow.wait_for_dags([DAG_ID])
        began = time.monotonic()
        stop = threading.Event()
        user = threading.Thread(target=self._workload.run, args=(lambda: time.monotonic() - began, stop))
        user.start()
        try:
            while (now := time.monotonic() - began) < self._seconds or self._active:
                self._step(now)
                time.sleep(TICK_SECONDS)
            self._say("everything is healed; the tasks may end now")
            self._workload.is_open = False
            while not self._workload.has_ended and now < self._seconds + self._settle_seconds:
                now = time.monotonic() - began
                self._restart_crashed(now)
                time.sleep(TICK_SECONDS)
        finally:
            for fault in self._active:
                fault.end()
            stop.set()
            user.join()
        self._report.verdict = self._check()
        return self._report

    def _step(self, now: float) -> None:
        for fault in [one for one in self._active if now >= one.ends_at]:
            self._active.remove(fault)
            fault.end()
            self._say(f"healed: {fault}")
        while self._pending and self._pending[0].at <= now:
            fault = self._pending.pop(0)
            self._say(f"{fault}")
            fault.begin(self._cluster)
            self._report.faults[fault.kind] += 1
            self._active.append(fault)
        if any(fault.subject == "database" for fault in self._active):
            self._database_was_away_at = now
        self._restart_crashed(now)

    def _restart_crashed(self, now: float) -> None:
        """Start components again that have ended by themselves, as whatever runs them in production does."""
        stopped = {fault.target for fault in self._active}
        for name, component in self._cluster.airflow.components.items():
            if component.is_running or not component.is_expected or name in stopped:
                self._crashed_at.pop(name, None)
            elif name not in self._crashed_at:
                self._crashed_at[name] = now
                self._report_crash(name, component, now)
            elif now > self._crashed_at[name] + RESTART_SECONDS:
                component.kill()
                component.start()

    def _report_crash(self, name: str, component: Component, now: float) -> None:
        self._say(f"{name} has crashed; it is started again")
        self._report.crashes[name] += 1
        if name in TRIGGERERS and now > self._database_was_away_at + CRASH_SECONDS:
            self._report.findings.append(f"{name} crashed at {now:.0f} s:\n{component.tail(30)}")

    def _check(self) -> Verdict:
        verdict = Checker(self._cluster, self._faults).check(self._workload.rounds)
        verdict.findings[:0] = self._report.findings
        for one in self._workload.rounds:
            if not one.has_ended:
                states = self._cluster.airflow.states(DAG_ID, one.run_id)
                verdict.findings.append(f"{one.run_id} has not ended: {states}")
        verdict.counts["rounds"] = len(self._workload.rounds)
        return verdict


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run a soak.

    :param arguments: the command line, without the program's name.
    :return: the exit code: 0 only if nothing was found.
    """
    parser = argparse.ArgumentParser(prog="soak", description=(__doc__ or "").strip().partition("\n")[0])
    parser.add_argument("--seed", type=int, default=1, help="decides what breaks and when (%(default)s)")
    parser.add_argument("--minutes", type=float, default=30.0, help="for how long (%(default)s)")
    parser.add_argument("--rounds", type=int, default=ACTIVE_ROUNDS, help="rounds at once (%(default)s)")
    parser.add_argument("--keep-logs", metavar="FOLDER", help="copy the logs there if something was found")
    options = parser.parse_args(arguments)
    if reason := reason_to_skip():
        parser.error(reason)
    began = time.monotonic()

    def say(line: str) -> None:
        sys.stdout.write(f"{time.monotonic() - began:7.1f} s  {line}\n")
        sys.stdout.flush()

    with Cluster(announce=say) as cluster:
        soak = Soak(
            cluster,
            seed=options.seed,
            seconds=60 * options.minutes,
            active=options.rounds,
            say=say,
            settle_seconds=COMMAND_SETTLE_SECONDS,
        )
        report = soak.run()
        say(f"seed {options.seed}, {options.minutes:g} minutes")
        for line in report.lines():
            say(line)
        if report.findings and options.keep_logs:
            shutil.copytree(cluster.airflow.home, options.keep_logs, dirs_exist_ok=True)
    return 1 if report.findings else 0


if __name__ == "__main__":
    sys.exit(main())
