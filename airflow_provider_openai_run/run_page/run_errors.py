"""Why a run failed, or why the task stopped waiting for it."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_openai_run.api.parsing import string_or_none
from airflow_provider_openai_run.run_page.formatting import format_json, format_value, shorten
from airflow_provider_openai_run.run_page.xcom_data import XComData
from airflow_provider_openai_run.types.json import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorView:
    """
    Why the run failed, or why the task stopped waiting for it.

    :param request_id: the API's id of the request, for its support.
    :param details: the rest of the API's error as JSON.
    """

    title: str
    message: str
    request_id: str | None
    details: str | None = None


def read_errors(data: XComData, status: str | None) -> tuple[ErrorView, ...]:
    """
    Return the errors of a run and of the task that waited for it.

    :param data: the data of the run.
    :param status: the run's status.
    """
    run, progress = data.attributes, data.progress
    request_id = string_or_none(progress.get("request_id"))
    errors = []
    if (last_error := run.get("last_error")) is not None:
        errors.append(_run_error(last_error, request_id))
    if isinstance(details := run.get("incomplete_details"), dict) and details:
        reason = format_value(details["reason"]) if details.get("reason") else format_json(details)
        errors.append(ErrorView(title="Incomplete", message=reason, request_id=request_id))
    if isinstance(error := progress.get("error"), dict):
        title = shorten(str(error.get("type") or "The task stopped waiting"), 60)
        message = format_value(error.get("message", error))
        errors.append(ErrorView(title=title, message=message, request_id=request_id))
    elif not errors and isinstance(cause := progress.get("reason"), str):
        errors.append(ErrorView(title=f"Ended as {status}", message=cause, request_id=request_id))
    return tuple(errors)


def _run_error(error: Json, request_id: str | None) -> ErrorView:
    if not isinstance(error, dict):
        return ErrorView(title="Error", message=format_value(error), request_id=request_id)
    details: Json = {
        key: value for key, value in error.items() if key not in {"code", "message"} and value is not None
    }
    return ErrorView(
        title=shorten(str(error.get("code") or "Error"), 80),
        message=format_value(error["message"]) if error.get("message") else "The API gave no message.",
        request_id=request_id,
        details=format_json(details) if details else None,
    )
