"""The sandbox's data: threads, runs, responses, files, batches and scripts, in memory."""

from __future__ import annotations

import contextlib
import itertools
import secrets
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_openai_run.sandbox.batch_scripts import BatchScript, read_batch_script
from airflow_provider_openai_run.sandbox.builtin_scripts import BUILTIN_SCRIPTS
from airflow_provider_openai_run.sandbox.clock import Clock
from airflow_provider_openai_run.sandbox.errors import APIError, invalid_type
from airflow_provider_openai_run.sandbox.scripts import JsonObject, Script, read_script
from airflow_provider_openai_run.sandbox.timeline import RunTimeline

#: The metadata key that selects the script of a run, a response or a batch.
SCRIPT_KEY = "sandbox_script"


@dataclass(kw_only=True)
class Thread:
    """
    A thread.

    :param body: its JSON.
    :param messages: its created messages, oldest first. The messages of runs are derived from the runs.
    """

    body: JsonObject
    messages: list[JsonObject] = field(default_factory=list)


@dataclass(kw_only=True)
class StoredRun:
    """
    A run of a thread.

    :param timeline: its statuses and steps over time.
    :param body: the part of its JSON that does not change with time.
    :param seeded: JSON to return unchanged, instead of the script's.
    :param seeded_steps: JSON of the steps to return unchanged, oldest first.
    """

    timeline: RunTimeline
    body: JsonObject
    seeded: JsonObject | None = None
    seeded_steps: list[JsonObject] = field(default_factory=list)


@dataclass(kw_only=True)
class StoredResponse:
    """
    A response.

    :param timeline: its status and steps over time.
    :param body: the part of its JSON that does not change with time.
    :param input_items: its input items, oldest first.
    :param seeded: JSON to return unchanged, instead of the script's.
    """

    timeline: RunTimeline
    body: JsonObject
    input_items: list[JsonObject] = field(default_factory=list)
    seeded: JsonObject | None = None


class Store:
    """
    The sandbox's data. Hold ``lock`` to read or change it.

    :param clock: the clock of the runs.
    :param default_script: script of runs that select none.
    """

    def __init__(self, *, clock: Clock, default_script: Script | str = "completed") -> None:
        self.lock = threading.RLock()
        self.clock = clock
        self.scripts: dict[str, Script] = dict(BUILTIN_SCRIPTS)
        self._initial_default_script = read_script(default_script, self.scripts)
        self.default_script = self._initial_default_script
        self.assistants: dict[str, JsonObject] = {}
        self.threads: dict[str, Thread] = {}
        self.runs: dict[str, StoredRun] = {}
        self.responses: dict[str, StoredResponse] = {}
        self.conversations: dict[str, JsonObject] = {}
        # The classes of files and batches import this module.
        self.files: dict[str, Any] = {}
        self.batches: dict[str, Any] = {}
        #: The responses that were ever created, also those deleted since: ID, time, metadata and origin.
        self.created_responses: list[JsonObject] = []
        self.honours_idempotency_keys = False
        #: The responses that were created with an idempotency key, by the key.
        self.response_ids_by_key: dict[str, str] = {}
        self.default_batch_script = read_batch_script("completed")
        self._numbers = itertools.count(1)
        self._seconds_back = 0.0

    def now(self) -> float:
        """Return the clock's time in epoch seconds."""
        return self.clock.now() - self._seconds_back

    @contextlib.contextmanager
    def set_back(self, seconds: float) -> Iterator[None]:
        """
        Create objects as if some time ago.

        :param seconds: how many seconds ago.
        """
        with self.lock:
            self._seconds_back = seconds
            try:
                yield
            finally:
                self._seconds_back = 0.0

    def new_id(self, prefix: str) -> str:
        """
        Return a new ID.

        :param prefix: its prefix, e.g. "run".
        """
        return f"{prefix}_{next(self._numbers):06d}{secrets.token_hex(9)}"

    def script_for(self, metadata: Mapping[str, str], default: Script | None = None) -> Script:
        """
        Return the script of a new run or response.

        :param metadata: its metadata.
        :param default: script to use if the metadata selects none; the store's default script if None.
        :raises APIError: 400 if the selected script is invalid.
        """
        selected = metadata.get(SCRIPT_KEY)
        if selected is None:
            return default or self.default_script
        try:
            return read_script(selected, self.scripts)
        except ValueError as error:
            raise APIError(400, f"Sandbox: {error}", param=f"metadata.{SCRIPT_KEY}") from error

    def batch_script_for(
        self, metadata: Mapping[str, str], default: BatchScript | None = None
    ) -> BatchScript:
        """
        Return the script of a new batch.

        :param metadata: its metadata.
        :param default: script to use if the metadata selects none; the store's default script if None.
        :raises APIError: 400 if the selected script is invalid.
        """
        selected = metadata.get(SCRIPT_KEY)
        if selected is None:
            return default or self.default_batch_script
        try:
            return read_batch_script(selected)
        except (TypeError, ValueError) as error:
            raise APIError(400, f"Sandbox: {error}", param=f"metadata.{SCRIPT_KEY}") from error

    def reset(self) -> None:
        """Delete all data and added scripts. The clock goes on."""
        self.scripts = dict(BUILTIN_SCRIPTS)
        self.default_script = self._initial_default_script
        self.default_batch_script = read_batch_script("completed")
        self.honours_idempotency_keys = False
        self.created_responses.clear()
        for table in (
            *(self.assistants, self.threads, self.runs, self.responses, self.conversations),
            *(self.files, self.batches, self.response_ids_by_key),
        ):
            table.clear()


def read_metadata(body: Mapping[str, Any]) -> dict[str, str]:
    """
    Return the metadata of a request.

    :param body: the request body.
    :raises APIError: 400 if it is beyond the API's limits.
    """
    metadata = body.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise invalid_type("metadata", "an object", metadata)
    if len(metadata) > 16:
        message = f"Invalid 'metadata': too many properties. Expected at most 16, but got {len(metadata)}."
        raise APIError(400, message, param="metadata", code="object_above_max_properties")
    for key, value in metadata.items():
        if not isinstance(value, str):
            raise invalid_type(f"metadata.{key}", "a string", value)
        for what, text, bound in (("key", key, 64), ("value", value, 512)):
            if len(text) > bound:
                message = f"Invalid 'metadata.{key}': {what} too long. Expected at most {bound} characters."
                raise APIError(400, message, param=f"metadata.{key}", code="string_above_max_length")
    return metadata
