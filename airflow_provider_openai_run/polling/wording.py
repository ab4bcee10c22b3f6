"""The wording of a wait's messages about its run, without secrets."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_provider_openai_run.types.redaction import redact
from airflow_provider_openai_run.types.required_action import RequiredAction

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow_provider_openai_run.types.run import Run

_MAX_NAME_LENGTH = 100
_MAX_CALLS_NAMED = 5
_LONGEST_IN_WORDS = 1e9


def in_words(seconds: float) -> str:
    """
    Return a duration in words, such as ``1 minute 30 seconds``.

    :param seconds: the duration; a negative one counts as zero.
    """
    if seconds < 0.95:
        return f"{max(seconds, 0.0):.1f} seconds"
    if seconds > _LONGEST_IN_WORDS:
        return "more than 30 years"
    from pendulum import duration

    return duration(seconds=round(seconds)).in_words()


def sentence(text: str) -> str:
    """Return a text with the full stop that it lacks."""
    return text if text.endswith((".", "…", "!", "?")) else f"{text}."


def pending_calls_in_words(run: Run, secrets: Collection[str]) -> str:
    """
    Return the names of the calls that a run waits for, without their arguments.

    :param run: the run.
    :param secrets: the credentials of the connection, to mask.
    """
    action = RequiredAction.from_json(run.required_action)
    names = [
        f"{call.name[:_MAX_NAME_LENGTH]} ({call.id[:_MAX_NAME_LENGTH]})"
        for call in action.calls[:_MAX_CALLS_NAMED]
    ]
    if not names:
        return "an action it does not name"
    more = f" and {len(action.calls) - len(names)} more" if len(action.calls) > len(names) else ""
    kind = (action.type or "an action")[:_MAX_NAME_LENGTH]
    return f"{redact(f'{kind}: ' + ', '.join(names), secrets)}{more}"


def mask_error(run: Run, secrets: Collection[str]) -> Run:
    """
    Return the run without the connection's own credentials in its error.

    :param run: the run.
    :param secrets: the credentials.
    """
    error = run.last_error
    if error is None or not any(secret in json.dumps(error.to_xcom()) for secret in secrets):
        return run
    code = None if error.code is None else redact(error.code, secrets)
    message = None if error.message is None else redact(error.message, secrets)
    return replace(run, last_error=replace(error, code=code, message=message, details={}))
