"""The part of the hook that is about batches: their files, how they are created, and their list."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from airflow_provider_openai_run.api import calls
from airflow_provider_openai_run.api.batch_input import split_requests
from airflow_provider_openai_run.connection import file_transfer

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping

    from openai import AsyncOpenAI, OpenAI
    from openai.types import FileObject

    from airflow_provider_openai_run.api.calls import ApiCall
    from airflow_provider_openai_run.connection.file_transfer import FileSource
    from airflow_provider_openai_run.types.run import Run


class BatchMethods:
    """
    Upload and download files, create batches and list them.

    ``get_run``, ``wait_for_run`` and ``cancel_run`` take a batch too, with ``api="batches"``. The methods
    have the names and parameters of the official hook's, where that has them.
    """

    if TYPE_CHECKING:
        conn: OpenAI

        async def aget_conn(self) -> AsyncOpenAI: ...

        def execute_call(self, call: ApiCall[Any], *, retry: bool = True) -> Any: ...

        async def execute_call_async(self, call: ApiCall[Any], *, retry: bool = True) -> Any: ...

    def upload_file(
        self, file: FileSource, purpose: str = "batch", *, filename: str | None = None
    ) -> FileObject:
        """
        Upload a file, such as the input of a batch; it is never held in memory as a whole.

        https://platform.openai.com/docs/api-reference/files/create.

        :param file: a path, also an ``ObjectStoragePath``; an open binary file; or the pieces of its content.
        :param purpose: what it is for, in the API's words.
        :param filename: its name; by default that of the path, or ``requests.jsonl``. That of a batch must
            end in ``.jsonl``.
        :raises RunRequestError: if the API refuses, or sends no valid response.
        """
        return _file_object(file_transfer.upload(self.conn, file, purpose=purpose, filename=filename))

    async def aupload_file(
        self, file: FileSource, purpose: str = "batch", *, filename: str | None = None
    ) -> FileObject:
        """Upload a file; see :meth:`upload_file`."""
        async with await self.aget_conn() as client:
            uploaded = await file_transfer.aupload(client, file, purpose=purpose, filename=filename)
        return _file_object(uploaded)

    def upload_requests(self, requests: Iterable[Mapping[str, Any]]) -> list[FileObject]:
        """
        Upload requests as the input files of batches: one, or as many as the API's limits need.

        A file has up to 50,000 requests and 200 MB, and all its requests have the same model. All requests
        are checked before the first upload.

        :param requests: for each ``custom_id`` and ``body``, as in https://platform.openai.com/docs/guides/batch.
        :return: the files; none if there is no request.
        :raises ValueError: for the first request that no batch takes, such as one whose ``custom_id`` another
            one has, with its position.
        :raises RunRequestError: if the API refuses, or sends no valid response.
        """
        with tempfile.TemporaryDirectory() as folder:
            return [self.upload_file(path) for path in _write_input_files(requests, Path(folder))]

    async def aupload_requests(self, requests: Iterable[Mapping[str, Any]]) -> list[FileObject]:
        """Upload requests as the input files of batches; see :meth:`upload_requests`."""
        with tempfile.TemporaryDirectory() as folder:
            paths = await asyncio.to_thread(_write_input_files, requests, Path(folder))
            return [await self.aupload_file(path) for path in paths]

    def download_file(self, file_id: str, path: str | os.PathLike[str]) -> int:
        """
        Download the content of a file, such as the results of a batch, and return how many bytes it has.

        It is written piece by piece to a file beside the path, which takes that name once it is complete. If
        the connection breaks, the download begins again, up to the connection's ``max_retries`` times.

        https://platform.openai.com/docs/api-reference/files/retrieve-contents.

        :param file_id: the file, such as a batch's ``output_file_id``.
        :param path: where to write it, on this machine; a file that is there is replaced.
        :raises InvalidRunReferenceError: for an id that cannot be used in a request.
        :raises RunRequestError: if the API refuses, or the connection breaks too often.
        :raises OSError: if the path cannot be written.
        """
        return file_transfer.download(self.conn, file_id, path)

    async def adownload_file(self, file_id: str, path: str | os.PathLike[str]) -> int:
        """Download the content of a file; see :meth:`download_file`."""
        async with await self.aget_conn() as client:
            return await file_transfer.adownload(client, file_id, path)

    def create_batch(
        self,
        file_id: str,
        endpoint: str = "/v1/responses",
        metadata: dict[str, str] | None = None,
        completion_window: str = "24h",
        **params: Any,
    ) -> Run:
        """
        Create a batch.

        The request is sent only once: a lost response may be that of a batch that exists, which
        :meth:`list_batches` finds.

        https://platform.openai.com/docs/api-reference/batch/create.

        :param file_id: the input file, uploaded with the purpose ``batch``.
        :param endpoint: the endpoint of all its requests.
        :param metadata: up to 16 texts that are kept with the batch.
        :param completion_window: the API knows ``24h`` only.
        :param params: further parameters of the API, such as ``output_expires_after``.
        :raises RunRequestError: if the API refuses, or sends no valid response.
        """
        call = calls.create_batch(_batch_params(file_id, endpoint, metadata, completion_window, params))
        run: Run = self.execute_call(call, retry=False)
        return run

    async def acreate_batch(
        self,
        file_id: str,
        endpoint: str = "/v1/responses",
        metadata: dict[str, str] | None = None,
        completion_window: str = "24h",
        **params: Any,
    ) -> Run:
        """Create a batch; see :meth:`create_batch`."""
        call = calls.create_batch(_batch_params(file_id, endpoint, metadata, completion_window, params))
        run: Run = await self.execute_call_async(call, retry=False)
        return run

    def list_batches(self, *, created_after: float | None = None) -> list[Run]:
        """
        List the batches of the connection's project, newest first.

        https://platform.openai.com/docs/api-reference/batch/list.

        :param created_after: batches created before this time, in epoch seconds, are left out, and no page of
            them is read.
        :raises RunRequestError: if the API refuses, or sends no valid response.
        """
        runs: list[Run] = self.execute_call(calls.list_batches(created_after))
        return runs

    async def alist_batches(self, *, created_after: float | None = None) -> list[Run]:
        """List the batches; see :meth:`list_batches`."""
        runs: list[Run] = await self.execute_call_async(calls.list_batches(created_after))
        return runs


def _write_input_files(requests: Iterable[Mapping[str, Any]], folder: Path) -> list[Path]:
    paths: list[Path] = []
    with ExitStack() as opened:
        files: list[IO[bytes]] = []
        for number, line in split_requests(requests):
            if number == len(files):
                paths.append(folder / f"requests-{number + 1:03d}.jsonl")
                files.append(opened.enter_context(paths[number].open("wb")))
            files[number].write(line)
    return paths


def _batch_params(
    file_id: str,
    endpoint: str,
    metadata: dict[str, str] | None,
    completion_window: str,
    params: dict[str, Any],
) -> dict[str, Any]:
    body = {"input_file_id": file_id, "endpoint": endpoint, "completion_window": completion_window, **params}
    return body if metadata is None else {**body, "metadata": metadata}


def _file_object(body: dict[str, Any]) -> FileObject:
    from openai.types import FileObject

    return FileObject.construct(**body)
