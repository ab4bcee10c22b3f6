"""Everything the sandbox remembers."""

from __future__ import annotations

import itertools
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_openai_run.sandbox.builtin_scripts import BUILTIN_SCRIPTS
from airflow_provider_openai_run.sandbox.clock import Clock
from airflow_provider_openai_run.sandbox.errors import APIError, invalid_type
from airflow_provider_openai_run.sandbox.scripts import Json, Script, read_script
from airflow_provider_openai_run.sandbox.timeline import RunTimeline

#: The metadata key of a run or a response that chooses its script.
SCRIPT_KEY = "sandbox_script"


@dataclass(kw_only=True)
class Thread:
    """
    A thread.

    :param body: its JSON.
    :param messages: the messages that were put into it, oldest first; those of its runs follow from the runs.
    """

    body: Json
    messages: list[Json] = field(default_factory=list)


@dataclass(kw_only=True)
class StoredRun:
    """
    A run of a thread.

    :param life: its way through its scripts.
    :param body: the part of its JSON that does not change with time.
    :param seeded: JSON to answer with as it is, in place of what follows from the script.
    :param seeded_steps: the same for its steps, oldest first.
    """

    life: RunTimeline
    body: Json
    seeded: Json | None = None
    seeded_steps: list[Json] = field(default_factory=list)


@dataclass(kw_only=True)
class StoredResponse:
    """
    A response.

    :param life: its way through its script.
    :param body: the part of its JSON that does not change with time.
    :param input_items: what it was made from, oldest first.
    :param seeded: JSON to answer with as it is, in place of what follows from the script.
    """

    life: RunTimeline
    body: Json
    input_items: list[Json] = field(default_factory=list)
    seeded: Json | None = None


class Store:
    """
    Everything the sandbox remembers; whoever reads or changes it holds its lock.

    :param clock: the time that runs live by.
    :param default_script: what becomes of runs that do not choose a script.
    """

    def __init__(self, *, clock: Clock, default_script: Script | str = "completed") -> None:
        self.lock = threading.RLock()
        self.clock = clock
        self.scripts: dict[str, Script] = dict(BUILTIN_SCRIPTS)
        self._first_default = read_script(default_script, self.scripts)
        self.default_script = self._first_default
        self.assistants: dict[str, Json] = {}
        self.threads: dict[str, Thread] = {}
        self.runs: dict[str, StoredRun] = {}
        self.responses: dict[str, StoredResponse] = {}
        self.conversations: dict[str, Json] = {}
        self._numbers = itertools.count(1)

    def now(self) -> float:
        """Tell the time in epoch seconds."""
        return self.clock.now()

    def new_id(self, prefix: str) -> str:
        """
        Make an id that was not there before.

        :param prefix: how it begins.
        """
        return f"{prefix}_{next(self._numbers):06d}{secrets.token_hex(9)}"

    def script_for(self, metadata: Mapping[str, str], default: Script | None = None) -> Script:
        """
        Choose the script of something that is being created.

        :param metadata: its metadata.
        :param default: what else, if not the store's default.
        :raises APIError: 400 when it names a script that is none.
        """
        wanted = metadata.get(SCRIPT_KEY)
        if wanted is None:
            return default or self.default_script
        try:
            return read_script(wanted, self.scripts)
        except ValueError as error:
            raise APIError(400, f"Sandbox: {error}", param=f"metadata.{SCRIPT_KEY}") from error

    def reset(self) -> None:
        """Forget everything since the start, scripts included; the clock goes on."""
        self.scripts = dict(BUILTIN_SCRIPTS)
        self.default_script = self._first_default
        for kept in (self.assistants, self.threads, self.runs, self.responses, self.conversations):
            kept.clear()


def read_metadata(body: Mapping[str, Any]) -> dict[str, str]:
    """
    Read the metadata of a request.

    :param body: the request's JSON.
    :raises APIError: 400 when it is beyond what the API takes.
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
