"""A run as plain frozen values, under the names the Terraform data source ``openai_run`` gave its attributes.

They are read from the API's JSON by :mod:`airflow_provider_openai_run.api`, have only JSON types, and
:meth:`Run.from_xcom` returns a run that equals the one of :meth:`Run.to_xcom`. Whatever a server sends, they
can be stored: ``types.storable`` says how values are replaced. Ids are cut to 1,000 characters, statuses,
types, codes and models to 200, and times beyond 64 bits are None.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Self

from airflow_provider_openai_run.types.json import Json
from airflow_provider_openai_run.types.status import RunState, classify_status
from airflow_provider_openai_run.types.storable import (
    MAX_ID_CHARACTERS,
    MAX_WORD_CHARACTERS,
    bounded_text,
    storable,
)

#: The seventeen documented attributes, in the order of the documentation.
DOCUMENTED_ATTRIBUTES = (
    "id",
    "thread_id",
    "assistant_id",
    "model",
    "instructions",
    "tools",
    "file_ids",
    "metadata",
    "status",
    "created_at",
    "started_at",
    "completed_at",
    "object",
    "usage",
    "steps",
    "last_error",
    "required_action",
)

#: The attributes that only batches have; they are in the XComs of batches only.
BATCH_ATTRIBUTES = (
    "endpoint",
    "completion_window",
    "request_counts",
    "input_file_id",
    "output_file_id",
    "error_file_id",
    "finalizing_at",
    "cancelling_at",
    "expired_at",
)

_IDS = (
    *("id", "thread_id", "assistant_id", "conversation_id", "previous_response_id"),
    *("input_file_id", "output_file_id", "error_file_id"),
)
_WORDS = ("api", "model", "status", "object", "type", "code", "endpoint", "completion_window")
_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")
_MAX_CHARACTERS = dict.fromkeys(_IDS, MAX_ID_CHARACTERS) | dict.fromkeys(_WORDS, MAX_WORD_CHARACTERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """
    Tokens that a run or a step used.

    :param prompt_tokens: tokens read; what the Responses API calls ``input_tokens``.
    :param completion_tokens: tokens written; what the Responses API calls ``output_tokens``.
    :param total_tokens: both.
    :param details: whatever else the API says about usage, under its own keys, such as
        ``prompt_tokens_details``; also a count that is not a number of 64 bits.
    """

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    details: dict[str, Json] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in _COUNTS:
            count = getattr(self, name)
            if count is not None and (not isinstance(count, int) or storable(count) is not count):
                # As text it would not have the type of its attribute.
                object.__setattr__(self, name, None)
                object.__setattr__(self, "details", {**self.details, name: count})
        _make_storable(self)

    def to_xcom(self) -> dict[str, Json]:
        """Return the usage as one flat JSON object, with the details beside the three counts."""
        return _flat(self)

    @classmethod
    def from_xcom(cls, value: dict[str, Any]) -> Self:
        """Return the object that :meth:`to_xcom` described."""
        return cls(**_unflat(cls, value))


@dataclass(frozen=True, slots=True, kw_only=True)
class RunError:
    """
    Why a run or a step failed.

    :param code: the API's code, which may be an undocumented one.
    :param message: the API's message.
    :param details: further keys of the API's error object.
    """

    code: str | None = None
    message: str | None = None
    details: dict[str, Json] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _make_storable(self)

    def to_xcom(self) -> dict[str, Json]:
        """Return the error as one flat JSON object."""
        return _flat(self)

    @classmethod
    def from_xcom(cls, value: dict[str, Any]) -> Self:
        """Return the object that :meth:`to_xcom` described."""
        return cls(**_unflat(cls, value))

    def __str__(self) -> str:
        return ": ".join(part for part in (self.code, self.message) if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStep:
    """
    One step of a run: a run step of the Assistants API, an output item of the Responses API.

    :param details: a JSON string that parses back to exactly what the API sent: the step's ``step_details``,
        or the whole output item.
    :param created_at: Unix seconds, like all the times here; None where the API gives none.
    """

    id: str | None
    object: str | None = None
    created_at: int | None = None
    type: str | None = None
    status: str | None = None
    details: str | None = None
    completed_at: int | None = None
    failed_at: int | None = None
    cancelled_at: int | None = None
    expires_at: int | None = None
    usage: Usage | None = None
    last_error: RunError | None = None

    def __post_init__(self) -> None:
        _make_storable(self)

    def to_xcom(self) -> dict[str, Json]:
        """Return the step as plain JSON."""
        return _plain(self)

    @classmethod
    def from_xcom(cls, value: dict[str, Any]) -> Self:
        """Return the object that :meth:`to_xcom` described."""
        return cls(**_values(cls, {"id": None, **value}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """
    A run: of the Assistants API, a response of the Responses API, or a batch of the Batch API.

    Every attribute is always there; it is None where the API has none. The documentation has a table of
    where each comes from. See https://platform.openai.com/docs/api-reference/runs/object,
    https://platform.openai.com/docs/api-reference/responses/object and
    https://platform.openai.com/docs/api-reference/batch/object.

    :param api: the name of the API it belongs to; None in what older versions wrote.
    :param steps: the run's steps, oldest first; None if they were not retrieved.
    :param file_ids: the API's ``file_ids``, or else the files of the run's tool resources.
    :param created_at: Unix seconds, like all the times here.
    :param tool_usage: how often the API's own tools were used, under their names, of a response; else None.
    :param conversation_id: the conversation a response belongs to; None for others.
    :param request_counts: the requests of a batch: ``{"total": …, "completed": …, "failed": …}``.
    :param output_file_id: the file with the results of a batch's successful requests, also of a batch that
        has expired or was cancelled; None before.
    :param error_file_id: the file with the other requests of the batch; None if there are none.
    :param raw: the API's own JSON; None unless ``include_raw`` is set.
    """

    id: str
    api: str | None = None
    thread_id: str | None = None
    assistant_id: str | None = None
    model: str | None = None
    instructions: Json = None
    tools: list[Json] | None = None
    file_ids: list[str] = field(default_factory=list)
    metadata: dict[str, Json] | None = None
    status: str | None = None
    created_at: int | None = None
    started_at: int | None = None
    completed_at: int | None = None
    object: str | None = None
    usage: Usage | None = None
    tool_usage: dict[str, Json] | None = None
    steps: tuple[RunStep, ...] | None = None
    last_error: RunError | None = None
    required_action: dict[str, Json] | None = None
    incomplete_details: dict[str, Json] | None = None
    failed_at: int | None = None
    cancelled_at: int | None = None
    expires_at: int | None = None
    conversation_id: str | None = None
    previous_response_id: str | None = None
    endpoint: str | None = None
    completion_window: str | None = None
    request_counts: dict[str, Json] | None = None
    input_file_id: str | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    finalizing_at: int | None = None
    cancelling_at: int | None = None
    expired_at: int | None = None
    raw: dict[str, Json] | None = None

    def __post_init__(self) -> None:
        _make_storable(self)

    @property
    def state(self) -> RunState:
        """The state that the run's status means."""
        return classify_status(self.status)

    @property
    def is_terminal(self) -> bool:
        """Whether the run has ended."""
        return self.state.is_terminal

    @property
    def is_successful(self) -> bool:
        """Whether the run has completed."""
        return self.state is RunState.SUCCEEDED

    @property
    def reason(self) -> str | None:
        """Why the run ended unsuccessfully, in the API's words; None if the API gave no reason."""
        if self.last_error is not None and str(self.last_error):
            return str(self.last_error)
        cause = (self.incomplete_details or {}).get("reason")
        return f"incomplete: {cause}" if cause else None

    @property
    def failing_step(self) -> RunStep | None:
        """The last step that has an error or ended unsuccessfully."""
        for step in reversed(self.steps or ()):
            ended_unsuccessfully = (
                classify_status(step.status).is_terminal
                and classify_status(step.status) is not RunState.SUCCEEDED
            )
            if step.last_error is not None or ended_unsuccessfully:
                return step
        return None

    def to_xcom(self) -> dict[str, Json]:
        """Return the run as plain JSON, with ``raw`` only if it is not None, and what only batches have."""
        value = _plain(self)
        if all(value[name] is None for name in BATCH_ATTRIBUTES):
            for name in BATCH_ATTRIBUTES:
                del value[name]
        if self.raw is None:
            del value["raw"]
        return value

    @classmethod
    def from_xcom(cls, value: dict[str, Any]) -> Self:
        """
        Return the run that :meth:`to_xcom` described.

        :param value: its JSON. Missing attributes become None and unknown keys are ignored, so an XCom of
            another version can be read.
        """
        return cls(**_values(cls, {"id": None, **value}))


def _make_storable(instance: Usage | RunError | RunStep | Run) -> None:
    """Replace the values of a new instance that could not be stored."""
    for name in instance.__dataclass_fields__:
        old = getattr(instance, name)
        if old is None or isinstance(old, Usage | RunError | tuple):
            continue
        new = storable(old)
        if new is not old and name.endswith("_at") and isinstance(old, int):
            # As text it would not have the type of its attribute.
            new = None
        elif isinstance(new, str) and name in _MAX_CHARACTERS:
            new = bounded_text(new, _MAX_CHARACTERS[name])
        if new is not old:
            object.__setattr__(instance, name, new)


def _plain(instance: Run | RunStep) -> dict[str, Json]:
    value: dict[str, Json] = {}
    for item in dataclasses.fields(instance):
        attribute = getattr(instance, item.name)
        if isinstance(attribute, Usage | RunError):
            attribute = attribute.to_xcom()
        elif item.name == "steps" and attribute is not None:
            attribute = [step.to_xcom() for step in attribute]
        value[item.name] = attribute
    return value


def _values(cls: type[Run | RunStep], value: dict[str, Any]) -> dict[str, Any]:
    kept = {item.name: value[item.name] for item in dataclasses.fields(cls) if item.name in value}
    if kept.get("usage") is not None:
        kept["usage"] = Usage.from_xcom(kept["usage"])
    if kept.get("last_error") is not None:
        kept["last_error"] = RunError.from_xcom(kept["last_error"])
    if kept.get("steps") is not None:
        kept["steps"] = tuple(RunStep.from_xcom(step) for step in kept["steps"])
    return kept


def _flat(instance: Usage | RunError) -> dict[str, Json]:
    named = {item.name: getattr(instance, item.name) for item in dataclasses.fields(instance)}
    details = named.pop("details")
    return {**named, **details}


def _unflat(cls: type[Usage | RunError], value: dict[str, Any]) -> dict[str, Any]:
    named = [item.name for item in dataclasses.fields(cls) if item.name != "details"]
    details = {key: item for key, item in value.items() if key not in named}
    return {**{name: value.get(name) for name in named}, "details": details}
