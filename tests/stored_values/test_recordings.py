"""The present version reads what every version has stored, and goes on to the same end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_openai_run.progress import PROGRESS_KEY, build_payload
from airflow_provider_openai_run.run_list_progress import RUN_LIST_PROGRESS_KEY
from airflow_provider_openai_run.run_page.xcom_data import read_xcoms
from airflow_provider_openai_run.sandbox import Clock, Sandbox
from airflow_provider_openai_run.types.run import Run
from tests.events.asset_stores import AssetStore
from tests.fake_clock import FakeClock
from tests.fake_http_server import FakeHttpServer, ReceivedRequest, Reply, fake_http_server
from tests.stored_values.event_trigger import EVENT_TRIGGER, THREAD_ID, events_of
from tests.stored_values.recording import available_scenarios, event_of, new_fields, record, recordings
from tests.stored_values.scenarios import SCENARIOS
from tests.stored_values.waiting_task import (
    Deferral,
    End,
    JsonObject,
    Store,
    WaitingTask,
    stored_by_airflow,
)

RECORDINGS = dict(recordings())
#: Those of tasks, that this Airflow can run.
OF_TASKS = {
    name: recorded
    for name, recorded in RECORDINGS.items()
    if recorded["scenario"] in available_scenarios() and recorded["scenario"] != EVENT_TRIGGER
}
#: Every deferral of every task.
DEFERRALS = [(name, index) for name, one in OF_TASKS.items() for index in range(len(one["deferrals"]))]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHttpServer]:
    """A server that the connection of the tasks points at."""
    with fake_http_server() as server:
        connection = {
            "conn_type": "openai",
            "host": f"{server.url}/v1",
            "password": "correct-horse",
            "extra": {"openai_client_kwargs": {"max_retries": 0}},
        }
        monkeypatch.setenv("AIRFLOW_CONN_OPENAI_DEFAULT", json.dumps(connection))
        yield server


def serve(server: FakeHttpServer, recorded: JsonObject, monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """Let the server respond as the API did at the end of a recording, and return a clock of that time."""

    def reply(request: ReceivedRequest) -> Reply:
        body = recorded["api"].get(request.path)
        return (404, {"error": {"message": request.path}}) if body is None else (200, body)

    server.reply = reply
    clock = FakeClock(Clock.manual(start=recorded["recorded_at"] + 60))
    clock.install(monkeypatch)
    return clock


def deferral_of(recorded: JsonObject, index: int) -> tuple[Deferral, JsonObject]:
    """Return a deferral as it was stored, and the event that ended it."""
    stored = json.loads(json.dumps(recorded["deferrals"][index]))
    event = stored.pop("event")
    return Deferral(**stored), event


def waiting_task(recorded: JsonObject, deferral: Deferral, clock: FakeClock) -> WaitingTask:
    """Return the task of a deferral, with the XComs and the state that it had stored."""
    task = SCENARIOS[recorded["scenario"]].make_task(recorded["ids"])
    return WaitingTask(task, clock, deferral.xcoms, Store(deferral.state))


def run_to_end(recorded: JsonObject, task: WaitingTask, step: Deferral | End) -> End:
    scenario = SCENARIOS[recorded["scenario"]]
    while isinstance(step, Deferral):
        step = task.resume(step, event_of(scenario, task, step))
    return step


def assert_same_end(end: End, recorded: JsonObject) -> None:
    """Check that a task ends as it did in the recording, whatever keys a newer version adds."""
    assert end.error == recorded["end"]["error"]
    if end.error is None:
        expected = recorded["end"]["result"]
        assert {key: end.result[key] for key in expected} == expected


@pytest.mark.parametrize(("name", "index"), DEFERRALS)
def test_a_stored_event_resumes_its_task(
    server: FakeHttpServer, monkeypatch: pytest.MonkeyPatch, name: str, index: int
) -> None:
    recorded = RECORDINGS[name]
    clock = serve(server, recorded, monkeypatch)
    deferral, event = deferral_of(recorded, index)
    task = waiting_task(recorded, deferral, clock)
    with stored_by_airflow(task.xcoms):
        end = run_to_end(recorded, task, task.resume(deferral, event))
    assert_same_end(end, recorded)


@pytest.mark.parametrize(("name", "index"), DEFERRALS)
def test_a_stored_trigger_waits_to_the_same_end(
    server: FakeHttpServer, monkeypatch: pytest.MonkeyPatch, name: str, index: int
) -> None:
    recorded = RECORDINGS[name]
    clock = serve(server, recorded, monkeypatch)
    deferral, event = deferral_of(recorded, index)
    if deferral.classpath is None:
        pytest.skip("a person is waited for without a trigger")
    task = waiting_task(recorded, deferral, clock)
    with stored_by_airflow(task.xcoms):
        present = task.run_trigger(deferral)
        end = run_to_end(recorded, task, task.resume(deferral, present))
    # Of many runs, the digest of their ids.
    ids = ("digest",) if "digest" in event else ("api", "run_id", "parent_id")
    assert [present[key] for key in ids] == [event[key] for key in ids]
    assert_same_end(end, recorded)


@pytest.mark.parametrize(
    "name", [name for name, one in OF_TASKS.items() if one["state"] and one["end"]["error"] is None]
)
def test_a_stored_state_keeps_a_retry_from_creating_another_run(
    server: FakeHttpServer, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    recorded = RECORDINGS[name]
    clock = serve(server, recorded, monkeypatch)
    deferral, _ = deferral_of(recorded, -1)
    task = waiting_task(recorded, deferral, clock)
    # The XComs of a try are cleared when the next one starts.
    task.xcoms.clear()
    with stored_by_airflow(task.xcoms):
        end = run_to_end(recorded, task, task.start())
    assert_same_end(end, recorded)
    run_ids = {
        deferral["next_kwargs"].get("continuation", {}).get("run_id") for deferral in recorded["deferrals"]
    }
    assert end.result["id"] in run_ids


@pytest.mark.parametrize("name", OF_TASKS)
def test_stored_xcoms_are_read(name: str) -> None:
    recorded = RECORDINGS[name]
    xcoms = {**recorded["xcoms"], "return_value": recorded["end"]["result"]}
    attributes = xcoms.get("return_value") or recorded["xcoms"].get("return_value") or {}
    if "steps" in attributes:
        run = Run.from_xcom(attributes).to_xcom()
        assert {key: run[key] for key in run if key in attributes} == {
            key: attributes[key] for key in run if key in attributes
        }
    if RUN_LIST_PROGRESS_KEY in xcoms:
        progress_of_many = read_xcoms(xcoms).run_list
        assert progress_of_many is not None
        assert progress_of_many.to_xcom() == xcoms[RUN_LIST_PROGRESS_KEY]
        return
    progress = recorded["xcoms"][PROGRESS_KEY]
    following: Any = build_payload(progress, status="odd", at=recorded["recorded_at"])
    assert following["statuses"][:-1] == progress["statuses"]
    page = read_xcoms(xcoms)
    assert page.attributes["id"] == progress["run"]["id"]
    assert page.progress == progress


@pytest.mark.parametrize(
    "name", [name for name, one in RECORDINGS.items() if one["scenario"] == EVENT_TRIGGER]
)
def test_a_stored_event_trigger_reports_only_what_is_new(
    server: FakeHttpServer, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    if EVENT_TRIGGER not in available_scenarios():
        pytest.skip("this Airflow has no state store of assets")
    recorded = json.loads(json.dumps(RECORDINGS[name]))
    listing = recorded["api"][f"/v1/threads/{THREAD_ID}/runs"]["data"]
    (active,) = [run for run in listing if run["id"] != recorded["ids"]["reported"]]
    active |= {"status": "completed", "completed_at": int(recorded["recorded_at"]) + 60}
    clock = serve(server, recorded, monkeypatch)
    store = AssetStore()
    store.entries = dict(recorded["asset_state"])
    events = clock.run(events_of(recorded["classpath"], recorded["trigger_kwargs"], store))
    assert [event["run_id"] for event in events] == [active["id"]]
    assert set(recorded["events"][0]) <= set(events[0])


@pytest.mark.parametrize("scenario", available_scenarios())
def test_what_this_version_stores_is_recorded(sandbox: Sandbox, fake_clock: FakeClock, scenario: str) -> None:
    recorded = record(scenario, sandbox, fake_clock)
    # If this fails: python -m tests.stored_values.record
    assert new_fields(recorded) == []


def test_there_are_recordings_of_every_scenario() -> None:
    assert {*SCENARIOS, EVENT_TRIGGER} <= {recorded["scenario"] for recorded in RECORDINGS.values()}
