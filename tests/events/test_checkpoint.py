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
from airflow_provider_openai_run.events.checkpoint import News, ThreadCheckpoint, event_for, read_thread
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
    trouble: RunRequestError | None = None

    def create(self, status: str = "in_progress", **fields: Any) -> str:
        run_id = f"run_{len(self.runs)}"
        created_at = self.now if self.tells_times else None
        self.runs.append({"id": run_id, "status": status, "created_at": created_at, **fields})
        return run_id

    def end(self, run_id: str, status: str = "completed") -> None:
        (run,) = (run for run in self.runs if run["id"] == run_id)
        run["status"] = status

    def look(self, ledger: ThreadCheckpoint | None, **options: Any) -> News:
        """Play the server for one look; what is remembered goes through JSON, as it does over a restart."""
        self.asked.clear()
        operation = read_thread(THREAD_ID, ledger, float(self.now), **options)
        try:
            request = next(operation)
            while True:
                self.asked.append(request)
                if self.trouble is not None:
                    request = operation.throw(self.trouble)
                elif (body := self.answer(request)) is None:
                    request = operation.throw(RunNotFoundError("gone"))
                else:
                    request = operation.send(body)
        except StopIteration as stop:
            news: News = stop.value
        read = ThreadCheckpoint.from_json(json.loads(json.dumps(news.ledger.to_json())))
        assert read == news.ledger
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


def told(news: News) -> list[str]:
    return [run.id for run in news.ended]


def test_runs_that_had_ended_before_the_first_look_are_no_news() -> None:
    thread = Thread()
    thread.create("completed")
    going = thread.create()

    first = thread.look(None)

    assert told(first) == []
    thread.end(going)
    assert told(thread.look(first.ledger)) == [going]


def test_the_past_is_news_to_whoever_wants_it_the_oldest_first() -> None:
    thread = Thread(page_size=2)
    runs = []
    for _ in range(5):
        runs.append(thread.create("completed"))
        thread.now += 5000

    news = thread.look(None, include_past=True)

    assert told(news) == runs
    assert told(thread.look(news.ledger, include_past=True)) == []


def test_a_run_that_comes_and_ends_between_two_looks_is_told_once() -> None:
    thread = Thread()
    ledger = thread.look(None).ledger
    run = thread.create("failed")

    news = thread.look(ledger)

    assert told(news) == [run]
    assert told(thread.look(news.ledger)) == []


def test_what_was_not_remembered_is_told_again() -> None:
    thread = Thread()
    ledger = thread.look(None).ledger
    run = thread.create("failed")

    assert told(thread.look(ledger)) == told(thread.look(ledger)) == [run]


def test_an_old_run_is_told_when_it_ends_long_after_newer_ones() -> None:
    thread = Thread()
    old = thread.create()
    ledger = thread.look(None).ledger
    for _ in range(20):
        thread.now += 1000
        thread.create("completed")
        ledger = thread.look(ledger).ledger

    thread.end(old, "expired")

    assert told(news := thread.look(ledger)) == [old]
    assert told(thread.look(news.ledger)) == []


def test_runs_of_the_same_second_are_told_apart() -> None:
    thread = Thread()
    ledger = thread.look(None).ledger
    first = thread.create("completed")
    news = thread.look(ledger)
    second = thread.create("completed")

    assert (told(news), told(thread.look(news.ledger))) == ([first], [second])


def test_a_run_that_comes_late_into_the_list_is_told() -> None:
    thread = Thread()
    thread.create("completed")
    ledger = thread.look(None).ledger
    thread.now += 30
    thread.create("completed")
    ledger = thread.look(ledger).ledger
    thread.runs.insert(1, {"id": "run_late", "status": "completed", "created_at": START + 20})

    assert told(thread.look(ledger)) == ["run_late"]


def test_one_page_is_enough_once_all_is_known() -> None:
    thread = Thread(page_size=2)
    for _ in range(9):
        thread.create("completed")
    ledger = thread.look(None).ledger
    assert len(thread.asked) == 5

    thread.look(ledger)

    assert len(thread.asked) == 1


def test_after_a_long_absence_all_pages_with_something_new_are_read() -> None:
    thread = Thread(page_size=3)
    thread.create("completed")
    ledger = thread.look(None).ledger
    runs = [thread.create("completed") for _ in range(50)]

    assert told(thread.look(ledger)) == runs


def test_the_reading_is_bounded_and_says_so() -> None:
    thread = Thread(page_size=1)
    ledger = thread.look(None).ledger
    for _ in range(200):
        thread.create("completed")

    news = thread.look(ledger)

    assert len(thread.asked) == 30
    (note,) = news.notes
    assert "has more than 30 runs that are new here" in note.text


@pytest.mark.parametrize("endless", [{"has_more": True, "last_id": "run_0"}, {"has_more": True}])
def test_a_list_that_does_not_move_on_ends_the_reading(endless: dict[str, Any]) -> None:
    operation = read_thread(THREAD_ID, None, START)
    body = {"data": [{"id": "run_0", "status": "completed", "created_at": START}], **endless}
    next(operation)
    operation.send(body)
    with pytest.raises(StopIteration):
        operation.send(body)


def test_an_open_run_that_left_the_first_page_is_asked_for_by_its_id() -> None:
    thread = Thread(page_size=3)
    old = thread.create()
    ledger = thread.look(None).ledger
    for _ in range(10):
        thread.create("completed")
        ledger = thread.look(ledger).ledger
    assert [request.path for request in thread.asked][1:] == [f"/threads/{THREAD_ID}/runs/{old}"]

    thread.end(old)

    assert told(thread.look(ledger)) == [old]


def test_many_open_runs_out_of_sight_are_asked_for_in_turn() -> None:
    thread = Thread(page_size=1)
    ledger = thread.look(None).ledger
    old = []
    for _ in range(25):
        old.append(thread.create())
        ledger = thread.look(ledger).ledger
    thread.create("completed")
    asked: list[str] = []
    for _ in range(4):
        ledger = thread.look(ledger).ledger
        asked += [request.path.rpartition("/")[2] for request in thread.asked if "/runs/" in request.path]
        assert len(thread.asked) <= 12
    assert set(asked) == set(old)


def test_an_open_run_that_was_deleted_is_let_go_with_a_word() -> None:
    thread = Thread()
    run = thread.create()
    ledger = thread.look(None).ledger
    thread.runs.clear()

    news = thread.look(ledger)

    assert told(news) == []
    assert news.ledger.open == ()
    assert [run in note.text for note in news.notes] == [True]


def test_a_status_nobody_knows_is_no_end() -> None:
    thread = Thread()
    ledger = thread.look(None).ledger
    run = thread.create("pondering")
    news = thread.look(ledger)
    thread.end(run)

    assert (told(news), told(thread.look(news.ledger))) == ([], [run])


def test_trouble_passes_through_and_changes_nothing() -> None:
    thread = Thread(trouble=RunRequestError("down", is_retryable=True))
    with pytest.raises(RunRequestError, match="down"):
        thread.look(None)


def test_runs_without_an_id_and_other_rubbish_are_passed_over() -> None:
    thread = Thread()
    ledger = thread.look(None).ledger
    operation = read_thread(THREAD_ID, ledger, START)
    next(operation)
    with pytest.raises(StopIteration) as stop:
        operation.send({"data": [None, 3, {}, {"id": "run_1", "status": "completed"}]})
    assert told(stop.value.value) == ["run_1"]


def test_a_time_from_the_future_settles_nothing_that_is_to_come() -> None:
    thread = Thread()
    ledger = thread.look(None).ledger
    thread.create("completed", created_at=START * 1000)
    ledger = thread.look(ledger).ledger
    thread.now += 1000
    run = thread.create("completed")

    assert told(thread.look(ledger)) == [run]


@pytest.mark.parametrize("tells_times", [True, False])
def test_what_is_remembered_stays_small(tells_times: bool) -> None:
    thread = Thread(page_size=100, tells_times=tells_times)
    ledger, seen = thread.look(None).ledger, Counter[str]()
    for _ in range(40):
        for _ in range(50):
            thread.create("completed")
        news = thread.look(ledger)
        ledger = news.ledger
        seen.update(told(news))
    assert seen == Counter({run["id"]: 1 for run in thread.runs})
    assert len(ledger.settled) <= 300


def test_only_so_many_open_runs_are_watched_and_that_is_said() -> None:
    thread = Thread(page_size=100)
    ledger = thread.look(None).ledger
    for _ in range(4):
        for _ in range(100):
            thread.create()
        news = thread.look(ledger)
        ledger = news.ledger
    assert len(ledger.open) == 300
    assert any("only 300 are watched on" in note.text for note in news.notes)


@pytest.mark.parametrize(
    "value", [None, 3, [], {}, {"horizon": "x", "settled": {}}, {"horizon": 1, "settled": []}, {"horizon": 1}]
)
def test_what_is_no_ledger_is_not_taken_for_one(value: Any) -> None:
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
def test_whatever_happens_each_end_is_told_once_and_the_past_never(
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
    ledger = thread.look(None).ledger
    seen = Counter[str]()
    for move in after:
        if move[0] in ("look", "crash"):
            news = thread.look(ledger)
            if move[0] == "look":
                ledger = news.ledger
                seen.update(told(news))
        else:
            play(thread, *move)
    # Those in the middle of a thread that is longer than a look may be are asked for in turn.
    for _ in range(5):
        news = thread.look(ledger)
        ledger = news.ledger
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
    return event_for(AssistantsApi().read_run({"id": "run_1", **body}), THREAD_ID)


def test_an_event_is_small_plain_json_and_holds_no_content() -> None:
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


def test_an_event_says_why_a_run_is_incomplete_and_keeps_to_its_size() -> None:
    incomplete = {"status": "incomplete", "incomplete_details": {"reason": "max_completion_tokens"}}
    assert event_of(incomplete)["code"] == "max_completion_tokens"
    assert event_of({"status": "completed"})["usage"] is None
    long = event_of({"status": "failed", "last_error": {"code": "x" * 10_000}})
    assert len(long["code"]) == checkpoint._LONGEST_WORD
