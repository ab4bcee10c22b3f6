"""The journal of a bulk task: what is about to be created, what was, and how it ended.

Records are appended to a log in the results folder, and are durable before what they announce is done. Each
process that takes the task over, a pass, has files of its own. What many coroutines append at the same time
is written at once (group commit). The last line of a process that was killed may be torn: it is ignored, as
nothing was done on the strength of it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_openai_run.bulk.request_file import RequestFile, copy_requests
from airflow_provider_openai_run.bulk.request_lines import dump_line
from airflow_provider_openai_run.bulk.state import BulkState, Ending
from airflow_provider_openai_run.exceptions import BulkJournalError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_openai_run.bulk.folder import ResultsFolder
    from airflow_provider_openai_run.owned_runs.identity import RunIdentity
    from airflow_provider_openai_run.types.json import Json

log = logging.getLogger(__name__)

#: The directory of all journals in a results folder; each clearing of the task has one of its own below it.
JOURNALS = "journal"

_HEADER = "task.json"
_REQUESTS = "requests.jsonl"
_LOGS = "logs"
_PASS_NUMBER = re.compile(r"/(?:journal|answers)-(\d+)[-.]")

#: From so many files of the log on, a new pass begins with a snapshot, and removes them.
_MAX_FILES = 32


@dataclass(slots=True)
class _Append:
    """Lines to append to a log, and the future that is given their places."""

    data: list[bytes]
    done: asyncio.Future[list[tuple[str, int]]]


class GroupLog:
    """
    Append lines of many coroutines to a log, with one write for all that wait.

    :param folder: the results folder.
    :param name: the name of the log.
    """

    def __init__(self, folder: ResultsFolder, name: str) -> None:
        self._folder = folder
        self._name = name
        self._waiting: list[_Append] = []
        self._writer: asyncio.Task[None] | None = None

    async def append(self, *lines: bytes) -> list[tuple[str, int]]:
        """
        Append lines, and return the file and the offset of each once they are durable.

        :raises OSError: if they cannot be written.
        """
        entry = _Append(list(lines), asyncio.get_running_loop().create_future())
        self._waiting.append(entry)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_all())
        return await asyncio.shield(entry.done)

    async def drain(self) -> None:
        """Wait until all that was appended is durable."""
        if self._writer is not None:
            await asyncio.wait({self._writer})

    async def _write_all(self) -> None:
        while self._waiting:
            entries, self._waiting = self._waiting, []
            lines = [line for entry in entries for line in entry.data]
            try:
                file, offset = await asyncio.to_thread(self._folder.append, self._name, b"".join(lines))
            except Exception as error:  # noqa: BLE001 - an object storage may raise anything
                for entry in entries:
                    if not entry.done.done():
                        entry.done.set_exception(error)
                continue
            for entry in entries:
                places = []
                for line in entry.data:
                    places.append((file, offset))
                    offset += len(line)
                if not entry.done.done():
                    entry.done.set_result(places)


class Journal:
    """
    The journal of a bulk task, as one pass continues it.

    :param folder: the results folder.
    :param identity: the task instance.
    :param requests: the requests of the task.
    :param state: what the journal says.
    :param header: what was written when the task began.
    """

    def __init__(
        self,
        folder: ResultsFolder,
        identity: RunIdentity,
        requests: RequestFile,
        state: BulkState,
        header: Mapping[str, Any],
    ) -> None:
        self.folder = folder
        self.requests = requests
        self.state = state
        self.header = header
        self._directory = directory_of(identity)
        self._logs_directory = f"{self._directory}/{_LOGS}"
        self._number = 0
        self._records: GroupLog | None = None
        self._answers: GroupLog | None = None

    @classmethod
    def create(
        cls,
        folder: ResultsFolder,
        identity: RunIdentity,
        source: Any,  # noqa: ANN401 - a list, a path, a URL, or an ObjectStoragePath
        defaults: Mapping[str, Json],
        window: str,
    ) -> Journal:
        """
        Check the requests of a new task, copy them into the results folder, and begin the journal.

        :param source: the requests, see :func:`~airflow_provider_openai_run.bulk.request_file.copy_requests`.
        :param defaults: the parameters that all requests share.
        :param window: when the responses are created, for the manifest.
        :raises BulkRequestsError: if a request cannot be sent.
        """
        directory = directory_of(identity)
        digest = copy_requests(source, defaults, identity, folder, f"{directory}/{_REQUESTS}")
        header: dict[str, Json] = {
            "version": 1,
            "task": identity.task,
            "clear_generation": identity.clear_generation,
            "window": window,
            "requests_sha256": digest,
            "started_at": round(time.time(), 3),
        }
        file = folder.temporary_file()
        file.write_bytes(dump_line(header))
        folder.publish(file, f"{directory}/{_HEADER}")
        requests = RequestFile(folder.local_copy(f"{directory}/{_REQUESTS}"))
        return cls(folder, identity, requests, BulkState(len(requests)), header)

    @classmethod
    def open(cls, folder: ResultsFolder, identity: RunIdentity) -> Journal | None:
        """
        Return the journal that an earlier pass of the task has begun; None if there is none.

        :raises BulkJournalError: if the results folder is another task's.
        """
        directory = directory_of(identity)
        if not folder.exists(f"{directory}/{_HEADER}"):
            return None
        header = json.loads(folder.read(f"{directory}/{_HEADER}"))
        if header.get("task") != identity.task:
            raise foreign_folder_error(folder, header.get("task"))
        requests = RequestFile(folder.local_copy(f"{directory}/{_REQUESTS}"))
        journal = cls(folder, identity, requests, BulkState(len(requests)), header)
        journal.replay()
        return journal

    def replay(self) -> None:
        """Read all records of the passes before."""
        names = self.folder.names(self._logs_directory)
        self._number = max((_pass_number(name) for name in names), default=0)
        for name in names:
            if "/journal-" not in name:
                continue
            for line in self.folder.read(name).split(b"\n"):
                record = _parse(line, name)
                if record is not None:
                    self.state.apply(record)

    async def begin_pass(self, **details: Json) -> None:
        """
        Take the task over: from now on no other process may write to its journal.

        :param details: what to record of the process.
        """
        old = [name for name in self.folder.names(self._logs_directory) if "/journal-" in name]
        self._number += 1
        self._records = GroupLog(self.folder, f"{self._logs_directory}/journal-{self._number:06d}.jsonl")
        self._answers = GroupLog(self.folder, f"{self._logs_directory}/answers-{self._number:06d}.jsonl")
        first: dict[str, Json] = {"type": "pass", "at": round(time.time(), 3), **details}
        if len(old) < _MAX_FILES:
            await self._write(first)
            return
        await self._write(first, self.state.snapshot())
        for name in old:
            await asyncio.to_thread(self.folder.remove_file, name)

    async def record(self, *records: dict[str, Json]) -> None:
        """
        Write records, wait until they are durable, and change the state.

        :raises BulkJournalError: if another process has taken the task over.
        """
        await self._write(*records)
        for record in records:
            self.state.apply(dict(record))

    async def record_end(self, index: int, status: str, tokens: tuple[int, int, int], line: bytes) -> None:
        """
        Write the line of a request that has ended, and record that it has.

        :param index: the request.
        :param status: how it has ended.
        :param tokens: input, output and total tokens.
        :param line: what the response was, in the form of the Batch API's output.
        """
        if self._answers is None:
            raise RuntimeError("begin_pass was not called")
        [(file, offset)] = await self._answers.append(line)
        ending = Ending(status, tokens, file, offset, len(line))
        await self.record({"type": "ended", "request": index, "ending": ending.to_json()})

    @property
    def number(self) -> int:
        """The number of the last pass."""
        return self._number

    async def drain(self) -> None:
        """Wait until everything is written."""
        for each in (self._answers, self._records):
            if each is not None:
                await each.drain()

    async def _write(self, *records: dict[str, Json]) -> None:
        if self._records is None:
            raise RuntimeError("begin_pass was not called")
        await asyncio.to_thread(self._check_newest)
        await self._records.append(*(dump_line(record) for record in records))

    def _check_newest(self) -> None:
        following = f"{self._logs_directory}/journal-{self._number + 1:06d}"
        if any(self.folder.exists(f"{following}{end}.jsonl") for end in ("", "-000001")):
            raise BulkJournalError(
                f"Another process has taken over the journal in {self.folder.url}: this one stops"
            )


def foreign_folder_error(folder: ResultsFolder, task: object) -> BulkJournalError:
    """
    Return the error for a results folder in which another task keeps its journal or its results.

    :param task: the other task.
    """
    return BulkJournalError(
        f"results: {folder.url} is used by {task}; each task needs a folder of its own, so name it with "
        "{{ dag.dag_id }}/{{ run_id }}/{{ task.task_id }}, and with {{ ti.map_index }} for a mapped task"
    )


def directory_of(identity: RunIdentity) -> str:
    """Return the directory of a task's journal in its results folder; another one after each "Clear"."""
    return f"{JOURNALS}/{identity.clear_generation}"


def _pass_number(name: str) -> int:
    match = _PASS_NUMBER.search(name)
    return int(match[1]) if match else 0


def _parse(line: bytes, name: str) -> dict[str, Any] | None:
    """Return a record; None for the line that a killed process has left unfinished."""
    if not line:
        return None
    try:
        record = json.loads(line)
    except ValueError:
        log.info("Ignored an unfinished line in %s: the process that wrote it was killed", name)
        return None
    return record if isinstance(record, dict) else None
