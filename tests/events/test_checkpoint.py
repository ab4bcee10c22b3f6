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
from airflow_provider_openai_run.events import checkpoint
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
    """A thread at a server, as its list tells of it."""

    page_size: int = 100
    tells_times: bool = True
    heeds_order: bool = True
    now: int = START
    runs: list[dict[str, Any]] = field(default_factory=list)
    asked: list[Request] = field(default_factory=list)
    fault: RunRequestError | None = None

    def create(self, status: str = "in_progress", **fields: Any) -> str:
        run_id = f"run_{len(self.runs)}"
        created_at = self.now if self.tells_times else None
        self.runs.append({"id": run_id, "status": status, "created_at": created_at, **fields})
        return run_id

    def end(self, run_id: str, status: str = "completed") -> None:
        (run,) = (run for run in self.runs if run["id"] == run_id)
        run["status"] = status

    def look(self, checkpoint: ThreadCheckpoint | None, **options: Any) -> ThreadChanges:
        """Play the server for one look; what is remembered goes through JSON, as it does over a restart."""
        self.asked.clear()
        operation = read_changes(THREAD_ID, checkpoint, float(self.now), **options)
        try:
            request = next(operation)
            while True:
                self.asked.append(request)
                if self.fault is not None:
                    request = operation.throw(self.fault)
                elif (body := self.answer(request)) is None:
                    request = operation.throw(RunNotFoundError("gone"))
                else:
                    request = operation.send(body)
        except StopIteration as stop:
            news: ThreadChanges = stop.value
        read = ThreadCheckpoint.from_json(json.loads(json.dumps(news.checkpoint.to_json())))
        assert read == news.checkpoint
        return news

    def answer(self, request: Request) -> dict[str, Any] | None:
        if not request.path.endswith("/runs"):
            found = [run for run in self.runs if run["id"] == request.path.rpartition("/")[2]]
            return found[0] if found else None
        assert request.query["order"] == "desc"
        runs = self.runs[::-1] if self.heeds_order else self.runs
        ids = [run["id"] for run in runs]
        first = ids.index(request.query["after"]) + 1 if "after" in request.query else 0
        data = runs[first : first + self.page_size]
        has_more = first + self.page_size < len(runs)
        return {"data": data, "has_more": has_more, "last_id": data[-1]["id"] if data else None}


def told(news: ThreadChanges) -> list[str]:
    return [run.id for run in news.ended]


def test_runs_that_ended_before_the_first_call_are_not_returned() -> None:
    thread = Thread()
    thread.create("completed")
    going = thread.create()

    first = thread.look(None)

    assert told(first) == []
    thread.end(going)
    assert told(thread.look(first.checkpoint)) == [going]


def test_include_past_returns_earlier_runs_oldest_first() -> None:
    thread = Thread(page_size=2)
    runs = []
    for _ in range(5):
        runs.append(thread.create("completed"))
        thread.now += 5000

    news = thread.look(None, include_past=True)

    assert told(news) == runs
    assert told(thread.look(news.checkpoint, include_past=True)) == []


def test_a_run_that_ends_between_two_calls_is_returned_once() -> None:
    thread = Thread()
    checkpoint = thread.look(None).checkpoint
    run = thread.create("failed")

    news = thread.look(checkpoint)

    assert told(news) == [run]
    assert told(thread.look(news.checkpoint)) == []


def test_without_a_new_checkpoint_runs_are_returned_again() -> None:
    thread = Thread()
    checkpoint = thread.look(None).checkpoint
    run = thread.create("failed")

    assert told(thread.look(checkpoint)) == told(thread.look(checkpoint)) == [run]


def test_an_old_run_that_ends_after_newer_ones_is_returned() -> None:
    thread = Thread()
    old = thread.create()
    checkpoint = thread.look(None).checkpoint
    for _ in range(20):
        thread.now += 1000
        thread.create("completed")
        checkpoint = thread.look(checkpoint).checkpoint

    thread.end(old, "expired")

    assert told(news := thread.look(checkpoint)) == [old]
    assert told(thread.look(news.checkpoint)) == []


def test_runs_created_in_the_same_second_are_distinguished() -> None:
    thread = Thread()
    checkpoint = thread.look(None).checkpoint
    first = thread.create("completed")
    news = thread.look(checkpoint)
    second = thread.create("completed")

    assert (told(news), told(thread.look(news.checkpoint))) == ([first], [second])


def test_a_run_that_is_listed_late_is_returned() -> None:
    thread = Thread()
    thread.create("completed")
    checkpoint = thread.look(None).checkpoint
    thread.now += 30
    thread.create("completed")
    checkpoint = thread.look(checkpoint).checkpoint
    thread.runs.insert(1, {"id": "run_late", "status": "completed", "created_at": START + 20})

    assert told(thread.look(checkpoint)) == ["run_late"]


def test_one_page_is_read_when_the_rest_is_reported() -> None:
    thread = Thread(page_size=2)
    for _ in range(9):
        thread.create("completed")
    checkpoint = thread.look(None).checkpoint
    assert len(thread.asked) == 5

    thread.look(checkpoint)

    assert len(thread.asked) == 1


def test_all_pages_with_unreported_runs_are_read() -> None:
    thread = Thread(page_size=3)
    thread.create("completed")
    checkpoint = thread.look(None).checkpoint
    runs = [thread.create("completed") for _ in range(50)]

    assert told(thread.look(checkpoint)) == runs


def test_the_number_of_pages_is_limited_and_logged() -> None:
    thread = Thread(page_size=1)
    checkpoint = thread.look(None).checkpoint
    for _ in range(200):
        thread.create("completed")

    news = thread.look(checkpoint)

    assert len(thread.asked) == 30
    (note,) = news.messages
    assert "has more than 30 unreported runs" in note.text


@pytest.mark.parametrize("endless", [{"has_more": True, "last_id": "run_0"}, {"has_more": True}])
def test_a_list_that_repeats_itself_ends_the_reading(endless: dict[str, Any]) -> None:
    operation = read_changes(THREAD_ID, None, START)
    body = {"data": [{"id": "run_0", "status": "completed", "created_at": START}], **endless}
    next(operation)
    operation.send(body)
    with pytest.raises(StopIteration):
        operation.send(body)


def test_a_pending_run_beyond_the_first_page_is_retrieved() -> None:
    thread = Thread(page_size=3)
    old = thread.create()
    checkpoint = thread.look(None).checkpoint
    for _ in range(10):
        thread.create("completed")
        checkpoint = thread.look(checkpoint).checkpoint
    assert [request.path for request in thread.asked][1:] == [f"/threads/{THREAD_ID}/runs/{old}"]

    thread.end(old)

    assert told(thread.look(checkpoint)) == [old]


def test_unlisted_pending_runs_are_retrieved_in_turn() -> None:
    thread = Thread(page_size=1)
    checkpoint = thread.look(None).checkpoint
    old = []
    for _ in range(25):
        old.append(thread.create())
        checkpoint = thread.look(checkpoint).checkpoint
    thread.create("completed")
    asked: list[str] = []
    for _ in range(4):
        checkpoint = thread.look(checkpoint).checkpoint
        asked += [request.path.rpartition("/")[2] for request in thread.asked if "/runs/" in request.path]
        assert len(thread.asked) <= 12
    assert set(asked) == set(old)


def test_a_deleted_pending_run_is_dropped_and_logged() -> None:
    thread = Thread()
    run = thread.create()
    checkpoint = thread.look(None).checkpoint
    thread.runs.clear()

    news = thread.look(checkpoint)

    assert told(news) == []
    assert news.checkpoint.pending == ()
    assert [run in note.text for note in news.messages] == [True]


def test_an_unknown_status_is_not_terminal() -> None:
    thread = Thread()
    checkpoint = thread.look(None).checkpoint
    run = thread.create("pondering")
    news = thread.look(checkpoint)
    thread.end(run)

    assert (told(news), told(thread.look(news.checkpoint))) == ([], [run])


def test_a_request_error_is_raised() -> None:
    thread = Thread(fault=RunRequestError("down", is_retryable=True))
    with pytest.raises(RunRequestError, match="down"):
        thread.look(None)


def test_list_items_without_an_id_are_skipped() -> None:
    thread = Thread()
    checkpoint = thread.look(None).checkpoint
    operation = read_changes(THREAD_ID, checkpoint, START)
    next(operation)
    with pytest.raises(StopIteration) as stop:
        operation.send({"data": [None, 3, {}, {"id": "run_1", "status": "completed"}]})
    assert told(stop.value.value) == ["run_1"]


def test_a_creation_time_in_the_future_hides_no_later_run() -> None:
    thread = Thread()
    checkpoint = thread.look(None).checkpoint
    thread.create("completed", created_at=START * 1000)
    checkpoint = thread.look(checkpoint).checkpoint
    thread.now += 1000
    run = thread.create("completed")

    assert told(thread.look(checkpoint)) == [run]


@pytest.mark.parametrize("tells_times", [True, False])
def test_the_checkpoint_is_bounded(tells_times: bool) -> None:
    thread = Thread(page_size=100, tells_times=tells_times)
    checkpoint, seen = thread.look(None).checkpoint, Counter[str]()
    for _ in range(40):
        for _ in range(50):
            thread.create("completed")
        news = thread.look(checkpoint)
        checkpoint = news.checkpoint
        seen.update(told(news))
    assert seen == Counter({run["id"]: 1 for run in thread.runs})
    assert len(checkpoint.reported) <= 300


def test_the_number_of_pending_runs_is_limited_and_logged() -> None:
    thread = Thread(page_size=100)
    checkpoint = thread.look(None).checkpoint
    for _ in range(4):
        for _ in range(100):
            thread.create()
        news = thread.look(checkpoint)
        checkpoint = news.checkpoint
    assert len(checkpoint.pending) == 300
    assert any("only 300 are followed" in note.text for note in news.messages)


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
        st.tuples(st.just("look"), st.none()),
        st.tuples(st.just("crash"), st.none()),
    ),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(
    before=MOVES,
    after=MOVES,
    page_size=st.sampled_from([3, 7, 100]),
    tells_times=st.booleans(),
    order=st.booleans(),
)
def test_each_end_is_returned_once_and_earlier_ends_never(
    before: list[tuple[str, Any]],
    after: list[tuple[str, Any]],
    page_size: int,
    tells_times: bool,
    order: bool,
) -> None:
    # A server that heeds neither the order nor tells times cannot be read in pages.
    thread = Thread(page_size=page_size, tells_times=tells_times, heeds_order=order or not tells_times)
    for move in before:
        play(thread, *move)
    past = {run["id"] for run in thread.runs if run["status"] == "completed"}
    checkpoint = thread.look(None).checkpoint
    seen = Counter[str]()
    for move in after:
        if move[0] in ("look", "crash"):
            news = thread.look(checkpoint)
            if move[0] == "look":
                checkpoint = news.checkpoint
                seen.update(told(news))
        else:
            play(thread, *move)
    # Those in the middle of a thread that is longer than a look may be are asked for in turn.
    for _ in range(5):
        news = thread.look(checkpoint)
        checkpoint = news.checkpoint
        seen.update(told(news))
    ended = {run["id"] for run in thread.runs if run["status"] == "completed"}
    assert seen == Counter(dict.fromkeys(ended - past, 1))


def play(thread: Thread, move: str, choice: Any) -> None:
    if move == "create":
        # A whole page of runs of one second does not show in which order a server lists them.
        thread.now += 0 if thread.heeds_order else 1
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
    assert len(long["code"]) == checkpoint._MAX_CODE_CHARACTERS
