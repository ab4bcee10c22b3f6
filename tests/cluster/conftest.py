"""One cluster for all tests in this folder, because a start takes a minute."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster.cluster import Cluster, reason_to_skip
from tests.cluster.waiting_tasks import MANY


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    if reason := reason_to_skip():
        pytest.skip(reason)
    with Cluster(many=MANY) as cluster:
        yield cluster
