"""The folder with the results of a bulk task: local, or in an object storage.

A file appears only when it is complete. The lines of a log are durable when they have been appended: to a
local file, or as a numbered object of their own, since objects cannot be appended to.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow.sdk import Context


class ResultsFolder(Protocol):
    """A folder in which files appear only when they are complete. Names may have slashes."""

    @property
    def url(self) -> str:
        """Its path, or its URL, for people and manifests."""

    def path_of(self, name: str) -> str:
        """Return the path or the URL of a file."""

    def names(self, directory: str) -> list[str]:
        """Return the names of the files in a directory, in order; none if it is missing."""

    def exists(self, name: str) -> bool:
        """Return whether there is a file of that name."""

    def read(self, name: str) -> bytes:
        """Return the content of a file."""

    def publish(self, file: Path, name: str) -> None:
        """Let a complete local file appear under a name; the local file is moved or copied."""

    def append(self, name: str, data: bytes) -> tuple[str, int]:
        """Append to a log durably, and return the name of the file with the data, and its offset there."""

    def local_copy(self, name: str) -> Path:
        """Return a local file with the content of a file that does not change any more."""

    def remove(self, directory: str) -> None:
        """Remove a directory and all in it, if it exists."""

    def remove_file(self, name: str) -> None:
        """Remove a file, if it exists."""

    def temporary_file(self) -> Path:
        """Return the path of a new local file, for :meth:`publish`."""

    def close(self) -> None:
        """Remove temporary files."""


def open_folder(results: Any) -> ResultsFolder:  # noqa: ANN401 - a path, a URL, or an ObjectStoragePath
    """
    Return the folder at a path or a URL.

    :param results: the path of a local folder, a URL such as ``s3://connection@bucket/folder``, or an
        ``ObjectStoragePath``.
    """
    parts = urlsplit(str(results))
    if parts.scheme in ("", "file", "local"):
        return LocalFolder(Path(parts.path).absolute())
    return ObjectFolder(results)


def default_folder(context: Context) -> str:
    """
    Return the local folder of a task's results, the same for every try.

    :param context: of the running task; without a task instance it is a new folder.
    """
    from airflow.configuration import AIRFLOW_HOME

    ti = context.get("ti")
    if ti is None:
        return tempfile.mkdtemp(prefix="openai-bulk-")
    names = [ti.dag_id, ti.run_id, ti.task_id]
    if ti.map_index is not None and ti.map_index >= 0:
        names.append(str(ti.map_index))
    if "loop" in context:
        # All iterations of a loop have the same ids and map index.
        region: Any = ti
        names.append(f"{region.region_id}-{region.region_index}")
    return str(Path(AIRFLOW_HOME, "openai_bulk", *(quote(name, safe=" +:@") for name in names)))


def open_lines(source: Any) -> Iterator[bytes]:  # noqa: ANN401 - a path, a URL, or an ObjectStoragePath
    """
    Yield the lines of a file.

    :param source: its path, its URL, or an ``ObjectStoragePath``.
    :raises OSError: if it cannot be read.
    """
    from airflow.sdk import ObjectStoragePath

    path = source if isinstance(source, ObjectStoragePath) else ObjectStoragePath(str(source))
    with path.open("rb") as file:
        # The files of Airflow 3.1 cannot be iterated over.
        yield from iter(file.readline, b"")


class LocalFolder:
    """
    A folder of the local file system, or of one that all workers share.

    :param path: the folder; it is created when it is first written to.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._logs: dict[str, tuple[int, int]] = {}

    @property
    def url(self) -> str:
        """Its path."""
        return str(self._path)

    def path_of(self, name: str) -> str:
        """Return the path of a file."""
        return str(self._path / name)

    def names(self, directory: str) -> list[str]:
        """Return the names of the files in a directory, in order; none if it is missing."""
        try:
            return sorted(f"{directory}/{path.name}" for path in (self._path / directory).iterdir())
        except FileNotFoundError:
            return []

    def exists(self, name: str) -> bool:
        """Return whether there is a file of that name."""
        return (self._path / name).exists()

    def read(self, name: str) -> bytes:
        """Return the content of a file."""
        return (self._path / name).read_bytes()

    def publish(self, file: Path, name: str) -> None:
        """Move a complete local file to a name."""
        target = self._path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        file.replace(target)

    def append(self, name: str, data: bytes) -> tuple[str, int]:
        """Append to a log with one write, and wait until it is on the disk."""
        descriptor, offset = self._logs.get(name) or self._open_log(name)
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
        self._logs[name] = (descriptor, offset + len(data))
        return name, offset

    def local_copy(self, name: str) -> Path:
        """Return the file itself."""
        return self._path / name

    def remove(self, directory: str) -> None:
        """Remove a directory and all in it, if it exists."""
        self._close_logs()
        shutil.rmtree(self._path / directory, ignore_errors=True)

    def remove_file(self, name: str) -> None:
        """Remove a file, if it exists."""
        (self._path / name).unlink(missing_ok=True)

    def temporary_file(self) -> Path:
        """Return the path of a new file in the folder, which can be moved to its name at once."""
        self._path.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=".incomplete-", dir=self._path)
        os.close(descriptor)
        return Path(name)

    def close(self) -> None:
        """Close the logs."""
        self._close_logs()

    def _open_log(self, name: str) -> tuple[int, int]:
        path = self._path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        return descriptor, os.fstat(descriptor).st_size

    def _close_logs(self) -> None:
        for descriptor, _ in self._logs.values():
            os.close(descriptor)
        self._logs.clear()


class ObjectFolder:
    """
    A folder in an object storage.

    :param results: its URL, or an ``ObjectStoragePath``.
    """

    def __init__(self, results: Any) -> None:  # noqa: ANN401 - a URL, or an ObjectStoragePath
        from airflow.sdk import ObjectStoragePath

        is_path = isinstance(results, ObjectStoragePath)
        self._path = results if is_path else ObjectStoragePath(str(results))
        self._groups: dict[str, int] = {}
        self._temporary = Path(tempfile.mkdtemp(prefix="openai-bulk-"))
        self._copies: dict[str, Path] = {}

    @property
    def url(self) -> str:
        """Its URL."""
        return str(self._path)

    def path_of(self, name: str) -> str:
        """Return the URL of an object."""
        return str(self._path / name)

    def names(self, directory: str) -> list[str]:
        """Return the names of the objects in a directory, in order; none if it is missing."""
        folder = self._path / directory
        if not folder.exists():
            return []
        return sorted(f"{directory}/{path.name}" for path in folder.iterdir())

    def exists(self, name: str) -> bool:
        """Return whether there is an object of that name now, whatever was listed before."""
        self._path.fs.invalidate_cache()
        return bool((self._path / name).exists())

    def read(self, name: str) -> bytes:
        """Return the content of an object."""
        content: bytes = (self._path / name).read_bytes()
        return content

    def publish(self, file: Path, name: str) -> None:
        """Upload a complete local file; the object appears once it is complete."""
        target = self._path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with file.open("rb") as source, target.open("wb") as object_:
            shutil.copyfileobj(source, object_, 1 << 20)
        file.unlink()

    def append(self, name: str, data: bytes) -> tuple[str, int]:
        """Write an object of its own, numbered after those that this process has written for the log."""
        group = self._groups.get(name, 0) + 1
        stem, _, suffix = name.rpartition(".")
        segment = f"{stem}-{group:06d}.{suffix}"
        path = self._path / segment
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self._groups[name] = group
        return segment, 0

    def local_copy(self, name: str) -> Path:
        """Download an object once."""
        if name not in self._copies:
            copy = self._temporary / f"copy-{len(self._copies)}"
            with (self._path / name).open("rb") as source, copy.open("wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
            self._copies[name] = copy
        return self._copies[name]

    def remove(self, directory: str) -> None:
        """Remove a directory and all in it, if it exists."""
        folder = self._path / directory
        if folder.exists():
            folder.rmdir(recursive=True)

    def remove_file(self, name: str) -> None:
        """Remove an object, if it exists."""
        (self._path / name).unlink(missing_ok=True)

    def temporary_file(self) -> Path:
        """Return the path of a new local file."""
        descriptor, name = tempfile.mkstemp(dir=self._temporary)
        os.close(descriptor)
        return Path(name)

    def close(self) -> None:
        """Remove temporary files."""
        shutil.rmtree(self._temporary, ignore_errors=True)
