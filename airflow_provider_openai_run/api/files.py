"""The Files API: ``/files``, where the input of a batch is uploaded and its results are downloaded.

https://platform.openai.com/docs/api-reference/files.
"""

from __future__ import annotations

from airflow_provider_openai_run.api.base import Request
from airflow_provider_openai_run.types.run_ref import check_id


def upload_file(filename: str) -> Request:
    """
    Return the request that uploads a file; its multipart body is not part of it.

    :param filename: the file's name, for messages.
    """
    return Request("POST", "/files", subject=f"the upload of {filename}")


def download_file(file_id: str) -> Request:
    """
    Return the request for the content of a file, whose response is no JSON.

    :param file_id: the file.
    :raises InvalidRunReferenceError: for an id that cannot be used in a request.
    """
    check_id("file_id", file_id)
    return Request("GET", f"/files/{file_id}/content", subject=f"the content of {file_id}")
