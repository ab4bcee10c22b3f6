"""The files that a bulk task leaves: the answers, the failed requests, and the manifest."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from airflow_provider_openai_run.bulk.state import Phase

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_openai_run.bulk.folder import ResultsFolder
    from airflow_provider_openai_run.bulk.journal import Journal
    from airflow_provider_openai_run.types.json import Json

ANSWERS = "answers.jsonl"
ERRORS = "errors.jsonl"
MANIFEST = "manifest.json"
#: The status in the manifest of a task that was successful.
COMPLETED = "completed"


@dataclass(slots=True)
class _Output:
    """A result file that is being written."""

    file: BinaryIO
    digest: Any
    lines: int = 0
    size: int = 0

    def write(self, line: bytes) -> None:
        self.file.write(line)
        self.digest.update(line)
        self.lines += 1
        self.size += len(line)

    def describe(self, path: str) -> dict[str, Json]:
        return {"path": path, "lines": self.lines, "bytes": self.size, "sha256": self.digest.hexdigest()}


def write_results(journal: Journal, status: str) -> dict[str, Json]:
    """
    Write the result files, each of which appears when it is complete, the manifest last.

    ``answers.jsonl`` has the line of each completed response, in the form of the Batch API's output and in
    the order of the requests. ``errors.jsonl`` has the others that have ended, as requests that can be read
    in again, with ``error`` and ``response`` added.

    :param journal: the journal of the task.
    :param status: ``completed``, or why the task ends without all its answers.
    :return: the manifest.
    """
    folder = journal.folder
    files: dict[str, Json] = {}
    temporary = {name: folder.temporary_file() for name in (ANSWERS, ERRORS)}
    with temporary[ANSWERS].open("wb") as answers_file, temporary[ERRORS].open("wb") as errors_file:
        answers = _Output(answers_file, hashlib.sha256())
        errors = _Output(errors_file, hashlib.sha256())
        for index, line in _ended_lines(journal):
            if journal.state.ending(index).is_answered:
                answers.write(line)
            else:
                errors.write(_to_request(journal, index, line))
    for name, output in ((ANSWERS, answers), (ERRORS, errors)):
        folder.publish(temporary[name], name)
        files[name.partition(".")[0]] = output.describe(folder.path_of(name))
    manifest = _manifest(journal, status, files)
    file = folder.temporary_file()
    file.write_text(json.dumps(manifest, indent=2) + "\n")
    folder.publish(file, MANIFEST)
    return manifest


def read_manifest(folder: ResultsFolder) -> dict[str, Any] | None:
    """Return the manifest in a results folder; None if there is none."""
    if not folder.exists(MANIFEST):
        return None
    manifest = json.loads(folder.read(MANIFEST))
    return manifest if isinstance(manifest, dict) else None


def first_error(journal: Journal) -> tuple[str, str] | None:
    """Return the ``custom_id`` and the error of the first request that has failed; None if none has."""
    for index, line in _ended_lines(journal):
        if not journal.state.ending(index).is_answered:
            value = json.loads(line)
            error = value.get("error") or {}
            return str(value.get("custom_id")), f"{error.get('code')}: {error.get('message')}"
    return None


def _ended_lines(journal: Journal) -> Iterator[tuple[int, bytes]]:
    """Yield the requests that have ended, in order, with the lines that were written then."""
    current: tuple[str, BinaryIO] | None = None
    try:
        for index in journal.state.positions(Phase.ENDED):
            ending = journal.state.ending(index)
            if current is None or current[0] != ending.file:
                if current is not None:
                    current[1].close()
                current = (ending.file, journal.folder.local_copy(ending.file).open("rb"))
            current[1].seek(ending.offset)
            yield index, current[1].read(ending.length)
    finally:
        if current is not None:
            current[1].close()


def _to_request(journal: Journal, index: int, line: bytes) -> bytes:
    """Return the line of a request that has failed, with why."""
    ended = json.loads(line)
    request = journal.requests[index]
    return request.to_line(error=ended.get("error"), response=ended.get("response"))


def _manifest(journal: Journal, status: str, files: dict[str, Json]) -> dict[str, Json]:
    state, header = journal.state, journal.header
    ended = state.count(Phase.ENDED)
    return {
        "version": 1,
        "status": status,
        "window": header.get("window"),
        "total": state.total,
        "completed": ended - state.failed,
        "failed": state.failed,
        "not_ended": state.total - ended,
        "statuses": dict(state.statuses),
        "responses_created": state.created,
        "responses_lost": state.lost,
        "tokens": state.tokens,
        "results": journal.folder.url,
        **files,
        "task": header.get("task"),
        "clear_generation": header.get("clear_generation"),
        "requests_sha256": header.get("requests_sha256"),
        "started_at": header.get("started_at"),
        "ended_at": round(time.time(), 3),
    }
