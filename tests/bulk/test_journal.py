"""The journal of a bulk task: what a process finds that takes it over."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.io import attach
from fsspec.implementations.memory import MemoryFileSystem  # type: ignore[import-untyped]

from airflow_provider_openai_run.bulk.folder import ResultsFolder, open_folder
from airflow_provider_openai_run.bulk.journal import _MAX_FILES, Journal
from airflow_provider_openai_run.bulk.state import Phase
from airflow_provider_openai_run.exceptions import BulkJournalError
from airflow_provider_openai_run.owned_runs.identity import RunIdentity
from tests.bulk.bulk_tasks import questions

IDENTITY = RunIdentity("dag/run/task/-1", 0)


@pytest.fixture(params=["local", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ResultsFolder]:
    attach("memory", fs=MemoryFileSystem())
    url = str(tmp_path) if request.param == "local" else f"memory://bucket/{tmp_path.name}"
    opened = open_folder(url)
    yield opened
    opened.remove("journal")
    opened.close()


def begin(folder: ResultsFolder) -> Journal:
    return Journal.create(folder, IDENTITY, questions(5, model="m"), {}, "now")


def reopened(folder: ResultsFolder) -> Journal:
    journal = Journal.open(folder, IDENTITY)
    assert journal is not None
    journal.requests.close()
    return journal


def write(journal: Journal, *work: Coroutine[Any, Any, None]) -> None:
    async def run() -> None:
        await journal.begin_pass()
        for each in work:
            await each
        await journal.drain()

    asyncio.run(run())
    journal.requests.close()
    if journal.folder.url.startswith("/"):
        journal.folder.close()


def some_work(journal: Journal) -> list[Coroutine[Any, Any, None]]:
    return [
        journal.record({"type": "creating", "requests": [0, 1, 2, 3]}),
        journal.record({"type": "created", "ids": {"0": "resp_0", "1": "resp_1"}}),
        journal.record({"type": "lost", "request": 2}),
        journal.record({"type": "not_created", "requests": [3]}),
        journal.record_end(0, "completed", (1, 2, 3), b'{"custom_id":"q-0"}\n'),
    ]


def test_the_next_process_finds_the_state_as_it_was(folder: ResultsFolder) -> None:
    journal = begin(folder)
    write(journal, *some_work(journal))

    state = reopened(folder).state

    assert [state.phase(index) for index in range(5)] == [
        Phase.ENDED,
        Phase.ACTIVE,
        Phase.CREATING,
        Phase.PENDING,
        Phase.PENDING,
    ]
    assert (state.run_id(1), state.created, state.lost, state.total_tokens) == ("resp_1", 2, 1, 3)
    ending = state.ending(0)
    line = folder.read(ending.file)[ending.offset : ending.offset + ending.length]
    assert json.loads(line) == {"custom_id": "q-0"}
    assert state.snapshot() == journal.state.snapshot()


def test_a_journal_of_many_files_is_compacted_to_the_same_state(folder: ResultsFolder) -> None:
    journal = begin(folder)
    write(journal, *some_work(journal))
    for _ in range(_MAX_FILES):
        journal = reopened(folder)
        write(journal)

    files = [name for name in folder.names("journal/0/logs") if "/journal-" in name]

    assert len(files) < _MAX_FILES
    assert reopened(folder).state.snapshot() == journal.state.snapshot()
    assert journal.state.run_id(1) == "resp_1"


def test_the_line_that_a_killed_process_left_unfinished_is_ignored(tmp_path: Path) -> None:
    folder = open_folder(str(tmp_path))
    journal = begin(folder)
    write(journal, *some_work(journal))
    [log] = [name for name in folder.names("journal/0/logs") if "/journal-" in name]
    with (tmp_path / log).open("ab") as file:
        file.write(b'{"type":"created","ids":{"3":"resp')

    assert reopened(folder).state.snapshot() == journal.state.snapshot()


def test_a_process_whose_journal_another_one_continues_writes_nothing_more(folder: ResultsFolder) -> None:
    first = begin(folder)

    async def run() -> None:
        await first.begin_pass()
        second = reopened(folder)
        await second.begin_pass()
        with pytest.raises(BulkJournalError, match="Another process has taken over"):
            await first.record({"type": "creating", "requests": [0]})

    asyncio.run(run())
    first.requests.close()
    assert reopened(folder).state.count(Phase.PENDING) == 5


def test_the_folder_of_another_task_is_refused(folder: ResultsFolder) -> None:
    begin(folder).requests.close()
    with pytest.raises(BulkJournalError, match=r"is used by dag/run/task/-1.*\{\{ run_id \}\}"):
        Journal.open(folder, RunIdentity("dag/run/other/-1", 0))


def test_a_folder_without_a_journal_has_none(folder: ResultsFolder) -> None:
    assert Journal.open(folder, IDENTITY) is None
