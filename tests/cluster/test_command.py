"""The command for people prints what they need to use the cluster."""

from __future__ import annotations

import re

import psutil
import pytest

from tests.cluster.__main__ import addresses
from tests.cluster.cluster import Cluster

pytestmark = [pytest.mark.system, pytest.mark.cluster]


def test_the_command_prints_addresses_and_the_ids_of_all_processes(cluster: Cluster) -> None:
    printed = "\n".join(addresses(cluster))

    for text in (
        cluster.airflow.url,
        cluster.airflow.password,
        str(cluster.airflow.home),
        "psql",
        "redis-cli",
    ):
        assert text in printed
    processes = dict(re.findall(r"([\w-]+) (\d+)", printed.partition("processes")[2]))
    assert set(processes) == {*cluster.airflow.components, "postgres", "redis"}
    assert all(psutil.pid_exists(int(process_id)) for process_id in processes.values())
