"""
Send an alert that names the response, the API's error code and the request id.

The callback reads the fields of the error, and posts them to the URL in the Airflow variable ``alert_url``,
in the form that Slack and Mattermost take; without the variable it logs them. Trigger it as it is, or with
another ``question``; the connection ``openai_default`` names the server.
"""

from __future__ import annotations

import json
import logging
import urllib.request
from datetime import timedelta
from typing import TYPE_CHECKING

from airflow.sdk import Param, Variable, dag

from airflow_provider_openai_run.exceptions import OpenAIRunError
from airflow_provider_openai_run.operators.openai_run import OpenAICreateResponseOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)


# [START howto_alert]
def alert(context: Context) -> None:
    """Post what the vendor's support needs; called once the last try has failed."""
    error = context.get("exception")
    ti = context["ti"]
    lines = [f"{ti.dag_id}.{ti.task_id} failed: {error}", f"Log: {ti.log_url}"]
    if isinstance(error, OpenAIRunError):
        fields = ("run_id", "status", "code", "http_status", "request_id")
        lines += [f"{name}: {value}" for name in fields if (value := getattr(error, name)) is not None]
    post("\n".join(lines))


def post(text: str) -> None:
    """Post a text to the URL in the variable ``alert_url``."""
    log.warning(text)
    url = Variable.get("alert_url", default=None)
    if url:
        body = json.dumps({"text": text}).encode()
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310 - an admin's URL
        urllib.request.urlopen(request, timeout=10).close()  # noqa: S310 - as above


@dag(
    schedule=None,
    params={
        "question": Param("Why is the sky blue? One sentence.", type="string"),
        "model": Param("gpt-5.2", type="string"),
        "metadata": Param({}, type="object", description="Metadata of the response"),
    },
    default_args={"on_failure_callback": alert},
    render_template_as_native_obj=True,
    tags=["openai", "example"],
    doc_md=__doc__,
)
def openai_alert_on_failure() -> None:
    """Create a response, and send an alert if that fails."""
    OpenAICreateResponseOperator(
        task_id="response",
        model="{{ params.model }}",
        input="{{ params.question }}",
        metadata="{{ params.metadata }}",
        deferrable=True,
        timeout=timedelta(minutes=15).total_seconds(),
        retries=2,
        retry_delay=timedelta(seconds=10),
    )
    # [END howto_alert]


openai_alert_on_failure()
