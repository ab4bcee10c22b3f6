"""Endpoints of the Batch API, for the endpoint ``/v1/responses``.

See https://platform.openai.com/docs/api-reference/batch. As with runs, nothing runs in the background: the
state of a batch is computed for each request, and so are the answers of the requests that are done by then.
"""

from __future__ import annotations

import math

from airflow_provider_openai_run.sandbox.batch_input import batch_error, read_batch_input
from airflow_provider_openai_run.sandbox.batch_results import BatchResults
from airflow_provider_openai_run.sandbox.batch_scripts import BatchScript
from airflow_provider_openai_run.sandbox.errors import APIError, missing, not_found
from airflow_provider_openai_run.sandbox.files import add_file, find_file
from airflow_provider_openai_run.sandbox.paging import Cursor, page
from airflow_provider_openai_run.sandbox.scripts import JsonObject
from airflow_provider_openai_run.sandbox.store import Store, read_metadata

_ENDPOINT = "/v1/responses"
_WINDOW_SECONDS = 24 * 3600.0
#: The time of each status.
_TIMES = {
    "in_progress": "in_progress_at",
    "finalizing": "finalizing_at",
    "completed": "completed_at",
    "failed": "failed_at",
    "expired": "expired_at",
    "cancelling": "cancelling_at",
    "cancelled": "cancelled_at",
}
_ENDED = ("completed", "failed", "expired", "cancelled")


class StoredBatch:
    """
    A batch.

    :param body: the part of its JSON that does not change with time.
    :param script: its script.
    :param content: the content of its input file.
    :param created_at: time in epoch seconds.
    """

    def __init__(self, *, body: JsonObject, script: BatchScript, content: bytes, created_at: float) -> None:
        self.body = body
        self.script = script
        self.created_at = created_at
        self.expires_at = created_at + _WINDOW_SECONDS
        self.cancelled_after: float | None = None
        self.input = read_batch_input(content, body["endpoint"])
        self.results = BatchResults(body["id"], self.input.requests, script)
        self.output_files: JsonObject | None = None

    @property
    def _errors(self) -> list[JsonObject]:
        if self.input.errors or self.script.ending != "failed":
            return self.input.errors
        return [batch_error("token_limit_exceeded", "Enqueued token limit reached for the organization.")]

    def done_by(self, now: float) -> int:
        """
        Return how many requests are done.

        :param now: time in epoch seconds.
        """
        total, seconds = len(self.input.requests), self.script.in_progress
        worked = now - self.created_at - self.script.validating
        if worked < 0:
            return 0
        done = total if worked >= seconds else math.floor(total * worked / seconds)
        return min(done, self._done_before_expiry) if self.script.ending == "expired" else done

    @property
    def _done_before_expiry(self) -> int:
        total = len(self.input.requests)
        return total // 2 if self.script.done is None else min(self.script.done, total)

    def changes(self, now: float) -> list[tuple[float, str]]:
        """
        Return the times of its statuses until now, oldest first.

        :param now: time in epoch seconds.
        """
        return [change for change in self._all_changes() if change[0] <= now]

    def _all_changes(self) -> list[tuple[float, str]]:
        begin = self.created_at + self.script.validating
        changes = [(self.created_at, "validating")]
        if self._errors:
            return self._until_cancel([*changes, (begin, "failed")])
        end = begin + self.script.in_progress
        changes.append((begin, "in_progress"))
        if self.script.ending == "expired":
            changes.append((end, "expired"))
        else:
            changes += [(end, "finalizing"), (end + self.script.finalizing, "completed")]
        in_time = [change for change in changes if change[0] < self.expires_at]
        if len(in_time) < len(changes):
            in_time.append((self.expires_at, "expired"))
        return self._until_cancel(in_time)

    def _until_cancel(self, changes: list[tuple[float, str]]) -> list[tuple[float, str]]:
        if self.cancelled_after is None:
            return changes
        kept = [change for change in changes if change[0] <= self.cancelled_after]
        end = self.cancelled_after + self.script.cancelling
        return [*kept, (self.cancelled_after, "cancelling"), (end, "cancelled")]


def create_batch(store: Store, body: JsonObject, *, script: BatchScript | None = None) -> JsonObject:
    """
    Create a batch.

    :param store: the sandbox's data.
    :param body: the request body.
    :param script: the script, unless the metadata selects one.
    """
    for name in ("input_file_id", "endpoint", "completion_window"):
        if not body.get(name):
            raise missing(name)
    if body["endpoint"] != _ENDPOINT:
        message = f"Sandbox: batches are for the endpoint '{_ENDPOINT}' only, not '{body['endpoint']}'."
        raise APIError(400, message, param="endpoint", code="invalid_value")
    if body["completion_window"] != "24h":
        message = f"Invalid value: '{body['completion_window']}'. Supported values are: '24h'."
        raise APIError(400, message, param="completion_window", code="invalid_value")
    metadata = read_metadata(body)
    try:
        file = find_file(store, str(body["input_file_id"]))
    except APIError as error:
        raise APIError(400, error.message, param="input_file_id") from error
    if file.body["purpose"] != "batch":
        message = f"The file '{file.body['id']}' has the purpose '{file.body['purpose']}', not 'batch'."
        raise APIError(400, message, param="input_file_id")
    batch_id = store.new_id("batch")
    fields = {
        "id": batch_id,
        "endpoint": _ENDPOINT,
        "input_file_id": file.body["id"],
        "completion_window": "24h",
        "metadata": metadata or None,
    }
    selected = store.batch_script_for(metadata, script)
    batch = StoredBatch(body=fields, script=selected, content=file.content, created_at=store.now())
    store.batches[batch_id] = batch
    return batch_json(store, batch)


def get_batch(store: Store, batch_id: str) -> JsonObject:
    """
    Retrieve a batch.

    :param store: the sandbox's data.
    :param batch_id: ID of the batch.
    """
    return batch_json(store, find_batch(store, batch_id))


def list_batches(store: Store, cursor: Cursor) -> JsonObject:
    """
    List the batches, newest first.

    :param store: the sandbox's data.
    :param cursor: which page to return.
    """
    answer = page([{"id": batch_id} for batch_id in store.batches], cursor, kind="batch")
    return {**answer, "data": [get_batch(store, item["id"]) for item in answer["data"]]}


def cancel_batch(store: Store, batch_id: str) -> JsonObject:
    """
    Cancel a batch. A second cancellation returns the same JSON.

    :param store: the sandbox's data.
    :param batch_id: ID of the batch.
    """
    batch, now = find_batch(store, batch_id), store.now()
    status = batch.changes(now)[-1][1]
    if status in _ENDED:
        raise APIError(409, f"Cannot cancel a batch with status '{status}'.")
    if batch.cancelled_after is None:
        batch.cancelled_after = now
    return batch_json(store, batch)


def find_batch(store: Store, batch_id: str) -> StoredBatch:
    """
    Return a stored batch.

    :param store: the sandbox's data.
    :param batch_id: ID of the batch.
    :raises APIError: 404 if it does not exist.
    """
    if batch_id not in store.batches:
        raise not_found("batch", batch_id)
    batch: StoredBatch = store.batches[batch_id]
    return batch


def batch_json(store: Store, batch: StoredBatch) -> JsonObject:
    """
    Return the JSON of a batch, after carrying out the requests that are done by now.

    :param store: the sandbox's data.
    :param batch: the batch.
    """
    changes = batch.changes(store.now())
    status = changes[-1][1]
    times: JsonObject = dict.fromkeys(_TIMES.values())
    times |= {_TIMES[name]: int(at) for at, name in changes if name in _TIMES}
    errors = batch._errors if status == "failed" else []  # noqa: SLF001 - of the class above
    is_valid = any(name == "in_progress" for _, name in changes)
    if is_valid:
        stop = next((at for at, name in changes if name in ("cancelling", "expired")), store.now())
        batch.results.carry_out(store, batch.done_by(stop))
    if is_valid and status in _ENDED and batch.output_files is None:
        batch.output_files = _finish(store, batch, status)
    files = batch.output_files or {"output_file_id": None, "error_file_id": None}
    return {
        "object": "batch",
        **batch.body,
        "model": batch.input.model,
        "errors": {"object": "list", "data": errors} if errors else None,
        "status": status,
        **files,
        "created_at": int(batch.created_at),
        "expires_at": int(batch.expires_at),
        **times,
        "request_counts": batch.results.counts(is_valid=is_valid),
        "usage": batch.results.usage,
    }


def _finish(store: Store, batch: StoredBatch, status: str) -> JsonObject:
    """Store the files of a batch that has ended, and return their IDs."""
    if status != "completed":
        batch.results.give_up(status)
    files: JsonObject = {}
    for name, content in (("output", batch.results.output), ("error", batch.results.errors)):
        filename = f"{batch.body['id']}_{name}.jsonl"
        stored = add_file(store, content, filename=filename, purpose="batch_output") if content else None
        files[f"{name}_file_id"] = stored["id"] if stored else None
    return files
