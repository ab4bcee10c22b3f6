from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_openai_run.api.assistants import AssistantsApi
from airflow_provider_openai_run.api.base import Request
from airflow_provider_openai_run.events.checkpoint import (
    ThreadChanges,
    ThreadCheckpoint,
    event_payload,
    read_changes,
)
from airflow_provider_openai_run.exceptions import RunNotFoundError, RunRequestError

THREAD_ID = "thread_1"
START = 1_800_000_000


@dataclass
class Thread:
    """A thread at a server, as the API lists it."""

    page_size: int = 100
    sends_times: bool = True
    keeps_order: bool = True
    now: int = START
    runs: list[dict[str, Any]] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    fault: RunRequestError | None = None

    def create(self, status: str = "in_progress", **fields: Any) -> str:
        run_id = f"run_{len(self.runs)}"
        created_at = self.now if self.sends_times else None
        self.runs.append({"id": run_id, "status": status, "created_at": created_at, **fields})
        return run_id

    def end(self, run_id: str, status: str = "completed") -> None:
        (run,) = (run for run in self.runs if run["id"] == run_id)
        run["status"] = status

    def read(self, checkpoint: ThreadCheckpoint | None, **options: Any) -> ThreadChanges:
        """Carry out one call; the checkpoint goes through JSON, as it does over a restart."""
        self.requests.clear()
        call = read_changes(THREAD_ID, checkpoint, float(self.now), **options)
        try:
            request = next(call)
            while True:
                self.requests.append(request)
                if self.fault is not None:
                    request = call.throw(self.fault)
                elif (body := self.answer(request)) is None:
                    request = call.throw(RunNotFoundError("gone"))
                else:
                    request = call.send(body)
        except StopIteration as stop:
            changes: ThreadChanges = stop.value
        read = ThreadCheckpoint.from_json(json.loads(json.dumps(changes.checkpoint.to_json())))
        assert read == changes.checkpoint
        return changes

    def answer(self, request: Request) -> dict[str, Any] | None:
        if not request.path.endswith("/runs"):
            found = [run for run in self.runs if run["id"] == request.path.rpartition("/")[2]]
            return found[0] if found else None
        assert request.query["order"] == "desc"
        runs = self.runs[::-1] if self.keeps_order else self.runs
        ids = [run["id"] for run in runs]
        first = ids.index(request.query["after"]) + 1 if "after" in request.query else 0
        data = runs[first : first + self.page_size]
        has_more = first + self.page_size < len(runs)
        return {"data": data, "has_more": has_more, "last_id": data[-1]["id"] if data else None}


def ended_ids(changes: ThreadChanges) -> list[str]:
    return [run.id for run in changes.ended]


def test_runs_that_ended_before_the_first_call_are_not_returned() -> None:
    thread = Thread()
    thread.create("completed")
    going = thread.create()

    first = thread.read(None)

    assert ended_ids(first) == []
    thread.end(going)
    assert ended_ids(thread.read(first.checkpoint)) == [going]


def test_include_past_returns_earlier_runs_oldest_first() -> None:
    thread = Thread(page_size=2)
    runs = []
    for _ in range(5):
        runs.append(thread.create("completed"))
        thread.now += 5000

    changes = thread.read(None, include_past=True)

    assert ended_ids(changes) == runs
    assert ended_ids(thread.read(changes.checkpoint, include_past=True)) == []


def test_a_run_that_ends_between_two_calls_is_returned_once() -> None:
    thread = Thread()
    checkpoint = thread.read(None).checkpoint
    run = thread.create("failed")

    changes = thread.read(checkpoint)

    assert ended_ids(changes) == [run]
    assert ended_ids(thread.read(changes.checkpoint)) == []


def test_without_a_new_checkpoint_runs_are_returned_again() -> None:
    thread = Thread()
    checkpoint = thread.read(None).checkpoint
    run = thread.create("failed")

    assert ended_ids(thread.read(checkpoint)) == ended_ids(thread.read(checkpoint)) == [run]


def test_an_old_run_that_ends_after_newer_ones_is_returned() -> None:
    thread = Thread()
    old = thread.create()
    checkpoint = thread.read(None).checkpoint
    for _ in range(20):
        thread.now += 1000
        thread.create("completed")
        checkpoint = thread.read(checkpoint).checkpoint

    thread.end(old, "expired")

    assert ended_ids(changes := thread.read(checkpoint)) == [old]
    assert ended_ids(thread.read(changes.checkpoint)) == []


def test_runs_created_in_the_same_second_are_distinguished() -> None:
    thread = Thread()
    checkpoint = thread.read(None).checkpoint
    first = thread.create("completed")
    changes = thread.read(checkpoint)
    second = thread.create("completed")

    assert (ended_ids(changes), ended_ids(thread.read(changes.checkpoint))) == ([first], [second])


def test_a_run_that_is_listed_late_is_returned() -> None:
    thread = Thread()
    thread.create("completed")
    checkpoint = thread.read(None).checkpoint
    thread.now += 30
    thread.create("completed")
    checkpoint = thread.read(checkpoint).checkpoint
    thread.runs.insert(1, {"id": "run_late", "status": "completed", "created_at": START + 20})

    assert ended_ids(thread.read(checkpoint)) == ["run_late"]


def test_one_page_is_read_when_the_rest_is_reported() -> None:
    thread = Thread(page_size=2)
    for _ in range(9):
        thread.create("completed")
    checkpoint = thread.read(None).checkpoint
    assert len(thread.requests) == 5

    thread.read(checkpoint)

    assert len(thread.requests) == 1


def test_all_pages_with_unreported_runs_are_read() -> None:
    thread = Thread(page_size=3)
    thread.create("completed")
    checkpoint = thread.read(None).checkpoint
    runs = [thread.create("completed") for _ in range(50)]

    assert ended_ids(thread.read(checkpoint)) == runs


def test_the_number_of_pages_is_limited_and_logged() -> None:
    thread = Thread(page_size=1)
    checkpoint = thread.read(None).checkpoint
    for _ in range(200):
        thread.create("completed")

    changes = thread.read(checkpoint)

    assert len(thread.requests) == 30
    (message,) = changes.messages
    assert "has more than 30 unreported runs" in message.text


@pytest.mark.parametrize("endless", [{"has_more": True, "last_id": "run_0"}, {"has_more": True}])
def test_a_list_that_repeats_itself_ends_the_reading(endless: dict[str, Any]) -> None:
    call = read_changes(THREAD_ID, None, START)
    body = {"data": [{"id": "run_0", "status": "completed", "created_at": START}], **endless}
    next(call)
    call.send(body)
    with pytest.raises(StopIteration):
        call.send(body)


def test_a_pending_run_beyond_the_first_page_is_retrieved() -> None:
    thread = Thread(page_size=3)
    old = thread.create()
    checkpoint = thread.read(None).checkpoint
    for _ in range(10):
        thread.create("completed")
        checkpoint = thread.read(checkpoint).checkpoint
    assert [request.path for request in thread.requests][1:] == [f"/threads/{THREAD_ID}/runs/{old}"]

    thread.end(old)

    assert ended_ids(thread.read(checkpoint)) == [old]


def test_unlisted_pending_runs_are_retrieved_in_turn() -> None:
    thread = Thread(page_size=1)
    checkpoint = thread.read(None).checkpoint
    old = []
    for _ in range(25):
        old.append(thread.create())
        checkpoint = thread.read(checkpoint).checkpoint
    thread.create("completed")
    retrieved: list[str] = []
    for _ in range(4):
        checkpoint = thread.read(checkpoint).checkpoint
        retrieved += [
            request.path.rpartition("/")[2] for request in thread.requests if "/runs/" in request.path
        ]
        assert len(thread.requests) <= 12
    assert set(retrieved) == set(old)


def test_a_deleted_pending_run_is_dropped_and_logged() -> None:
    thread = Thread()
    run = thread.create()
    checkpoint = thread.read(None).checkpoint
    thread.runs.clear()

    changes = thread.read(checkpoint)

    assert ended_ids(changes) == []
    assert changes.checkpoint.pending == ()
    assert [run in message.text for message in changes.messages] == [True]


def test_an_unknown_status_is_not_terminal() -> None:
    thread = Thread()
    checkpoint = thread.read(None).checkpoint
    run = thread.create("pondering")
    changes = thread.read(checkpoint)
    thread.end(run)

    assert (ended_ids(changes), ended_ids(thread.read(changes.checkpoint))) == ([], [run])


def test_a_request_error_is_raised() -> None:
    thread = Thread(fault=RunRequestError("down", is_retryable=True))
    with pytest.raises(RunRequestError, match="down"):
        thread.read(None)


def test_list_items_without_an_id_are_skipped() -> None:
    thread = Thread()
    checkpoint = thread.read(None).checkpoint
    call = read_changes(THREAD_ID, checkpoint, START)
    next(call)
    with pytest.raises(StopIteration) as stop:
        call.send({"data": [None, 3, {}, {"id": "run_1", "status": "completed"}]})
    assert ended_ids(stop.value.value) == ["run_1"]


def test_a_creation_time_in_the_future_hides_no_later_run() -> None:
    thread = Thread()
    checkpoint = thread.read(None).checkpoint
    thread.create("completed", created_at=START * 1000)
    checkpoint = thread.read(checkpoint).checkpoint
    thread.now += 1000
    run = thread.create("completed")

    assert ended_ids(thread.read(checkpoint)) == [run]


@pytest.mark.parametrize("sends_times", [True, False])
def test_the_checkpoint_is_bounded(sends_times: bool) -> None:
    thread = Thread(page_size=100, sends_times=sends_times)
    checkpoint, counts = thread.read(None).checkpoint, Counter[str]()
    for _ in range(40):
        for _ in range(50):
            thread.create("completed")
        changes = thread.read(checkpoint)
        checkpoint = changes.checkpoint
        counts.update(ended_ids(changes))
    assert counts == Counter({run["id"]: 1 for run in thread.runs})
    assert len(checkpoint.reported) <= 300


def test_the_number_of_pending_runs_is_limited_and_logged() -> None:
    thread = Thread(page_size=100)
    checkpoint = thread.read(None).checkpoint
    for _ in range(4):
        for _ in range(100):
            thread.create()
        changes = thread.read(checkpoint)
        checkpoint = changes.checkpoint
    assert len(checkpoint.pending) == 300
    assert any("only 300 are followed" in message.text for message in changes.messages)


@pytest.mark.parametrize(
    "value",
    [
        None,
        3,
        [],
        {},
        {"watermark": "x", "reported": {}},
        {"watermark": 1, "reported": []},
        {"watermark": 1},
        {"horizon": 1, "settled": []},
    ],
)
def test_invalid_json_is_not_a_checkpoint(value: Any) -> None:
    assert ThreadCheckpoint.from_json(value) is None


MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("create"), st.sampled_from(["in_progress", "completed", "requires_action"])),
        st.tuples(st.just("end"), st.integers(0, 30)),
        st.tuples(st.just("time"), st.sampled_from([1, 30, 700, 5000])),
        st.tuples(st.just("read"), st.none()),
        st.tuples(st.just("crash"), st.none()),
    ),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(
    before=MOVES,
    after=MOVES,
    page_size=st.sampled_from([3, 7, 100]),
    sends_times=st.booleans(),
    order=st.booleans(),
)
def test_each_end_is_returned_once_and_earlier_ends_never(
    before: list[tuple[str, Any]],
    after: list[tuple[str, Any]],
    page_size: int,
    sends_times: bool,
    order: bool,
) -> None:
    # A server that ignores the order and sends no times cannot be read in pages.
    thread = Thread(page_size=page_size, sends_times=sends_times, keeps_order=order or not sends_times)
    for move in before:
        play(thread, *move)
    past = {run["id"] for run in thread.runs if run["status"] == "completed"}
    checkpoint = thread.read(None).checkpoint
    counts = Counter[str]()
    for move in after:
        if move[0] in ("read", "crash"):
            changes = thread.read(checkpoint)
            if move[0] == "read":
                checkpoint = changes.checkpoint
                counts.update(ended_ids(changes))
        else:
            play(thread, *move)
    # Those in the middle of a thread that is longer than a look may be are retrieved for in turn.
    for _ in range(5):
        changes = thread.read(checkpoint)
        checkpoint = changes.checkpoint
        counts.update(ended_ids(changes))
    ended = {run["id"] for run in thread.runs if run["status"] == "completed"}
    assert counts == Counter(dict.fromkeys(ended - past, 1))


def play(thread: Thread, move: str, choice: Any) -> None:
    if move == "create":
        # The order of a server does not show in a page of runs that were created in one second.
        thread.now += 0 if thread.keeps_order else 1
        thread.create(choice)
    elif move == "end" and thread.runs:
        thread.end(thread.runs[choice % len(thread.runs)]["id"])
    elif move == "time":
        thread.now += choice


def event_of(body: Mapping[str, Any]) -> dict[str, Any]:
    return event_payload(AssistantsApi().read_run({"id": "run_1", **body}), THREAD_ID)


def test_an_event_is_small_plain_json_without_content() -> None:
    body = {
        "assistant_id": "asst_1",
        "thread_id": "another_spelling",
        "status": "failed",
        "instructions": "secret plans",
        "metadata": {"secret": "plans"},
        "tools": ["secret plans"],
        "created_at": START,
        "failed_at": START + 9.5,
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, "prompt_token_details": {}},
        "last_error": {"code": "server_error", "message": "secret plans"},
    }
    event = event_of(body)
    assert event == {
        "api": "assistants",
        "run_id": "run_1",
        "thread_id": THREAD_ID,
        "assistant_id": "asst_1",
        "status": "failed",
        "code": "server_error",
        "created_at": START,
        "started_at": None,
        "completed_at": None,
        "failed_at": START + 9,
        "cancelled_at": None,
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
    }
    assert json.loads(json.dumps(event)) == event


def test_an_event_has_the_reason_and_a_bounded_code() -> None:
    incomplete = {"status": "incomplete", "incomplete_details": {"reason": "max_completion_tokens"}}
    assert event_of(incomplete)["code"] == "max_completion_tokens"
    assert event_of({"status": "completed"})["usage"] is None
    long = event_of({"status": "failed", "last_error": {"code": "x" * 10_000}})
    assert len(long["code"]) == 200
