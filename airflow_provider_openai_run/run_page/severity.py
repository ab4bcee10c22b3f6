"""How the page marks a status: the CSS class that sets its color."""

from __future__ import annotations

from airflow_provider_openai_run.types.json import Json
from airflow_provider_openai_run.types.status import RunState, classify_status

#: The severity of what failed.
FAILURE = "failure"

SEVERITIES = {
    RunState.ACTIVE: "active",
    RunState.NEEDS_ACTION: "waiting",
    RunState.SUCCEEDED: "success",
    RunState.FAILED: FAILURE,
    RunState.CANCELLED: "stopped",
    RunState.EXPIRED: "stopped",
    RunState.INCOMPLETE: "stopped",
    RunState.UNKNOWN: "unknown",
}


def severity_of(status: Json) -> str:
    """
    Return the severity of a status, one of :data:`SEVERITIES`; never text from the API.

    :param status: the status of a run or a step, of any JSON type.
    """
    return SEVERITIES[classify_status(status if isinstance(status, str) else None)]
