"""After a storm of 429s and after an outage the waits of two triggerers are polled as before, and evenly."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.waiting_tasks import MANY, WaitingTasks

pytestmark = [pytest.mark.system, pytest.mark.cluster]

#: Each task is polled about so often, in seconds: see ``dags/endless_runs.py``.
INTERVAL = 5.0
STEADY_RATE = MANY / INTERVAL
TROUBLE_SECONDS = 20.0
#: The goal is half a minute; the tests share their machine with all of Airflow.
RECOVERY_SECONDS = 60.0


def wait_until_steady(cluster: Cluster, tasks: WaitingTasks) -> None:
    """Wait until two intervals had nine tenths of their polls, and then until each task was polled."""

    def is_steady() -> bool:
        since = time.time() - 2 * INTERVAL
        return len(polls_since(cluster, since)) >= 0.9 * 2 * INTERVAL * STEADY_RATE

    cluster.airflow.wait_until(
        "the rate of polls is as before",
        is_steady,
        RECOVERY_SECONDS,
        lambda: len(polls_since(cluster, time.time() - 2 * INTERVAL)) / (2 * INTERVAL),
    )
    tasks.wait_until_polled()


def polls_since(cluster: Cluster, since: float) -> list[float]:
    return [
        request.received_at
        for request in cluster.sandbox.requests
        if request.received_at >= since and request.status == 200 and request.method == "GET"
    ]


@pytest.mark.parametrize("retry_after", [5, None])
def test_polls_recover_from_a_storm_of_429s(
    cluster: Cluster, many: WaitingTasks, retry_after: int | None
) -> None:
    wait_until_steady(cluster, many)
    storm = cluster.sandbox.faults.add("rate_limited", retry_after=retry_after)
    time.sleep(TROUBLE_SECONDS)
    cluster.sandbox.faults.clear(storm.id)

    wait_until_steady(cluster, many)


def test_polls_after_an_outage_do_not_come_at_once(cluster: Cluster, many: WaitingTasks) -> None:
    wait_until_steady(cluster, many)
    cluster.sandbox.stop()
    time.sleep(TROUBLE_SECONDS)
    cluster.sandbox.start()
    began = time.time()

    wait_until_steady(cluster, many)

    by_second = Counter(int(at - began) for at in polls_since(cluster, began))
    assert max(by_second.values()) <= 4 * STEADY_RATE, sorted(by_second.items())
