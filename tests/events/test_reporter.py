from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import pytest

from airflow_provider_openai_run.api.calls import ApiCall
from airflow_provider_openai_run.events.asset_state import AssetState
from airflow_provider_openai_run.events.reporter import RunEventReporter
from airflow_provider_openai_run.exceptions import RunAuthenticationError, RunRequestError
from airflow_provider_openai_run.types.status import TERMINAL_STATUSES
from tests.events.asset_stores import AssetStore

DOWN = RunRequestError("The API is down.", is_retryable=True)


class Log:
    def __init__(self) -> None:
        self.lines: list[tuple[int, str]] = []

    def log(self, level: int, event: str) -> None:
        self.lines.append((level, event))

    def of(self, level: int) -> list[str]:
        return [text for line_level, text in self.lines if line_level == level]


class Page:
    """A snapshot of a thread whose runs fit in one page."""

    def __init__(self, **statuses: str) -> None:
        self.runs: list[Any] = [
            {"id": name, "status": status, "created_at": 1} for name, status in statuses.items()
        ]

    async def execute(self, call: ApiCall[Any]) -> Any:
        next(call)
        try:
            call.send({"data": self.runs[::-1], "has_more": False})
        except StopIteration as stop:
            return stop.value
        raise AssertionError


def reporter(
    store: AssetStore | None, log: Log, *, statuses: Sequence[str] = (), include_past: bool = False
) -> RunEventReporter:
    return RunEventReporter(
        "thread_1",
        statuses or sorted(TERMINAL_STATUSES),
        include_past=include_past,
        state=AssetState(store, "key"),
        log=log,
    )


async def events(event_reporter: RunEventReporter, update: Any) -> list[str]:
    return [str(event["run_id"]) for event in await event_reporter.events_for(update)]


async def commit(event_reporter: RunEventReporter) -> None:
    pending = event_reporter.pending_commit()
    assert pending is not None
    await pending()


async def test_reporting_continues_from_the_stored_checkpoint() -> None:
    store, log = AssetStore(), Log()
    before = reporter(store, log)
    assert await events(before, Page(past="completed", going="in_progress")) == []
    await commit(before)

    after = reporter(store, log)

    assert await events(after, Page(past="completed", going="failed", new="completed")) == ["going", "new"]
    assert log.of(logging.INFO) == [
        "Thread thread_1: reporting the runs that end, from now on",
        "Thread thread_1: reporting the runs that end, from the stored checkpoint on",
    ]


async def test_events_without_a_stored_checkpoint_are_sent_again() -> None:
    store, log = AssetStore(), Log()
    event_reporter = reporter(store, log)
    await events(event_reporter, Page())
    await commit(event_reporter)
    assert await events(event_reporter, Page(one="completed")) == ["one"]

    assert await events(reporter(store, log), Page(one="completed")) == ["one"]


async def test_an_unchanged_checkpoint_is_not_stored_again() -> None:
    store = AssetStore()
    event_reporter = reporter(store, Log())
    assert event_reporter.pending_commit() is None
    for _ in range(3):
        await events(event_reporter, Page(one="completed"))
        if pending := event_reporter.pending_commit():
            await pending()
    assert store.writes == 1


async def test_only_the_chosen_statuses_are_reported() -> None:
    event_reporter = reporter(AssetStore(), Log(), statuses=["failed"])
    await events(event_reporter, Page())
    assert await events(event_reporter, Page(one="completed", two="failed")) == ["two"]


async def test_include_past_reports_earlier_runs_once() -> None:
    store, log = AssetStore(), Log()
    event_reporter = reporter(store, log, include_past=True)
    assert await events(event_reporter, Page(one="completed")) == ["one"]
    await commit(event_reporter)
    assert await events(reporter(store, log, include_past=True), Page(one="completed")) == []


async def test_without_a_store_a_warning_says_what_is_lost() -> None:
    log = Log()
    event_reporter = reporter(None, log)
    await events(event_reporter, Page())
    assert event_reporter.pending_commit() is None
    (line,) = log.of(logging.WARNING)
    assert "are not reported" in line
    assert await events(event_reporter, Page(one="completed")) == ["one"]
    assert await events(reporter(None, log), Page(one="completed")) == []


async def test_an_outage_is_logged_in_few_lines_and_its_end_in_one() -> None:
    log = Log()
    event_reporter = reporter(AssetStore(), log)
    for _ in range(100):
        assert await events(event_reporter, DOWN) == []
    assert len(log.of(logging.WARNING)) == 7
    assert "The API is down" in log.of(logging.WARNING)[0]

    await events(event_reporter, Page())

    assert log.of(logging.INFO)[-1] == "Thread thread_1: listed again after 100 failures in a row"
    await events(event_reporter, Page())
    assert len(log.of(logging.INFO)) == 2


async def test_a_permanent_error_is_logged_each_time() -> None:
    log = Log()
    event_reporter = reporter(AssetStore(), log)
    for _ in range(3):
        await events(event_reporter, RunAuthenticationError("The key is refused."))
    assert len(log.of(logging.ERROR)) == 3


async def test_a_failed_snapshot_loses_no_event() -> None:
    class BrokenPage(Page):
        async def execute(self, call: ApiCall[Any]) -> Any:
            raise DOWN

    event_reporter = reporter(AssetStore(), Log())
    await events(event_reporter, Page())
    assert await events(event_reporter, BrokenPage()) == []
    assert await events(event_reporter, Page(one="completed")) == ["one"]


async def test_an_unreadable_store_is_read_again_before_reporting() -> None:
    store, log = AssetStore(), Log()
    event_reporter = reporter(store, log)
    await events(event_reporter, Page())
    await commit(event_reporter)

    store.fault = OSError("no database")
    after = reporter(store, log)
    assert await events(after, Page(one="completed")) == []
    store.fault = None

    assert await events(after, Page(one="completed")) == ["one"]
    assert any("no database" in line for line in log.of(logging.WARNING))


async def test_a_failed_write_is_retried() -> None:
    store, log = AssetStore(), Log()
    event_reporter = reporter(store, log)
    await events(event_reporter, Page())
    store.fault = OSError("no database")
    await commit(event_reporter)
    assert "reports the same runs again" in log.of(logging.WARNING)[0]
    store.fault = None
    await events(event_reporter, Page())
    await commit(event_reporter)
    assert event_reporter.pending_commit() is None


@pytest.mark.parametrize("value", ["text", {"horizon": "?"}])
async def test_an_invalid_checkpoint_is_logged_and_ignored(value: Any) -> None:
    store, log = AssetStore(), Log()
    await AssetState(store, "key").write(value)
    event_reporter = reporter(store, log)
    assert await events(event_reporter, Page(one="completed")) == []
    assert "cannot be read" in log.of(logging.ERROR)[0]
