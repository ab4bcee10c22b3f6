"""Which APIs an endpoint serves, found out by questions that cost nothing and change nothing."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING

import openai
from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_openai_run.api.base import Request
from airflow_provider_openai_run.api.endpoints import is_openai
from airflow_provider_openai_run.api.registry import APIS
from airflow_provider_openai_run.connection.transport import send
from airflow_provider_openai_run.exceptions import OpenAIRunError, RunRequestError
from airflow_provider_openai_run.types.redaction import redact
from airflow_provider_openai_run.types.run_ref import RunRef

if TYPE_CHECKING:
    from collections.abc import Callable

    from openai import OpenAI

    from airflow_provider_openai_run.api.base import RunApi
    from airflow_provider_openai_run.api.http import ApiResponse
    from airflow_provider_openai_run.connection.settings import ConnectionSettings
    from airflow_provider_openai_run.types.run import Json

#: A path no API has: how the server answers there, it answers for every path that it does not serve.
_NOWHERE = Request("GET", "/no_such_api/id_0")
_REFUSALS = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
#: Longest time for an answer, in seconds; a person waits for it.
_PATIENCE = 10.0
#: What a connection that cannot be looked up or used raises.
_TROUBLES = (
    AirflowException,
    OpenAIRunError,
    openai.OpenAIError,
    ValueError,
    TypeError,
    ImportError,
    OSError,
)


def check_connection(
    conn_id: str, connect: Callable[[], tuple[OpenAI, ConnectionSettings]]
) -> tuple[bool, str]:
    """
    Report which APIs a connection's endpoint serves, and whether its credentials may use them.

    It requests a run of each API that does not exist, and compares the answer with that for a path that no
    API has.

    :param conn_id: the connection.
    :param connect: returns its client and its settings.
    :return: whether any API can be used, and sentences for a person, without secrets.
    """
    try:
        client, settings = connect()
        return _check(client.with_options(timeout=_PATIENCE), settings)
    except _TROUBLES as error:
        why = redact(str(error))
        return False, why if conn_id in why else f"Connection {conn_id!r} cannot be used: {why}"


def _check(client: OpenAI, settings: ConnectionSettings) -> tuple[bool, str]:
    base_url = str(client.base_url).rstrip("/")
    try:
        nowhere = send(client, _NOWHERE, None, once=True)
    except RunRequestError as error:
        return False, f"At {base_url}: {error.message.rstrip('.')}."
    can_be_used, sentences = False, []
    for api in APIS.values():
        if api.ended_at_openai is not None and is_openai(base_url):
            sentences.append(f"The {api.title} is not served: OpenAI ended it.")
            continue
        usable, sentence = _judge(client, api, nowhere)
        can_be_used = can_be_used or usable
        sentences.append(sentence)
    if settings.unread:
        sentences.append(f"Extras that are not used: {', '.join(map(repr, settings.unread))}.")
    return can_be_used, f"At {base_url}: {' '.join(sentences)}"


def _judge(client: OpenAI, api: RunApi, nowhere: ApiResponse) -> tuple[bool, str]:
    request = api.retrieve(RunRef(api.name, "run_0", "parent_0" if api.parent_argument else None))
    try:
        answer = send(client, request, None, once=True)
    except RunRequestError as error:
        return False, f"The {api.title} could not be asked: {error.message.rstrip('.')}."
    status = answer.http_status
    if status in _REFUSALS:
        said = _message(answer)
        more = f": {said.rstrip('.')}" if said else ""
        return False, f"The {api.title} refuses the credentials (HTTP {status}{more})."
    is_passing = status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    if is_passing and status != HTTPStatus.NOT_IMPLEMENTED:
        return False, f"The {api.title} cannot be judged now (HTTP {status})."
    is_there = status not in (HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED)
    if not is_there or _message(answer) is None or _alike(answer, nowhere):
        return False, f"The {api.title} is not served."
    return True, f"The {api.title} is served, and the credentials may use it."


def _alike(answer: ApiResponse, nowhere: ApiResponse) -> bool:
    """Tell whether two answers say the same, but for the path and the ids of what was asked for."""
    return answer.http_status == nowhere.http_status and _without_names(answer) == _without_names(nowhere)


def _without_names(answer: ApiResponse) -> str | None:
    message = _message(answer)
    if message is None or answer.sent is None:
        return message
    path = answer.sent.url.partition("?")[0].partition("://")[2].partition("/")[2]
    for start in range(path.count("/") + 1):
        message = message.replace("/".join(path.split("/")[start:]), "…")
    return message.replace("/…", "…")


def _message(answer: ApiResponse) -> str | None:
    """Give the message of an API's error, or what else its JSON object is; None for a page."""
    if not answer.body.strip():
        return ""
    try:
        body: Json = json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict):
        return None
    error = body.get("error", body.get("detail", body.get("message", body.get("id"))))
    said = error.get("message") or error.get("code") if isinstance(error, dict) else error
    return redact(str(said), answer.sent.secrets if answer.sent else ()) if said else ""
