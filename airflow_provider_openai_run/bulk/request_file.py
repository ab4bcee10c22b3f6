"""The checked requests of a bulk task in its results folder; memory holds the offsets of the lines only."""

from __future__ import annotations

import hashlib
import json
from array import array
from typing import TYPE_CHECKING, Any

from airflow_provider_openai_run.bulk.folder import open_lines
from airflow_provider_openai_run.bulk.request_lines import BulkRequest, RequestReader
from airflow_provider_openai_run.exceptions import BulkRequestsError
from airflow_provider_openai_run.types.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path
    from typing import BinaryIO

    from airflow_provider_openai_run.bulk.folder import ResultsFolder
    from airflow_provider_openai_run.owned_runs.identity import RunIdentity
    from airflow_provider_openai_run.types.json import Json


def copy_requests(
    source: Any,  # noqa: ANN401 - a list, a path, a URL, or an ObjectStoragePath
    defaults: Mapping[str, Json],
    identity: RunIdentity,
    folder: ResultsFolder,
    name: str,
) -> str:
    """
    Check all requests, and copy them into a file of the results folder.

    :param source: a list of requests, or the path or URL of a file with JSON lines.
    :param defaults: the parameters that all requests share.
    :param identity: the task.
    :param folder: the results folder.
    :param name: the name of the copy, which appears once all requests have been checked.
    :return: the SHA-256 digest of the copy.
    :raises BulkRequestsError: for a request that cannot be sent, or a file that cannot be read.
    """
    digest = hashlib.sha256()
    file = folder.temporary_file()
    try:
        with file.open("wb") as copy:
            for request in _read(source, RequestReader(defaults, identity)):
                line = request.to_line()
                copy.write(line)
                digest.update(line)
        folder.publish(file, name)
    finally:
        file.unlink(missing_ok=True)
    return digest.hexdigest()


def _read(source: Any, reader: RequestReader) -> Iterable[BulkRequest]:  # noqa: ANN401 - see above
    if isinstance(source, list | tuple):
        yield from reader.read_list(source)
        return
    text = str(source).strip()
    if text in ("", "None"):
        raise BulkRequestsError(f"requests rendered to {text!r}: the XCom or param it comes from is empty")
    if text.startswith(("[", "{")):
        raise BulkRequestsError(
            "requests is the text of a list or an object; pass the list itself, such as task.output, or set "
            "render_template_as_native_obj=True on the DAG"
        )
    try:
        yield from reader.read_file(open_lines(source), text)
    except BulkRequestsError:
        raise
    except (OSError, ValueError, ImportError) as error:
        raise BulkRequestsError(f"requests: {text} cannot be read: {redact(str(error))}") from error


class RequestFile:
    """
    The copied requests, each read when it is needed.

    :param path: a local file with the copy.
    """

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("rb")
        self._offsets = array("Q", [0])
        for line in self._file:
            self._offsets.append(self._offsets[-1] + len(line))

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, index: int) -> BulkRequest:
        """Return a request by its position, from 0."""
        start, end = self._offsets[index], self._offsets[index + 1]
        self._file.seek(start)
        line = json.loads(self._file.read(end - start))
        return BulkRequest(line["custom_id"], line["body"])

    def close(self) -> None:
        """Close the file."""
        self._file.close()
