from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_openai_run.run_list_progress import RUN_LIST_PROGRESS_KEY
from airflow_provider_openai_run.sandbox import Sandbox
from airflow_provider_openai_run.triggers.openai_run_list import OpenAIRunListTrigger
from airflow_provider_openai_run.types.run_list_outcome import RunListOutcome, list_digest
from tests.airflow_task import only_event
from tests.fake_clock import FakeClock
from tests.sandbox_fixtures import Connect
from tests.task_log import TaskLog
from tests.test_progress import Task, xcom
from tests.triggers.conftest import PACE

__all__ = ["xcom"]

ENDS = {"base": "completed", "seconds": 60}
FAILS = {"base": "failed", "seconds": 30}


def responses(sandbox: Sandbox, *scripts: Any) -> list[str]:
    return [sandbox.create_response(script=script)["id"] for script in scripts]


def trigger_for(run_ids: list[str], clock: FakeClock, **options: Any) -> OpenAIRunListTrigger:
    now = clock.time()
    deadline = now + options.pop("timeout", 100)
    arguments = {"run_ids": run_ids, "started_at": now, "deadline": deadline, **PACE, **options}
    classpath, stored = OpenAIRunListTrigger(conn_id="openai_default", **arguments).serialize()
    assert classpath == "airflow_provider_openai_run.triggers.openai_run_list.OpenAIRunListTrigger"
    return OpenAIRunListTrigger(**json.loads(json.dumps(stored)))


def event_of(run_ids: list[str], clock: FakeClock, **options: Any) -> dict[str, Any]:
    return clock.run(only_event(trigger_for(run_ids, clock, **options)))


def test_all_runs_are_waited_for_with_one_event(sandbox: Sandbox, fake_clock: FakeClock) -> None:
    run_ids = responses(sandbox, ENDS, "instant", {"base": "completed", "seconds": 20})
    assert event_of(run_ids, fake_clock) == {
        "total": 3,
        "statuses": {"completed": "0-2"},
        "given_up": "",
        "failures": [],
        "error": None,
        "digest": list_digest(run_ids),
        "is_pushed": False,
    }


def test_a_run_that_fails_ends_the_wait_for_all(sandbox: Sandbox, fake_clock: FakeClock) -> None:
    run_ids = responses(sandbox, "instant", FAILS, "in_progress")
    event = event_of(run_ids, fake_clock)
    assert event["statuses"] == {"completed": "0", "failed": "1", "in_progress": "2"}
    assert [failure["run_id"] for failure in event["failures"]] == [run_ids[1]]
    assert (event["error"]["type"], event["error"]["run_id"]) == ("RunFailedError", run_ids[1])
    assert "all of 3 runs: 1 cannot end in an accepted status any more" in event["error"]["message"]
    assert "left as they are" in event["error"]["message"]
    assert len(sandbox.requests) < 10


def test_any_is_over_with_the_first_accepted_run(sandbox: Sandbox, fake_clock: FakeClock) -> None:
    run_ids = responses(sandbox, FAILS, "in_progress", ENDS)
    event = event_of(run_ids, fake_clock, wait_for=1)
    assert event["statuses"] == {"failed": "0", "in_progress": "1", "completed": "2"}
    assert event["error"] is None
    assert [failure["run_id"] for failure in event["failures"]] == [run_ids[0]]


def test_any_fails_once_no_run_can_be_accepted(sandbox: Sandbox, fake_clock: FakeClock) -> None:
    event = event_of(responses(sandbox, FAILS, FAILS), fake_clock, wait_for=1)
    assert event["statuses"] == {"failed": "0-1"}
    assert "1 of 2 runs: 2 cannot end" in event["error"]["message"]


def test_every_end_counts_without_accepted_statuses(sandbox: Sandbox, fake_clock: FakeClock) -> None:
    run_ids = [*responses(sandbox, FAILS, ENDS, "incomplete"), "resp_unknown"]
    event = event_of(run_ids, fake_clock, accepted_statuses=None)
    assert event["statuses"] == {"failed": "0", "completed": "1", "incomplete": "2"}
    assert (event["given_up"], event["error"]) == ("3", None)
    assert event["failures"][0]["error"]["type"] == "RunNotFoundError"


def test_a_run_that_the_api_does_not_know_does_not_end_the_wait_for_others(
    sandbox: Sandbox, fake_clock: FakeClock
) -> None:
    run_ids = ["resp_unknown", *responses(sandbox, ENDS, ENDS)]
    event = event_of(run_ids, fake_clock, wait_for=2)
    assert event["error"] is None
    assert (event["statuses"], event["given_up"]) == ({"completed": "1-2"}, "0")
    assert "resp_unknown" in event["failures"][0]["error"]["message"]


def test_refused_credentials_end_the_wait(sandbox: Sandbox, fake_clock: FakeClock, connect: Connect) -> None:
    run_ids = responses(sandbox, *["in_progress"] * 20)
    connect(password="another-key-that-is-wrong")
    event = event_of(run_ids, fake_clock, wait_for=1)
    assert event["error"]["type"] == "RunAuthenticationError"
    assert event["error"]["http_status"] == 401
    assert "Gave up waiting for 20 runs" in event["error"]["message"]
    assert len(sandbox.requests) < 30


def test_the_deadline_ends_the_wait_with_what_is_known(sandbox: Sandbox, fake_clock: FakeClock) -> None:
    run_ids = responses(sandbox, ENDS, "in_progress", "queued")
    began = fake_clock.time()
    event = event_of(run_ids, fake_clock)
    assert 100 <= fake_clock.time() - began < 111
    assert event["statuses"] == {"completed": "0", "in_progress": "1", "queued": "2"}
    assert event["error"]["type"] == "RunWaitTimeoutError"
    assert (
        "1 minute 40 seconds, the timeout: 1 completed, 1 in_progress, 1 queued." in event["error"]["message"]
    )


def test_a_run_that_ends_just_before_the_deadline_counts(sandbox: Sandbox, fake_clock: FakeClock) -> None:
    run_ids = responses(sandbox, "instant", {"base": "completed", "seconds": 99})
    assert event_of(run_ids, fake_clock)["error"] is None


def test_a_required_action_that_fails_gives_up_that_run(sandbox: Sandbox, fake_clock: FakeClock) -> None:
    run_ids = responses(sandbox, "requires_action", ENDS)
    event = event_of(run_ids, fake_clock, wait_for=1, on_requires_action="fail")
    assert (event["statuses"]["completed"], event["given_up"]) == ("0-1", "0")


def test_an_empty_list_is_over_without_a_request(fake_clock: FakeClock, connect: Connect) -> None:
    connect(host="http://127.0.0.1:9/v1")
    event = event_of([], fake_clock)
    assert (event["total"], event["error"]) == (0, None)


def test_the_runs_of_a_thread(sandbox: Sandbox, fake_clock: FakeClock) -> None:
    thread_id = sandbox.create_thread()["id"]
    run = sandbox.create_run(thread_id, script="instant")
    event = event_of([run["id"]], fake_clock, thread_id=thread_id)
    assert event["statuses"] == {"completed": "0"}


def test_the_progress_is_pushed_at_changes_and_at_the_end(
    sandbox: Sandbox, fake_clock: FakeClock, xcom: Task
) -> None:
    run_ids = responses(sandbox, FAILS, ENDS, "in_progress")
    trigger = trigger_for(run_ids, fake_clock, wait_for=2, custom_ids=["a", "b", "c"])
    _set_task(trigger, xcom)
    assert fake_clock.run(only_event(trigger))["is_pushed"]
    value = xcom.xcoms[RUN_LIST_PROGRESS_KEY]
    assert value["total"] == 3
    assert value["counts"] == {"failed": 1, "completed": 1, "in_progress": 1}
    assert [(row["custom_id"], row["status"]) for row in value["runs"]] == [
        ("a", "failed"),
        ("c", "in_progress"),
        ("b", "completed"),
    ]
    assert value["runs"][0]["error"]
    assert value["tokens"] > 0


def test_a_larger_set_is_pushed_with_the_runs_of_the_trigger(
    sandbox: Sandbox, fake_clock: FakeClock, xcom: Task
) -> None:
    base = {"total": 10, "counts": {"completed": 4, "not created": 5}, "tokens": 1000, "results": "file:///x"}
    trigger = trigger_for(responses(sandbox, ENDS), fake_clock, progress_base=base)
    _set_task(trigger, xcom)
    fake_clock.run(only_event(trigger))
    value = xcom.xcoms[RUN_LIST_PROGRESS_KEY]
    assert (value["total"], value["counts"]) == (10, {"completed": 5, "not created": 5})
    assert (value["tokens"] > 1000, value["results"]) == (True, "file:///x")


def test_push_progress_false_pushes_nothing(sandbox: Sandbox, fake_clock: FakeClock, xcom: Task) -> None:
    trigger = trigger_for(responses(sandbox, ENDS), fake_clock, push_progress=False)
    _set_task(trigger, xcom)
    fake_clock.run(only_event(trigger))
    assert xcom.xcoms == {}


def test_lines_about_single_runs_are_bounded(
    sandbox: Sandbox, fake_clock: FakeClock, task_log: TaskLog
) -> None:
    event_of(responses(sandbox, *["instant"] * 250), fake_clock)
    lines = task_log.texts()
    assert sum("is completed" in line for line in lines) == 200
    assert sum("Further lines about single runs are left out" in line for line in lines) == 1
    assert "250 of 250 runs have ended: 250 completed" in lines


@pytest.mark.parametrize(
    ("run_ids", "message"),
    [
        ("resp_1", "run_id must be a list of ids, not str"),
        (["resp_1", None], r"run_id\[1\] must be a string, not NoneType"),
        (["resp_1", "a/b"], r"run_id\[1\] contains '/'"),
        (["resp_1", "resp_2", "resp_1"], "run_id has 'resp_1' twice, at the positions 0 and 2"),
        ([{"id": "resp_1"}], r"run_id\[0\] must be a string, not dict: .*pass .output\['id'\]"),
    ],
)
def test_wrong_ids_are_refused(run_ids: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OpenAIRunListTrigger(conn_id="openai_default", run_ids=run_ids, started_at=1.0)


@pytest.mark.parametrize("wait_for", [-1, 3, True, "2", 1.0])
def test_a_wrong_wait_for_is_refused(wait_for: Any) -> None:
    with pytest.raises(TypeError, match=r"wait_for must be a number of runs from 0 to 2, not"):
        OpenAIRunListTrigger(conn_id="c", run_ids=["a", "b"], started_at=1.0, wait_for=wait_for)


def test_arguments_of_a_newer_version_are_ignored(caplog: pytest.LogCaptureFixture) -> None:
    trigger = OpenAIRunListTrigger(conn_id="c", run_ids=["a"], started_at=1.0, colour="red")
    assert "colour" not in trigger.serialize()[1]


def test_the_event_of_ten_thousand_runs_is_small(sandbox: Sandbox) -> None:
    statuses = ["completed"] * 10_000
    statuses[998] = "failed"
    outcome = RunListOutcome(statuses=tuple(statuses))
    event = outcome.to_event()
    assert event["statuses"] == {"completed": "0-997,999-9999", "failed": "998"}
    assert len(json.dumps(event)) < 200
    assert RunListOutcome.from_event(event, "responses") == outcome


def _set_task(trigger: Any, task: Task) -> None:
    is_property = isinstance(getattr(type(trigger), "task_instance", None), property)
    setattr(trigger, "_task_instance" if is_property else "task_instance", task)
