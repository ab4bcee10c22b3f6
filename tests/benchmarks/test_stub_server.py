from __future__ import annotations

import json

import pytest

from airflow_provider_openai_run.api.registry import get_api
from tests.benchmarks.payloads import Bodies
from tests.benchmarks.stub_server import Behaviour


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_run_ends_at_its_time() -> None:
    clock = Clock()
    behaviour = Behaviour(body_bytes=100, clock=clock)
    behaviour.ends[7] = 105.0
    assert not behaviour.has_ended(7)
    clock.now = 105.0
    assert behaviour.has_ended(7)
    assert not behaviour.has_ended(8)


def test_requests_above_the_limit_are_rejected_for_a_time() -> None:
    clock = Clock()
    behaviour = Behaviour(body_bytes=100, requests_per_second=16, clock=clock)
    assert [behaviour.rejects() for _ in range(18)] == [False] * 16 + [True] * 2
    clock.now += 0.25
    assert [behaviour.rejects() for _ in range(5)] == [False] * 4 + [True]


def test_every_nth_request_fails_in_each_way_in_turn() -> None:
    behaviour = Behaviour(body_bytes=100, fault_every=50)
    faults = [behaviour.fault() for _ in range(300)]
    assert [fault for fault in faults if fault] == ["cut", "half", "500"] * 2
    assert faults.index("cut") == 49


@pytest.mark.parametrize("size", [2_000, 30_000])
@pytest.mark.parametrize("resource", ["responses", "batches", "agents/sessions"])
def test_a_body_has_the_given_size_and_run_id(resource: str, size: int) -> None:
    body = Bodies(size).body(resource, "the_run_000007", ended=False)
    assert size <= len(body) < size + 700
    assert json.loads(body)["id"] == "the_run_000007"


@pytest.mark.parametrize(("ended", "status"), [(False, "in_progress"), (True, "completed")])
def test_a_body_has_the_status_of_the_run(ended: bool, status: str) -> None:
    bodies = Bodies(2_000)
    response = bodies.body("responses", "resp_000007", ended=ended)
    assert get_api("responses").read_run(json.loads(response)).status == status
    assert json.loads(bodies.body("batches", "batch_000007", ended=ended))["status"] == status
    assert json.loads(bodies.body("turns", "agsess_000007", ended=ended))["data"][0]["status"] == status
