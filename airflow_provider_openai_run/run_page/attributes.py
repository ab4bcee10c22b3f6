"""The attributes and the times in the page's header."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_openai_run.api.registry import APIS
from airflow_provider_openai_run.cancellation import CancelReason
from airflow_provider_openai_run.run_page.formatting import (
    format_count,
    format_value,
    read_count,
    read_time,
    shorten,
)
from airflow_provider_openai_run.run_page.links import console_url_of
from airflow_provider_openai_run.run_page.rounds import RoundView
from airflow_provider_openai_run.run_page.task_instance import TaskInstanceInfo
from airflow_provider_openai_run.run_page.xcom_data import XComData
from airflow_provider_openai_run.types.json import Json


@dataclass(frozen=True, slots=True)
class Attribute:
    """
    A short value with a label.

    :param can_copy: whether a button copies the value.
    :param url: where it leads; None for most.
    """

    label: str
    text: str
    can_copy: bool = False
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Timestamp:
    """A time with a label; ``at`` in epoch seconds."""

    label: str
    at: float


_ATTRIBUTE_LABELS = (
    ("model", "Model", False),
    ("id", "Run", True),
    ("thread_id", "Thread", True),
    ("assistant_id", "Assistant", True),
    ("conversation_id", "Conversation", True),
    ("previous_response_id", "Previous response", True),
    ("endpoint", "Endpoint", False),
    ("completion_window", "Completion window", False),
    ("input_file_id", "Input file", True),
    ("output_file_id", "Output file", True),
    ("error_file_id", "Error file", True),
)
_TIMESTAMP_LABELS = (
    ("created_at", "Created"),
    ("started_at", "Started"),
    ("finalizing_at", "Finalizing"),
    ("cancelling_at", "Cancelling"),
    ("completed_at", "Completed"),
    ("failed_at", "Failed"),
    ("cancelled_at", "Cancelled"),
    ("expired_at", "Expired"),
)
_LIVE_TIMESTAMP_LABELS = (("expires_at", "Expires"), ("polled_at", "Status as of"))


def read_attributes(data: XComData, rounds: tuple[RoundView, ...]) -> tuple[Attribute, ...]:
    """
    Return the attributes of a run that have a value.

    :param data: the data of the run.
    :param rounds: the rounds of the task, one of which the previous response may be.
    """
    run = data.attributes
    attributes = []
    for name, label, can_copy in _ATTRIBUTE_LABELS:
        if value := run.get(name):
            url = _previous_url(data, rounds) if name == "previous_response_id" else None
            attributes.append(Attribute(label, shorten(format_value(value), 300), can_copy, url))
    if api := run.get("api"):
        name = shorten(format_value(api), 60)
        attributes.append(Attribute("API", APIS[name].title if name in APIS else name))
    if counts := _describe_counts(run.get("request_counts")):
        attributes.append(Attribute("Requests", counts))
    if reason := data.cancel_reason:
        attributes.append(Attribute("Cancelled because", _describe_cancel_reason(reason)))
    return tuple(attributes)


def read_timestamps(data: XComData, task: TaskInstanceInfo, *, has_ended: bool) -> tuple[Timestamp, ...]:
    """
    Return the times of a run that are known.

    :param data: the data of the run.
    :param task: the task instance.
    :param has_ended: whether the run has ended.
    """
    polled_at = data.progress.get("polled_at") if task.is_live else None
    values = {**data.attributes, "polled_at": polled_at}
    labels = _TIMESTAMP_LABELS if has_ended else (*_TIMESTAMP_LABELS, *_LIVE_TIMESTAMP_LABELS)
    return tuple(
        Timestamp(label, at) for name, label in labels if (at := read_time(values.get(name))) is not None
    )


def _previous_url(data: XComData, rounds: tuple[RoundView, ...]) -> str | None:
    run = data.attributes
    previous_id = run.get("previous_response_id")
    for entry in rounds:
        if entry.run_id == previous_id:
            return f"#round-{entry.number}"
    return console_url_of(previous_id, run.get("id"), data.console_url)


def _describe_counts(value: Json) -> str | None:
    """Return the counts of a batch's requests as text; None if they are not known."""
    counts = value if isinstance(value, dict) else {}
    total, completed, failed = (read_count(counts.get(name)) for name in ("total", "completed", "failed"))
    if total is None:
        return None
    parts = [f"{format_count(completed or 0)} of {format_count(total)} completed"]
    return ", ".join([*parts, f"{format_count(failed)} failed"] if failed else parts)


def _describe_cancel_reason(reason: str) -> str:
    """Return the meaning of a reason; for one of a newer version, the reason itself."""
    return CancelReason(reason).description if reason in set(CancelReason) else shorten(reason, 300)
