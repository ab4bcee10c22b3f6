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
        return [text for one, text in self.lines if one == level]


class Page:
    """A look at a thread whose runs fit a page."""

    def __init__(self, **statuses: str) -> None:
        self.runs = [{"id": name, "status": status, "created_at": 1} for name, status in statuses.items()]

    async def carry_out(self, operation: ApiCall[Any]) -> Any:
        next(operation)
        try:
            operation.send({"data": self.runs[::-1], "has_more": False})
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
        memory=AssetState(store, "key"),
        log=log,
    )


async def events(told: RunEventReporter, news: Any) -> list[str]:
    return [event["run_id"] for event in await told.events_of(news)]


async def write_down(told: RunEventReporter) -> None:
    write = told.to_write()
    assert write is not None
    await write()


async def test_it_goes_on_where_it_was_left() -> None:
    store, log = AssetStore(), Log()
    before = reporter(store, log)
    assert await events(before, Page(past="completed", going="in_progress")) == []
    await write_down(before)

    after = reporter(store, log)

    assert await events(after, Page(past="completed", going="failed", new="completed")) == ["going", "new"]
    assert log.of(logging.INFO) == [
        "Thread thread_1: telling of the runs that end, from now on",
        "Thread thread_1: telling of the runs that end, from where it was left on",
    ]


async def test_what_was_not_written_down_is_told_again() -> None:
    store, log = AssetStore(), Log()
    told = reporter(store, log)
    await events(told, Page())
    await write_down(told)
    assert await events(told, Page(one="completed")) == ["one"]

    assert await events(reporter(store, log), Page(one="completed")) == ["one"]


async def test_nothing_is_written_where_nothing_has_changed() -> None:
    store = AssetStore()
    told = reporter(store, Log())
    assert told.to_write() is None
    for _ in range(3):
        await events(told, Page(one="completed"))
        if write := told.to_write():
            await write()
    assert store.writes == 1


async def test_only_the_statuses_that_are_wanted_are_told() -> None:
    told = reporter(AssetStore(), Log(), statuses=["failed"])
    await events(told, Page())
    assert await events(told, Page(one="completed", two="failed")) == ["two"]


async def test_the_past_is_told_once_to_whoever_wants_it() -> None:
    store, log = AssetStore(), Log()
    told = reporter(store, log, include_past=True)
    assert await events(told, Page(one="completed")) == ["one"]
    await write_down(told)
    assert await events(reporter(store, log, include_past=True), Page(one="completed")) == []


async def test_without_a_store_it_says_what_is_lost_and_begins_anew() -> None:
    log = Log()
    told = reporter(None, log)
    await events(told, Page())
    assert told.to_write() is None
    (line,) = log.of(logging.WARNING)
    assert "are not told of" in line
    assert await events(told, Page(one="completed")) == ["one"]
    assert await events(reporter(None, log), Page(one="completed")) == []


async def test_an_outage_takes_few_lines_and_its_end_one() -> None:
    log = Log()
    told = reporter(AssetStore(), log)
    for _ in range(100):
        assert await events(told, DOWN) == []
    assert len(log.of(logging.WARNING)) == 7
    assert "The API is down" in log.of(logging.WARNING)[0]

    await events(told, Page())

    assert log.of(logging.INFO)[-1] == "Thread thread_1: can be followed again after 100 failures in a row"
    await events(told, Page())
    assert len(log.of(logging.INFO)) == 2


async def test_what_somebody_must_mend_is_an_error_each_time() -> None:
    log = Log()
    told = reporter(AssetStore(), log)
    for _ in range(3):
        await events(told, RunAuthenticationError("The key is refused."))
    assert len(log.of(logging.ERROR)) == 3


async def test_a_look_that_breaks_off_loses_nothing() -> None:
    class BrokenPage(Page):
        async def carry_out(self, operation: ApiCall[Any]) -> Any:
            raise DOWN

    told = reporter(AssetStore(), Log())
    await events(told, Page())
    assert await events(told, BrokenPage()) == []
    assert await events(told, Page(one="completed")) == ["one"]


async def test_a_store_that_cannot_be_read_is_asked_again_before_anything_is_told() -> None:
    store, log = AssetStore(), Log()
    told = reporter(store, log)
    await events(told, Page())
    await write_down(told)

    store.trouble = OSError("no database")
    after = reporter(store, log)
    assert await events(after, Page(one="completed")) == []
    store.trouble = None

    assert await events(after, Page(one="completed")) == ["one"]
    assert any("no database" in line for line in log.of(logging.WARNING))


async def test_a_store_that_cannot_be_written_is_written_to_again() -> None:
    store, log = AssetStore(), Log()
    told = reporter(store, log)
    await events(told, Page())
    store.trouble = OSError("no database")
    await write_down(told)
    assert "would tell it once more" in log.of(logging.WARNING)[0]
    store.trouble = None
    await events(told, Page())
    await write_down(told)
    assert told.to_write() is None


@pytest.mark.parametrize("value", ["rubbish", {"horizon": "?"}])
async def test_what_cannot_be_read_any_more_is_said_and_left(value: Any) -> None:
    store, log = AssetStore(), Log()
    await AssetState(store, "key").write(value)
    told = reporter(store, log)
    assert await events(told, Page(one="completed")) == []
    assert "cannot be read any more" in log.of(logging.ERROR)[0]
