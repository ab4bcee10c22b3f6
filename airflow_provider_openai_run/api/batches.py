"""The Batch API: ``/batches/{batch_id}``, a file of requests that OpenAI carries out within a day.

https://platform.openai.com/docs/api-reference/batch and, for the input and output files,
https://platform.openai.com/docs/guides/batch. A batch has no steps: its results are lines of two files.
"""

from __future__ import annotations

from collections.abc import Sequence

from airflow_provider_openai_run.api.base import Request, RunApi
from airflow_provider_openai_run.api.parsing import (
    dict_or_none,
    list_or_none,
    parse_error,
    parse_usage,
    text_or_none,
    unix_seconds,
)
from airflow_provider_openai_run.api.responses import USAGE_NAMES
from airflow_provider_openai_run.types.json import Json
from airflow_provider_openai_run.types.run import Run, RunError
from airflow_provider_openai_run.types.run_ref import RunRef

_PAGE_SIZE = "100"
#: How many errors of an input file are kept, of possibly one for each of its lines.
_MAX_ERRORS = 20


class BatchesApi(RunApi):
    """The Batch API: a batch stands alone, and its requests have no ids of their own."""

    name = "batches"
    title = "Batch API"
    #: A batch takes minutes to a day.
    max_poll_interval = 300.0

    def retrieve(self, ref: RunRef, include: Sequence[str] = ()) -> Request:  # noqa: ARG002 - it has none
        """Return the request for the batch."""
        return Request("GET", f"/batches/{ref.run_id}")

    def create(self, parent_id: str | None, params: dict[str, Json]) -> Request:  # noqa: ARG002 - see there
        """
        Return the request that creates a batch.

        :param parent_id: not used; batches stand alone.
        :param params: the body: ``input_file_id``, and ``metadata`` or others of
            https://platform.openai.com/docs/api-reference/batch/create. ``endpoint`` is ``/v1/responses`` and
            ``completion_window`` ``24h`` unless it says otherwise.
        """
        body: dict[str, Json] = {"endpoint": "/v1/responses", "completion_window": "24h", **params}
        return Request("POST", "/batches", body=body, subject="a batch")

    def list_all(self, after: str | None) -> Request:
        """Return the request for up to 100 batches of the project before ``after``, newest first."""
        query = {"limit": _PAGE_SIZE}
        if after is not None:
            query["after"] = after
        return Request("GET", "/batches", query=query, required_key="data", subject="the list of batches")

    def cancel(self, ref: RunRef) -> Request:
        """Return the request that cancels the batch, which is ``cancelling`` for up to ten minutes."""
        return Request("POST", f"/batches/{ref.run_id}/cancel")

    def read_run(self, body: dict[str, Json]) -> Run:
        """Return the run that a batch object describes; it has no steps."""
        input_file_id = text_or_none(body.get("input_file_id"))
        return Run(
            id=str(text_or_none(body["id"])),
            api=self.name,
            model=text_or_none(body.get("model")),
            file_ids=[input_file_id] if input_file_id else [],
            metadata=dict_or_none(body.get("metadata")),
            status=text_or_none(body.get("status")),
            created_at=unix_seconds(body.get("created_at")),
            started_at=unix_seconds(body.get("in_progress_at")),
            completed_at=unix_seconds(body.get("completed_at")),
            object=text_or_none(body.get("object")),
            usage=parse_usage(body.get("usage"), USAGE_NAMES),
            steps=(),
            last_error=_parse_errors(body.get("errors")),
            failed_at=unix_seconds(body.get("failed_at")),
            cancelled_at=unix_seconds(body.get("cancelled_at")),
            expires_at=unix_seconds(body.get("expires_at")),
            endpoint=text_or_none(body.get("endpoint")),
            completion_window=text_or_none(body.get("completion_window")),
            request_counts=dict_or_none(body.get("request_counts")),
            input_file_id=input_file_id,
            output_file_id=text_or_none(body.get("output_file_id")),
            error_file_id=text_or_none(body.get("error_file_id")),
            finalizing_at=unix_seconds(body.get("finalizing_at")),
            cancelling_at=unix_seconds(body.get("cancelling_at")),
            expired_at=unix_seconds(body.get("expired_at")),
        )


def _parse_errors(value: Json) -> RunError | None:
    """
    Return the first error of a batch, with its line and how many more there are; None if there is none.

    :param value: the list object ``errors``. Its items are ``{code, message, line, param}``; the first 20 are
        the details ``data``.
    """
    data = list_or_none(value.get("data")) if isinstance(value, dict) else list_or_none(value)
    if not data:
        return parse_error(value) if isinstance(value, str) else None
    first = parse_error(data[0]) or RunError()
    line = data[0].get("line") if isinstance(data[0], dict) else None
    message = first.message or "the API gave no message"
    if isinstance(line, int):
        message = f"line {line:,}: {message}"
    if len(data) > 1:
        message = f"{message} ({len(data) - 1:,} more)"
    return RunError(code=first.code, message=message, details={"data": data[:_MAX_ERRORS]})
