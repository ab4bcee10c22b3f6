"""One cluster for all tests in this folder, because a start takes a minute."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster.cluster import Cluster, reason_to_skip
from tests.cluster.waiting_tasks import MANY, WaitingTasks


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    if reason := reason_to_skip():
        pytest.skip(reason)
    with Cluster(many=MANY) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def many(cluster: Cluster) -> WaitingTasks:
    """Tasks that were deferred without a worker; the test that ends them is the last one that uses them."""
    return WaitingTasks.without_workers(cluster)
