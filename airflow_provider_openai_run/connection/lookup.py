"""
Look up an Airflow connection, and distinguish one that does not exist from one that cannot be looked up now.

Airflow reports both as ``AirflowNotFoundException``: its secrets backends go on with the next one after any
error, and its API server responds with 404 while its database is down.
"""

from __future__ import annotations

import logging
import sys
import time
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.providers.common.compat.sdk import AirflowNotFoundException, conf
from airflow.sdk import exceptions
from airflow.sdk.exceptions import AirflowRuntimeError

from airflow_provider_openai_run.api.retries import CONNECTION_LOOKUP
from airflow_provider_openai_run.exceptions import ConnectionLookupError, InvalidConnectionError
from airflow_provider_openai_run.types.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

log = logging.getLogger(__name__)

#: For how many seconds a worker looks up a connection again while Airflow cannot do it.
LOOKUP_TIMEOUT = 120.0
#: The first and the longest pause between two lookups, in seconds.
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 15.0

#: Its runs are counted to find out whether Airflow's database can be read.
_PROBED_DAG = "airflow_provider_openai_run"

#: What Airflow raises if it denies a task access to a connection; it came with Airflow 3.3.
_DENIED: tuple[type[Exception], ...] = tuple(
    error for name, error in vars(exceptions).items() if name == "AirflowSecretsBackendAccessDenied"
)


def find_connection(conn_id: str, get_connection: Callable[[str], T]) -> T:
    """
    Return a connection, on a worker; look it up again for two minutes while Airflow cannot do it.

    :param conn_id: the connection.
    :param get_connection: Airflow's lookup.
    :raises InvalidConnectionError: if it does not exist, or Airflow denies the task access to it.
    :raises ConnectionLookupError: if it could not be looked up in time.
    """
    deadline, pause, is_logged = time.monotonic() + LOOKUP_TIMEOUT, _FIRST_PAUSE, False
    while True:
        try:
            return get_connection(conn_id)
        except _DENIED as error:
            raise InvalidConnectionError(f"Connection {conn_id!r} cannot be used: {error}") from None
        except AirflowRuntimeError as error:
            reason: str | None = str(error)
        except AirflowNotFoundException:
            reason = _find_failure(conn_id)
        except ImportError as error:
            _require_missing_supervisor(error)
            reason = None
        if reason is None:
            raise missing_connection_error(conn_id)
        reason = redact(reason).rstrip(".")
        if time.monotonic() + pause > deadline:
            message = f"Airflow could not look up connection {conn_id!r} for {LOOKUP_TIMEOUT:g} s: {reason}"
            raise lookup_error(message)
        if not is_logged:
            message = "Airflow cannot look up connection '%s' now, trying again for up to %s s: %s"
            log.warning(message, conn_id, f"{LOOKUP_TIMEOUT:g}", reason)
            is_logged = True
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


async def find_connection_async(conn_id: str, get_connection: Callable[[str], Awaitable[T]]) -> T:
    """
    Return a connection, in an event loop; one lookup, as what called it decides about another.

    :param conn_id: the connection.
    :param get_connection: Airflow's lookup.
    :raises InvalidConnectionError: if Airflow denies access to it.
    :raises ConnectionLookupError: if it does not exist, or cannot be looked up now.
    """
    try:
        return await get_connection(conn_id)
    except _DENIED as error:
        raise InvalidConnectionError(f"Connection {conn_id!r} cannot be used: {error}") from None
    except AirflowRuntimeError as error:
        reason = redact(str(error)).rstrip(".")
        message = f"Airflow cannot look up connection {conn_id!r} now: {reason}"
    except (AirflowNotFoundException, ImportError) as error:
        if isinstance(error, ImportError):
            _require_missing_supervisor(error)
        message = (
            f"Airflow does not find connection {conn_id!r}, or cannot look it up now "
            f"(`{_create_command(conn_id)}` creates one)"
        )
        if conf.getboolean("core", "multi_team", fallback=False):
            message += (
                ". A triggerer finds no connection that belongs to a team, only those of all teams and those "
                f"of its environment, such as AIRFLOW_CONN_{conn_id.upper()}"
            )
    raise lookup_error(message)


def lookup_error(message: str) -> ConnectionLookupError:
    """
    Return the error for a connection that cannot be looked up now.

    :param message: what happened.
    """
    return ConnectionLookupError(message, is_retryable=True, retry_rule=CONNECTION_LOOKUP.name)


def missing_connection_error(conn_id: str) -> InvalidConnectionError:
    """Return the error for a connection that does not exist, with the command that creates it."""
    return InvalidConnectionError(
        f"Connection {conn_id!r} does not exist; create it with: {_create_command(conn_id)}"
    )


def _require_missing_supervisor(error: ImportError) -> None:
    """Raise the error, unless it is that of Airflow 3.1 for a connection that is missing outside of tasks."""
    if "SUPERVISOR_COMMS" not in str(error):
        raise error


def _create_command(conn_id: str) -> str:
    return f"airflow connections add {conn_id} --conn-type openai --conn-password API_KEY"


def _find_failure(conn_id: str) -> str | None:
    """
    Return what kept Airflow from looking up a connection that it reports as missing.

    :param conn_id: the connection.
    :return: None if nothing did: the connection does not exist.
    """
    from airflow.sdk.execution_time.supervisor import ensure_secrets_backend_loaded

    for backend in ensure_secrets_backend_loaded():
        name = type(backend).__name__
        if name == "ExecutionAPISecretsBackend":
            # It hides the errors of the API server, which is requested below.
            continue
        try:
            backend.get_connection(conn_id=conn_id)
        except Exception as error:  # noqa: BLE001 - a secrets backend may raise anything
            return f"{name}: {error}"
    supervisor = getattr(sys.modules.get("airflow.sdk.execution_time.task_runner"), "SUPERVISOR_COMMS", None)
    return None if supervisor is None else _find_failure_of_server(conn_id, supervisor)


def _find_failure_of_server(
    conn_id: str,
    supervisor: Any,  # noqa: ANN401 - Airflow's, of another class in each of its processes
) -> str | None:
    from airflow.sdk.exceptions import ErrorType
    from airflow.sdk.execution_time.comms import ErrorResponse, GetConnection, GetDRCount

    try:
        # The server responds with "not found" while its database is down; the first request fails then.
        for message in (GetDRCount(dag_id=_PROBED_DAG), GetConnection(conn_id=conn_id)):
            response = supervisor.send(message)
            if isinstance(response, ErrorResponse) and response.error != ErrorType.CONNECTION_NOT_FOUND:
                return f"Airflow's API server returned {response.error.value}"
    except Exception as error:  # noqa: BLE001 - what the supervisor raises differs between versions of Airflow
        return str(error)
    is_missing = isinstance(response, ErrorResponse)
    return None if is_missing else "it was not found, but is there now"
