"""Upload and download files with the OpenAI SDK, piece by piece: the file of a batch may have 200 MB.

A download is written beside its target, and takes its name once it is complete. If the connection breaks, it
begins again, as often as the connection's ``max_retries`` says; the SDK itself repeats only what fails before
the first byte.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import tempfile
import time
from contextlib import aclosing, closing, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn, TypeAlias

import openai

from airflow_provider_openai_run.api import files
from airflow_provider_openai_run.api.http import malformed_error, parse_or_raise
from airflow_provider_openai_run.api.retries import NO_RESPONSE, is_retried
from airflow_provider_openai_run.connection.http_client import (
    NETWORK_ERRORS,
    RAW_NETWORK_ERRORS,
    READ_TIMEOUT,
    httpx,
    total_timeout,
)
from airflow_provider_openai_run.connection.transport import (
    response_or_raise,
    secrets_of,
    to_api_response,
)
from airflow_provider_openai_run.exceptions import RunRequestError
from airflow_provider_openai_run.types.redaction import redact

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Iterable, Iterator

    from openai import AsyncOpenAI, OpenAI

    from airflow_provider_openai_run.api.base import Request
    from airflow_provider_openai_run.types.json import Json

#: What can be uploaded: a path, also one of Airflow's object storage; an open file; or the pieces of a file.
FileSource: TypeAlias = "str | os.PathLike[str] | IO[bytes] | Iterable[bytes]"

#: A response of one of the two HTTP libraries that the SDK uses.
HttpResponse: TypeAlias = Any

#: How long a download may take as a whole, in seconds.
DOWNLOAD_TIMEOUT = 3600.0

_PIECE_BYTES = 1024 * 1024
_LONGEST_PAUSE = 8.0


def upload(
    client: OpenAI, source: FileSource, *, purpose: str, filename: str | None = None
) -> dict[str, Json]:
    """
    Upload a file, and return its file object.

    :param client: the connection's client.
    :param source: the file.
    :param purpose: the API's word for what it is for, such as ``batch``.
    :param filename: its name; by default that of the path or of the open file.
    :raises RunRequestError: if the API refuses, or sends no valid response.
    """
    name = filename or _name_of(source)
    request = files.upload_file(name)
    with _opened(source) as file:
        try:
            response = client.post(request.path, **_upload_arguments(file, name, purpose))
        except (openai.OpenAIError, *RAW_NETWORK_ERRORS) as error:
            response = response_or_raise(error, client, request, None)
    return _parse(response, client, request)


async def aupload(
    client: AsyncOpenAI, source: FileSource, *, purpose: str, filename: str | None = None
) -> dict[str, Json]:
    """Upload a file with an async client; see :func:`upload`."""
    name = filename or _name_of(source)
    request = files.upload_file(name)
    with _opened(source) as file:
        try:
            response = await client.post(request.path, **_upload_arguments(file, name, purpose))
        except (openai.OpenAIError, *RAW_NETWORK_ERRORS) as error:
            response = response_or_raise(error, client, request, None)
    return _parse(response, client, request)


def download(client: OpenAI, file_id: str, target: str | os.PathLike[str]) -> int:
    """
    Download the content of a file, and return how many bytes it has.

    :param client: the connection's client.
    :param file_id: the file.
    :param target: the path to write to; what is there is replaced once the download is complete.
    :raises InvalidRunReferenceError: for an id that cannot be used in a request.
    :raises RunRequestError: if the API refuses, or the connection breaks too often.
    :raises OSError: if the target cannot be written.
    """
    request, attempt = files.download_file(file_id), 0
    while True:
        try:
            with _written_whole(Path(target)) as file, closing(_pieces(client, file_id, request)) as pieces:
                return sum(file.write(piece) for piece in pieces)
        except RunRequestError as error:
            attempt += 1
            if not _begins_again(error, attempt, client):
                raise
        time.sleep(_pause_after(attempt))


async def adownload(client: AsyncOpenAI, file_id: str, target: str | os.PathLike[str]) -> int:
    """Download the content of a file with an async client; see :func:`download`."""
    request, attempt = files.download_file(file_id), 0
    while True:
        try:
            with _written_whole(Path(target)) as file:
                async with aclosing(_apieces(client, file_id, request)) as pieces:
                    return sum([await asyncio.to_thread(file.write, piece) async for piece in pieces])
        except RunRequestError as error:
            attempt += 1
            if not _begins_again(error, attempt, client):
                raise
        await asyncio.sleep(_pause_after(attempt))


def _pieces(client: OpenAI, file_id: str, request: Request) -> Generator[bytes]:
    streaming, timeout = client.files.with_streaming_response, _read_timeout(client)
    try:
        with total_timeout(DOWNLOAD_TIMEOUT), streaming.content(file_id, timeout=timeout) as response:
            _check_content(response.http_response, request)
            yield from response.iter_bytes(_PIECE_BYTES)
    except (openai.OpenAIError, *NETWORK_ERRORS) as error:
        _raise_error(error, client, request)


async def _apieces(client: AsyncOpenAI, file_id: str, request: Request) -> AsyncGenerator[bytes]:
    streaming, timeout = client.files.with_streaming_response, _read_timeout(client)
    try:
        with total_timeout(DOWNLOAD_TIMEOUT):
            async with streaming.content(file_id, timeout=timeout) as response:
                _check_content(response.http_response, request)
                async for piece in response.iter_bytes(_PIECE_BYTES):
                    yield piece
    except (openai.OpenAIError, *NETWORK_ERRORS) as error:
        _raise_error(error, client, request)


def _upload_arguments(file: IO[bytes], name: str, purpose: str) -> dict[str, Any]:
    return {
        "cast_to": httpx.Response,
        "body": {"purpose": purpose},
        "files": [("file", (name, file))],
        # The HTTP library adds the boundary.
        "options": {"headers": {"Content-Type": "multipart/form-data"}},
    }


def _parse(response: HttpResponse, client: OpenAI | AsyncOpenAI, request: Request) -> dict[str, Json]:
    answer = to_api_response(response)
    return parse_or_raise(answer, request, None, now=time.time(), base_url=str(client.base_url))


def _name_of(source: FileSource) -> str:
    """Return the name of a file; the Batch API accepts no other ending than ``.jsonl``."""
    path = getattr(source, "name", source)
    return Path(path).name if isinstance(path, str | os.PathLike) else "requests.jsonl"


@contextmanager
def _opened(source: FileSource) -> Iterator[IO[bytes]]:
    """Yield an open file. Pieces go through a temporary one: their size, and a retry, need all of them."""
    path: Any = Path(source) if isinstance(source, str | os.PathLike) else source
    if hasattr(path, "read"):
        yield path
    elif hasattr(path, "open"):
        with path.open("rb") as file:
            yield file
    else:
        with tempfile.TemporaryFile() as file:
            file.writelines(path)
            file.seek(0)
            yield file


@contextmanager
def _written_whole(target: Path) -> Iterator[IO[bytes]]:
    """Yield a new file that takes the place of the target at the end, and is deleted after an error."""
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _read_timeout(client: OpenAI | AsyncOpenAI) -> float:
    """Return how long to wait for the next piece, in seconds."""
    return client.timeout if isinstance(client.timeout, int | float) else READ_TIMEOUT


def _check_content(response: HttpResponse, request: Request) -> None:
    """Refuse a page of a proxy: a file of a batch is never HTML."""
    if str(response.headers.get("content-type")).startswith("text/html"):
        # Only its headers have been read.
        raise malformed_error(to_api_response(response, body=b""), request, None, "a web page")


def _raise_error(error: Exception, client: OpenAI | AsyncOpenAI, request: Request) -> NoReturn:
    """Raise the error for a download that the API refused, or that broke off."""
    if not isinstance(error, openai.OpenAIError):
        reason = redact(str(error) or type(error).__name__, secrets_of(client)).rstrip(".")
        message = f"The download of {request.subject} broke off: {reason}"
        raise RunRequestError(message, is_retryable=True, retry_rule=NO_RESPONSE.name) from error
    response = response_or_raise(error, client, request, None)
    _parse(response, client, request)
    raise malformed_error(to_api_response(response), request, None, "an unexpected response")


def _begins_again(error: RunRequestError, attempt: int, client: OpenAI | AsyncOpenAI) -> bool:
    """Return whether a download begins again; what failed before the first byte the SDK has repeated."""
    has_broken = error.retry_rule == NO_RESPONSE.name and is_retried(error, "hook")
    return has_broken and attempt <= client.max_retries


def _pause_after(attempt: int) -> float:
    return min(0.25 * 2.0**attempt, _LONGEST_PAUSE)
