"""A short soak: a few minutes in which everything breaks once."""

from __future__ import annotations

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.soak import Soak

pytestmark = [pytest.mark.system, pytest.mark.cluster]

SEED = 4
SECONDS = 120.0


def test_a_short_soak_finds_nothing(cluster: Cluster) -> None:
    report = Soak(cluster, seed=SEED, seconds=SECONDS, active=1, say=print).run()

    assert report.findings == []
    assert report.verdict.counts["tasks"] >= 15
    assert report.faults.total() >= 6
