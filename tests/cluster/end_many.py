"""
Measure how many runs are cancelled when a user ends many deferred tasks at once.

``python -m tests.cluster.end_many --tasks 500`` exits with 0 only if all of them were.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from tests.cluster.cluster import Cluster, reason_to_skip
from tests.cluster.waiting_tasks import WaitingTasks

MOST_SECONDS = 600.0


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run the measurement.

    :param arguments: the command line, without the program's name.
    :return: the exit code.
    """
    parser = argparse.ArgumentParser(prog="end_many", description="End many deferred tasks at once.")
    parser.add_argument("--tasks", type=int, default=500, help="how many (%(default)s)")
    parser.add_argument("--rate", type=int, help="requests a second that the API allows; no limit by default")
    options = parser.parse_args(arguments)
    if reason := reason_to_skip():
        parser.error(reason)

    def say(line: object) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    with Cluster(many=options.tasks, announce=say) as cluster:
        tasks = WaitingTasks.without_workers(cluster)
        say(f"deferred, by triggerer: {dict(tasks.triggerers())}")
        cluster.sandbox.limit_rate(options.rate)
        began = time.monotonic()
        tasks.end_all()
        say(f"all ended after {time.monotonic() - began:.1f} s")
        while (statuses := tasks.statuses()).keys() != {"cancelled"}:
            elapsed = time.monotonic() - began
            say(f"{elapsed:5.1f} s  {dict(statuses)}")
            if elapsed > MOST_SECONDS:
                return 1
            time.sleep(2)
        say(f"{time.monotonic() - began:5.1f} s  {dict(statuses)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
