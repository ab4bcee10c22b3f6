"""Files are uploaded and downloaded piece by piece, and a download is whole or absent."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_openai_run.connection import file_transfer
from airflow_provider_openai_run.exceptions import (
    InvalidRunReferenceError,
    RunAuthenticationError,
    RunNotFoundError,
    RunRequestError,
)
from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook
from airflow_provider_openai_run.sandbox import Sandbox
from tests.fake_clock import FakeClock
from tests.fake_http_server import fake_http_server
from tests.hooks.conftest import Call
from tests.sandbox_fixtures import KEY, Connect

CONTENT = bytes(range(256)) * 20_000


def in_pieces(content: bytes) -> Iterator[bytes]:
    for start in range(0, len(content), 1000):
        yield content[start : start + 1000]


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def store(sandbox: Sandbox, call: Call, content: bytes = CONTENT) -> str:
    file_id: str = call("upload_file", io.BytesIO(content)).id
    return file_id


def test_the_content_of_a_path_is_uploaded(sandbox: Sandbox, call: Call, tmp_path: Path) -> None:
    path = tmp_path / "questions.jsonl"
    path.write_bytes(CONTENT)
    for source in (path, str(path)):
        file = call("upload_file", source)
        assert (file.filename, file.purpose, file.bytes) == ("questions.jsonl", "batch", len(CONTENT))
        assert sandbox.file_content(file.id) == CONTENT


def test_an_object_storage_path_is_uploaded(sandbox: Sandbox, call: Call, tmp_path: Path) -> None:
    from airflow.sdk import ObjectStoragePath

    path = ObjectStoragePath(f"file://{tmp_path}/questions.jsonl")
    path.write_bytes(CONTENT)
    file = call("upload_file", path)
    assert (file.filename, sandbox.file_content(file.id)) == ("questions.jsonl", CONTENT)


def test_an_open_file_is_uploaded_and_stays_open(sandbox: Sandbox, call: Call, tmp_path: Path) -> None:
    path = tmp_path / "questions.jsonl"
    path.write_bytes(CONTENT)
    with path.open("rb") as opened:
        file = call("upload_file", opened)
        assert not opened.closed
    assert (file.filename, sandbox.file_content(file.id)) == ("questions.jsonl", CONTENT)


def test_pieces_are_uploaded_under_a_name(sandbox: Sandbox, call: Call) -> None:
    file = call("upload_file", in_pieces(CONTENT))
    assert (file.filename, sandbox.file_content(file.id)) == ("requests.jsonl", CONTENT)
    named = call("upload_file", in_pieces(b"text"), "user_data", filename="notes.txt")
    assert (named.filename, named.purpose) == ("notes.txt", "user_data")


def test_a_retried_upload_sends_the_file_from_its_start(
    sandbox: Sandbox, call: Call, connect: Connect
) -> None:
    connect(max_retries=1)
    sandbox.faults.add("unavailable", method="POST", path="/files", times=1)
    file = call("upload_file", in_pieces(CONTENT))
    assert sandbox.file_content(file.id) == CONTENT
    assert sandbox.count("POST", "/files") == 2


def test_a_refused_upload_names_the_file_and_the_reason(sandbox: Sandbox, call: Call) -> None:
    del sandbox
    message = r"HTTP 400 for the upload of notes\.txt: Invalid file format for Batch API"
    with pytest.raises(RunRequestError, match=message) as caught:
        call("upload_file", io.BytesIO(b"x"), filename="notes.txt")
    assert (caught.value.http_status, caught.value.is_retryable) == (400, False)


def test_a_file_that_does_not_exist_is_not_uploaded(sandbox: Sandbox, call: Call, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        call("upload_file", tmp_path / "nothing.jsonl")
    assert sandbox.requests == []


def test_an_upload_reads_the_file_piece_by_piece(connect: Connect, tmp_path: Path) -> None:
    path = tmp_path / "large.jsonl"
    with path.open("wb") as file:
        file.truncate(64 * 1024 * 1024)
    with fake_http_server() as server:
        # The server of this process reads the body whole; only the client's own memory is compared.
        server.reply = lambda _: (200, {"id": "file-1"})
        connect(host=f"{server.url}/v1")
        pieces: list[int] = []
        original = file_transfer._upload_arguments

        def spy(opened: Any, name: str, purpose: str) -> dict[str, Any]:
            read = opened.read
            reader = type("Reader", (), {"fileno": opened.fileno, "seek": opened.seek, "name": opened.name})()

            def read_piece(size: int = -1) -> bytes:
                pieces.append(size)
                data: bytes = read(size)
                return data

            reader.read = read_piece
            return original(reader, name, purpose)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(file_transfer, "_upload_arguments", spy)
            hook = OpenAIRunHook()
            hook.upload_file(path)
            hook.conn.close()
    assert pieces
    assert 0 < max(pieces) <= 1024 * 1024
    assert -1 not in pieces


def test_a_downloaded_file_has_the_content(sandbox: Sandbox, call: Call, tmp_path: Path) -> None:
    target = tmp_path / "results.jsonl"
    target.write_text("of yesterday")
    assert call("download_file", store(sandbox, call), target) == len(CONTENT)
    assert target.read_bytes() == CONTENT
    assert names_in(tmp_path) == ["results.jsonl"]


def test_an_empty_file_is_downloaded(sandbox: Sandbox, call: Call, tmp_path: Path) -> None:
    with fake_http_server() as server:
        server.reply = lambda _: (200, iter(()), {"content-type": "application/octet-stream"})
        hook = OpenAIRunHook()
        hook.conn.base_url = f"{server.url}/v1"
        assert hook.download_file("file-1", tmp_path / "results.jsonl") == 0
        hook.conn.close()
    assert (tmp_path / "results.jsonl").read_bytes() == b""


def test_a_download_that_breaks_begins_again(
    sandbox: Sandbox, call: Call, connect: Connect, fake_clock: FakeClock, tmp_path: Path
) -> None:
    file_id = store(sandbox, call)
    connect(max_retries=2)
    sandbox.faults.add("cut", path="/content", times=2)
    assert call("download_file", file_id, str(tmp_path / "results.jsonl")) == len(CONTENT)
    assert (tmp_path / "results.jsonl").read_bytes() == CONTENT
    assert sandbox.count("GET", "/content") == 3
    assert fake_clock.slept == [0.5, 1.0]


def test_a_download_that_breaks_too_often_leaves_nothing(
    sandbox: Sandbox, call: Call, connect: Connect, fake_clock: FakeClock, tmp_path: Path
) -> None:
    del fake_clock
    file_id, target = store(sandbox, call), tmp_path / "results.jsonl"
    target.write_text("of yesterday")
    connect(max_retries=1)
    sandbox.faults.add("cut", path="/content")
    with pytest.raises(
        RunRequestError, match=f"The download of the content of {file_id} broke off"
    ) as caught:
        call("download_file", file_id, target)
    assert caught.value.is_retryable
    assert sandbox.count("GET", "/content") == 2
    assert target.read_text() == "of yesterday"
    assert names_in(tmp_path) == ["results.jsonl"]


def test_a_download_that_takes_longer_than_its_limit_breaks_off(
    sandbox: Sandbox, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file_id = store(sandbox, call)
    monkeypatch.setattr(file_transfer, "DOWNLOAD_TIMEOUT", 1e-9)
    with pytest.raises(RunRequestError, match="broke off: the body did not end within"):
        call("download_file", file_id, tmp_path / "results.jsonl")


def test_an_unknown_file_is_not_found(sandbox: Sandbox, call: Call, tmp_path: Path) -> None:
    del sandbox
    with pytest.raises(RunNotFoundError, match="for the content of file-none: No such File object"):
        call("download_file", "file-none", tmp_path / "results.jsonl")
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("bad", ["", "a/b", "..", "file?x", None, 5])
def test_an_id_that_would_change_the_path_is_refused(
    sandbox: Sandbox, call: Call, tmp_path: Path, bad: Any
) -> None:
    with pytest.raises(InvalidRunReferenceError, match="file_id"):
        call("download_file", bad, tmp_path / "results.jsonl")
    assert sandbox.requests == []


def test_a_wrong_key_is_reported_without_the_key(connect: Connect, call: Call, tmp_path: Path) -> None:
    connect(password="wrong-" + KEY)
    for method, arguments in (
        ("upload_file", (io.BytesIO(b"x"),)),
        ("download_file", ("file-1", tmp_path / "r")),
    ):
        with pytest.raises(RunAuthenticationError, match="HTTP 401") as caught:
            call(method, *arguments)
        assert "wrong-" + KEY not in str(caught.value)


def test_a_page_of_a_proxy_is_no_file(connect: Connect, call: Call, tmp_path: Path) -> None:
    with fake_http_server() as server:
        server.reply = lambda _: (200, "<html>Please log in</html>")
        connect(host=f"{server.url}/v1")
        with pytest.raises(RunRequestError, match="The API returned a web page for the content of file-1"):
            call("download_file", "file-1", tmp_path / "results.jsonl")
    assert names_in(tmp_path) == []


def test_a_target_that_cannot_be_written_is_reported_as_such(
    sandbox: Sandbox, call: Call, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError):
        call("download_file", store(sandbox, call), tmp_path / "no_folder" / "results.jsonl")


def test_a_download_needs_no_memory_for_the_whole_file(sandbox: Sandbox, call: Call, tmp_path: Path) -> None:
    del sandbox, call

    def chunks() -> Iterator[bytes]:
        for _ in range(512):
            yield b"x" * 65536

    with fake_http_server() as server:
        server.reply = lambda _: (200, chunks(), {"content-type": "application/octet-stream"})
        hook = OpenAIRunHook()
        hook.conn.base_url = f"{server.url}/v1"
        tracemalloc.start()
        try:
            size = hook.download_file("file-1", tmp_path / "results.jsonl")
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
            hook.conn.close()
    assert size == 512 * 65536
    assert peak < 16 * 1024 * 1024
