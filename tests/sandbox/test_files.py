"""Files, through the real SDK."""

from __future__ import annotations

import io

import openai
import pytest
from openai.types import FileObject

from airflow_provider_openai_run.sandbox import Sandbox, files
from tests.sandbox.conftest import Http

LINE = b'{"custom_id": "a", "method": "POST", "url": "/v1/responses", "body": {}}\n'


def upload(client: openai.OpenAI, content: bytes = LINE, name: str = "requests.jsonl") -> FileObject:
    return client.files.create(file=(name, io.BytesIO(content)), purpose="batch")


def test_an_uploaded_file_comes_back_unchanged(client: openai.OpenAI, sandbox: Sandbox) -> None:
    content = b"\r\n--not the boundary\r\n\r\n" + bytes(range(256)) * 300
    file = upload(client, content)
    assert (file.bytes, file.filename, file.purpose, file.object) == (
        len(content),
        "requests.jsonl",
        "batch",
        "file",
    )
    assert file.id.startswith("file-")
    assert file.expires_at == file.created_at + 30 * 24 * 3600
    assert client.files.content(file.id).content == content
    assert client.files.retrieve(file.id) == file
    assert sandbox.file_content(file.id) == content


def test_the_log_of_requests_has_the_size_of_an_upload_only(client: openai.OpenAI, sandbox: Sandbox) -> None:
    upload(client)
    logged = sandbox.requests[-1]
    assert "bytes of multipart/form-data" in logged.body
    assert "custom_id" not in str(logged.to_json())


def test_files_are_listed_by_purpose_and_deleted(client: openai.OpenAI, sandbox: Sandbox) -> None:
    del sandbox
    first, second = upload(client), upload(client)
    data = client.files.create(file=("a.txt", b"text"), purpose="user_data")
    assert [file.id for file in client.files.list(purpose="batch")] == [second.id, first.id]
    assert client.files.delete(first.id).deleted
    assert [file.id for file in client.files.list(order="asc")] == [second.id, data.id]
    with pytest.raises(openai.NotFoundError, match=f"No such File object: {first.id}"):
        client.files.content(first.id)


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"", "requests.jsonl", "File is empty"),
        (LINE, "requests.txt", "Must be .jsonl"),
    ],
)
def test_an_invalid_file_is_refused(client: openai.OpenAI, content: bytes, name: str, message: str) -> None:
    with pytest.raises(openai.BadRequestError, match=message):
        upload(client, content, name)


def test_a_batch_file_beyond_the_limit_is_refused(
    client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_BATCH_BYTES", 100)
    assert upload(client, b"x" * 100).bytes == 100
    with pytest.raises(openai.APIStatusError, match=r"101 bytes\. The maximum is 100") as caught:
        upload(client, b"x" * 101)
    assert caught.value.status_code == 413


def test_the_limit_of_a_batch_file_is_that_of_the_api() -> None:
    assert files.MAX_BATCH_BYTES == 200 * 1024 * 1024


@pytest.mark.parametrize(
    ("fields", "uploaded", "message"),
    [
        ({"purpose": "batch"}, {}, "multipart/form-data"),
        ({}, {"file": ("a.jsonl", LINE)}, "'purpose'"),
        ({"purpose": "batch"}, {"other": ("a.jsonl", LINE)}, "'file'"),
        ({"purpose": "novel"}, {"file": ("a.jsonl", LINE)}, "'novel' is not one of"),
    ],
)
def test_an_upload_without_its_fields_is_refused(
    http: Http, fields: dict[str, str], uploaded: dict[str, tuple[str, bytes]], message: str
) -> None:
    response = http("POST", "/v1/files", data=fields, files=uploaded)
    assert response.status_code == 400
    assert message in response.json()["error"]["message"]
