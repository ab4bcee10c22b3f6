"""Endpoints of the Files API.

See https://platform.openai.com/docs/api-reference/files.
"""

from __future__ import annotations

from dataclasses import dataclass
from email.message import Message
from email.parser import BytesHeaderParser

from airflow_provider_openai_run.sandbox.errors import APIError, missing
from airflow_provider_openai_run.sandbox.paging import Cursor, page
from airflow_provider_openai_run.sandbox.scripts import JsonObject
from airflow_provider_openai_run.sandbox.store import Store

#: The limits of a file, in bytes: of any, and of one with the purpose "batch".
MAX_BYTES = 512 * 1024 * 1024
MAX_BATCH_BYTES = 200 * 1024 * 1024
#: How long the files of batches are kept.
_BATCH_FILE_SECONDS = 30 * 24 * 3600
_PURPOSES = ("assistants", "batch", "evals", "fine-tune", "user_data", "vision")


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """
    A file.

    :param body: its JSON.
    :param content: its bytes.
    """

    body: JsonObject
    content: bytes


@dataclass(frozen=True, kw_only=True)
class _Part:
    """One part of a multipart body."""

    headers: Message
    content: bytes

    @property
    def name(self) -> str:
        return str(self.headers.get_param("name", "", "content-disposition"))


def create_file(store: Store, body: bytes, content_type: str) -> JsonObject:
    """
    Upload a file.

    :param store: the sandbox's data.
    :param body: the request body, ``multipart/form-data``.
    :param content_type: the request's ``content-type`` header.
    """
    parts = {part.name: part for part in _parse_multipart(body, content_type)}
    file, purpose = parts.get("file"), parts.get("purpose")
    if file is None or file.headers.get_filename() is None:
        raise missing("file")
    if purpose is None:
        raise missing("purpose")
    return add_file(
        store,
        file.content,
        filename=str(file.headers.get_filename()),
        purpose=purpose.content.decode(errors="replace"),
    )


def add_file(store: Store, content: bytes, *, filename: str, purpose: str) -> JsonObject:
    """
    Store a file, and return its JSON.

    :param store: the sandbox's data.
    :param content: its bytes.
    :param filename: its name.
    :param purpose: one of the API's purposes; "batch_output" is for the sandbox's own.
    """
    if purpose not in (*_PURPOSES, "batch_output"):
        message = f"'{purpose}' is not one of {list(_PURPOSES)} - 'purpose'"
        raise APIError(400, message, param="purpose")
    limit = MAX_BATCH_BYTES if purpose == "batch" else MAX_BYTES
    if len(content) > limit:
        raise APIError(413, f"File is too large: {len(content)} bytes. The maximum is {limit}.", param="file")
    if not content and purpose != "batch_output":
        raise APIError(400, "File is empty.", param="file")
    if purpose == "batch" and not filename.endswith(".jsonl"):
        raise APIError(400, "Invalid file format for Batch API. Must be .jsonl")
    created_at = int(store.now())
    body: JsonObject = {
        "id": store.new_id("file").replace("_", "-"),
        "object": "file",
        "bytes": len(content),
        "created_at": created_at,
        "expires_at": created_at + _BATCH_FILE_SECONDS if purpose.startswith("batch") else None,
        "filename": filename,
        "purpose": purpose,
        "status": "processed",
        "status_details": None,
    }
    store.files[body["id"]] = StoredFile(body=body, content=content)
    return body


def list_files(store: Store, cursor: Cursor, purpose: str | None) -> JsonObject:
    """
    List the files.

    :param store: the sandbox's data.
    :param cursor: which page to return.
    :param purpose: the purpose of the files; any by default.
    """
    bodies = [file.body for file in store.files.values() if purpose in {None, file.body["purpose"]}]
    return page(bodies, cursor, kind="file")


def find_file(store: Store, file_id: str) -> StoredFile:
    """
    Return a stored file.

    :param store: the sandbox's data.
    :param file_id: ID of the file.
    :raises APIError: 404 if it does not exist.
    """
    if file_id not in store.files:
        raise APIError(404, f"No such File object: {file_id}", param="id")
    file: StoredFile = store.files[file_id]
    return file


def delete_file(store: Store, file_id: str) -> JsonObject:
    """
    Delete a file.

    :param store: the sandbox's data.
    :param file_id: ID of the file.
    """
    find_file(store, file_id)
    del store.files[file_id]
    return {"id": file_id, "object": "file", "deleted": True}


def _parse_multipart(body: bytes, content_type: str) -> list[_Part]:
    """Return the parts of a body; the standard library's parser is for mail, and slow with large files."""
    header = Message()
    header["content-type"] = content_type
    boundary = header.get_param("boundary")
    if header.get_content_type() != "multipart/form-data" or not isinstance(boundary, str):
        message = "Request body must be multipart/form-data with the fields 'file' and 'purpose'."
        raise APIError(400, message)
    delimiter = b"\r\n--" + boundary.encode("latin-1")
    parts = []
    # The first delimiter has no line before it, and what follows the last one starts with "--".
    for section in (b"\r\n" + body).split(delimiter)[1:-1]:
        headers, _, content = section.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        parts.append(_Part(headers=BytesHeaderParser().parsebytes(headers), content=content))
    return parts
