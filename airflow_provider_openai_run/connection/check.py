"""Check of a connection: which APIs its endpoint serves, by requests that cost nothing and change nothing.

``python -m airflow_provider_openai_run.connection.check [conn_id]`` looks up the connection where Airflow's
own commands do, so it finds those of the UI and the CLI too.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from airflow.providers.common.compat.sdk import AirflowException, AirflowNotFoundException
from airflow.providers.openai.hooks.openai import OpenAIHook

from airflow_provider_openai_run.api.base import Request
from airflow_provider_openai_run.api.endpoints import is_openai
from airflow_provider_openai_run.api.registry import APIS
from airflow_provider_openai_run.connection import DEFAULT_CONN_ID
from airflow_provider_openai_run.connection.client import build_client
from airflow_provider_openai_run.connection.lookup import missing_connection_error
from airflow_provider_openai_run.connection.settings import read_settings
from airflow_provider_openai_run.connection.transport import send
from airflow_provider_openai_run.exceptions import OpenAIRunError, RunRequestError
from airflow_provider_openai_run.types.redaction import redact
from airflow_provider_openai_run.types.run_ref import RunRef

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from openai import OpenAI

    from airflow_provider_openai_run.api.base import RunApi
    from airflow_provider_openai_run.api.http import ApiResponse
    from airflow_provider_openai_run.connection.client import WorkloadIdentity
    from airflow_provider_openai_run.connection.settings import ConnectionSettings
    from airflow_provider_openai_run.types.json import Json

#: How long one request may take, in seconds; a person waits for the result.
_TIMEOUT = 10.0
#: No API has this path: the response to it is the server's response to any path it does not serve.
_UNKNOWN_PATH = Request("GET", "/no_such_api/id_0")
#: Ids, paths, times and numbers: what differs between two responses that mean the same.
_VARIABLE_WORD = re.compile(r"[\w./:+-]*[\d/][\w./:+-]*")
_ABOUT_THE_KEY = re.compile(r"(?i)api[ _-]?key|credential|unauthori[sz]ed")


def check_connection(
    conn_id: str, connect: Callable[[], tuple[OpenAI, ConnectionSettings]]
) -> tuple[bool, str]:
    """
    Report which APIs a connection's endpoint serves, and whether it accepts the credentials.

    It requests a run that does not exist from each API, and compares the response with that to a path that
    no API has.

    :param conn_id: the connection.
    :param connect: returns its client and its settings.
    :return: whether any API can be used, and sentences for a person, without secrets.
    """
    try:
        client, settings = connect()
    except (AirflowException, ImportError, OpenAIRunError, OSError, TypeError, ValueError) as error:
        reason = redact(str(error))
        return False, reason if conn_id in reason else f"Connection {conn_id!r} cannot be used: {reason}"
    client = client.with_options(timeout=_TIMEOUT)
    base_url = str(client.base_url).rstrip("/")
    try:
        unknown_path = _send(client, _UNKNOWN_PATH)
    except RunRequestError as error:
        return False, f"At {base_url}: {error.message.rstrip('.')}."
    verdicts = {}
    for api in APIS.values():
        if api.ended_at_openai is not None and is_openai(base_url):
            verdicts[api.title] = (False, "is not served: OpenAI ended it")
        else:
            verdicts[api.title] = _judge(client, api, unknown_path)
    sentences = [f"The {title} {verdict}." for title, (_, verdict) in verdicts.items()]
    if settings.unused_extras:
        sentences.append(f"Extras that are not used: {', '.join(map(repr, settings.unused_extras))}.")
    is_usable = any(is_served for is_served, _ in verdicts.values())
    if not is_usable and not urlsplit(base_url).path:
        sentences.append(f"The host has no path; most servers need {base_url}/v1.")
    return is_usable, f"At {base_url}: {' '.join(sentences)}"


def _judge(client: OpenAI, api: RunApi, unknown_path: ApiResponse) -> tuple[bool, str]:
    """Return whether an API can be used, and the rest of a sentence that begins with its title."""
    request = api.retrieve(RunRef(api.name, "run_0", "parent_0" if api.parent_argument else None))
    try:
        response = _send(client, request)
    except RunRequestError as error:
        return False, f"cannot be checked now: {error.message.rstrip('.')}"
    status, body = response.http_status, _json_object(response)
    message = _error_message(response, body)
    reason = f"HTTP {status}: {message}" if message else f"HTTP {status}"
    if status in (401, 403) or (status == 400 and _ABOUT_THE_KEY.search(message)):
        return False, f"refuses the credentials ({reason})"
    if status == 200:
        is_served = request.required_key in body
    elif status == 404:
        is_served = unknown_path.http_status != 404 or _wording(response) != _wording(unknown_path)
    elif status in (400, 422) and unknown_path.http_status != status:
        is_served = True
    elif status in (405, 501):
        is_served = False
    else:
        return False, f"cannot be checked now ({reason})"
    return is_served, "is served and accepts the credentials" if is_served else "is not served"


def _send(client: OpenAI, request: Request) -> ApiResponse:
    return send(client, request, None, retry=False, quiet=True)


def _json_object(response: ApiResponse) -> dict[str, Json]:
    try:
        body: Json = json.loads(response.body)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _error_message(response: ApiResponse, body: dict[str, Json]) -> str:
    """Return the error message of a body; empty if it has none."""
    error = body.get("error") or body.get("detail") or body.get("message") or ""
    message = error.get("message") or error.get("code") if isinstance(error, dict) else error
    return redact(str(message), response.secrets).rstrip(".")


def _wording(response: ApiResponse) -> str:
    return _VARIABLE_WORD.sub("…", response.body.decode(errors="replace"))


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Check a connection, and print the result.

    :param arguments: the command line without the program's name; ``sys.argv`` by default.
    :return: the exit code: 0 if an API can be used, else 1.
    """
    parser = argparse.ArgumentParser(
        "python -m airflow_provider_openai_run.connection.check", description=__doc__
    )
    parser.add_argument("conn_id", nargs="?", default=DEFAULT_CONN_ID, help=f"default: {DEFAULT_CONN_ID}")
    conn_id = parser.parse_args(arguments).conn_id
    is_usable, message = check_connection(conn_id, lambda: _connect(conn_id))
    sys.stdout.write(f"{message}\n")
    return 0 if is_usable else 1


def _connect(conn_id: str) -> tuple[OpenAI, ConnectionSettings]:
    # Airflow reads its database only in a server's context; its own commands set the same.
    os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "server"
    from airflow.models.connection import Connection

    try:
        connection = Connection.get_connection_from_secrets(conn_id)
    except AirflowNotFoundException:
        raise missing_connection_error(conn_id) from None
    settings = read_settings(connection, conn_id)
    extra = connection.extra_dejson

    def build_workload_identity() -> WorkloadIdentity:
        return OpenAIHook(conn_id)._build_workload_identity(extra)  # noqa: SLF001 - as our own hook does

    return build_client(settings, conn_id, build_workload_identity), settings


if __name__ == "__main__":
    sys.exit(main())
