"""
Start the cluster and keep it until Ctrl-C: ``python -m tests.cluster``.

Airflow runs the DAGs of ``tests/cluster/dags`` and ``example_dags`` against the sandbox. The printed process
ids are there to be paused and killed.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.cluster.cluster import DAGS, DATABASE, Cluster, reason_to_skip
from tests.system.local_airflow import USERNAME

EXAMPLE_DAGS = Path(__file__).parents[2] / "example_dags"


def show(line: str) -> None:
    """
    Print a line at once, also into a pipe.

    :param line: the line.
    """
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run the command.

    :param arguments: the command line, without the program's name.
    :return: the exit code.
    """
    parser = argparse.ArgumentParser(
        prog="cluster", description="Start the cluster and keep it until Ctrl-C."
    )
    parser.add_argument(
        "--many", type=int, default=0, help="tasks of the DAGs many_endless_runs (%(default)s)"
    )
    options = parser.parse_args(arguments)
    if reason := reason_to_skip():
        parser.error(reason)
    running = Cluster(dag_folders=(DAGS, EXAMPLE_DAGS), many=options.many, announce=show)
    with contextlib.suppress(KeyboardInterrupt), running as cluster:
        for line in addresses(cluster):
            show(line)
        signal.pause()
    show("Everything is stopped.")
    return 0


def addresses(cluster: Cluster) -> list[str]:
    """
    Return what a person needs to use the cluster, line by line.

    :param cluster: the running cluster.
    """
    airflow, sandbox = cluster.airflow, cluster.sandbox
    leaders = {name: min(component.left_over()) for name, component in airflow.components.items()}
    process_ids = {**leaders, "postgres": cluster.postgres.process_id, "redis": cluster.redis.process_id}
    return [
        "",
        f"Airflow's UI   {airflow.url}    user: {USERNAME}    password: {airflow.password}",
        f"logs           {airflow.home}",
        f"database       psql -h 127.0.0.1 -p {cluster.postgres.port} -U airflow {DATABASE}",
        f"broker         redis-cli -p {cluster.redis.port}",
        f"sandbox        curl -H 'Authorization: Bearer {sandbox.api_key}' {sandbox.admin_url}/state",
        f"processes      {', '.join(f'{name} {process_id}' for name, process_id in process_ids.items())}",
        "Ctrl-C stops everything.",
    ]


if __name__ == "__main__":
    sys.exit(main())
