"""A connection that does not exist fails a task at once; one that cannot be looked up now is tried again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time import comms, supervisor, task_runner

from airflow_provider_openai_run.api.retries import is_retried, may_have_created
from airflow_provider_openai_run.connection.lookup import LOOKUP_TIMEOUT
from airflow_provider_openai_run.exceptions import ConnectionLookupError, InvalidConnectionError
from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook
from tests.fake_clock import FakeClock
from tests.task_log import TaskLog

NOT_FOUND = comms.ErrorResponse(error=ErrorType.CONNECTION_NOT_FOUND, detail={"conn_id": "conn"})
SERVER_ERROR = comms.ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={"message": "HTTP 500"})


class AirflowServer:
    """
    The supervisor of a task, and the API server behind it.

    :param clock: the clock.
    :param is_healthy: whether the database can be read, at so many seconds.
    :param has_connection: whether the connection is in the database.
    :param hides_errors: whether the server responds with "not found" while its database is down, as it does
        for connections; else with an error.
    """

    def __init__(
        self,
        clock: FakeClock,
        *,
        is_healthy: Callable[[float], bool] = lambda _: True,
        has_connection: bool = True,
        hides_errors: bool = True,
    ) -> None:
        self.started_at = clock.time()
        self.requests: list[str] = []
        self._clock = clock
        self._is_healthy = is_healthy
        self._has_connection = has_connection
        self._hides_errors = hides_errors

    def send(self, msg: Any) -> Any:
        self.requests.append(type(msg).__name__)
        healthy = self._is_healthy(self._clock.time() - self.started_at)
        if isinstance(msg, comms.GetDRCount):
            if not healthy:
                raise AirflowRuntimeError(SERVER_ERROR)
            return comms.DRCount(count=0)
        if isinstance(msg, comms.GetConnection):
            if not healthy and not self._hides_errors:
                raise AirflowRuntimeError(SERVER_ERROR)
            if not healthy or not self._has_connection:
                return NOT_FOUND
            names: Any = (item.alias or name for name, item in comms.ConnectionResult.model_fields.items())
            known: dict[str, Any] = {
                "conn_id": msg.conn_id,
                "conn_type": "openai",
                "password": "correct-horse",
            }
            return comms.ConnectionResult(**{**dict.fromkeys(names), **known, "type": "ConnectionResult"})
        return None

    async def asend(self, msg: Any) -> Any:
        return self.send(msg)


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch, fake_clock: FakeClock) -> Callable[..., AirflowServer]:
    """Make a server the one that this process, a worker, asks for connections."""

    def start(**behaviour: Any) -> AirflowServer:
        server = AirflowServer(fake_clock, **behaviour)
        monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", server, raising=False)
        return server

    return start


@pytest.mark.parametrize("hides_errors", [True, False])
def test_a_lookup_is_tried_again_while_the_database_is_down(
    serve: Callable[..., AirflowServer], fake_clock: FakeClock, task_log: TaskLog, hides_errors: bool
) -> None:
    serve(is_healthy=lambda seconds: seconds > 42, hides_errors=hides_errors)
    started_at = fake_clock.time()

    assert OpenAIRunHook("conn").settings.api_key == "correct-horse"
    assert 42 <= fake_clock.time() - started_at <= 60
    (line,) = [line for line in task_log.warnings if "cannot look up connection 'conn' now" in line]
    assert "120 s" in line


@pytest.mark.parametrize("hides_errors", [True, False])
def test_a_lookup_gives_up_in_the_end(
    serve: Callable[..., AirflowServer], fake_clock: FakeClock, hides_errors: bool
) -> None:
    serve(is_healthy=lambda _: False, hides_errors=hides_errors)
    started_at = fake_clock.time()

    with pytest.raises(
        ConnectionLookupError, match="could not look up connection 'conn' for 120 s"
    ) as raised:
        OpenAIRunHook("conn").get_conn()
    assert raised.value.is_retryable
    # Nothing was sent, so no run can have been created.
    assert not may_have_created(raised.value)
    assert is_retried(raised.value, "cancel")
    assert fake_clock.time() - started_at <= LOOKUP_TIMEOUT


def test_a_missing_connection_fails_at_once(
    serve: Callable[..., AirflowServer], fake_clock: FakeClock
) -> None:
    server = serve(has_connection=False)

    with pytest.raises(InvalidConnectionError, match="'conn' does not exist; create it with: airflow conn"):
        OpenAIRunHook("conn").get_conn()
    assert fake_clock.slept == []
    assert server.requests[-2:] == ["GetDRCount", "GetConnection"]


def test_a_secrets_backend_that_fails_is_tried_again(
    serve: Callable[..., AirflowServer], fake_clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(has_connection=False)

    class Vault:
        def get_connection(self, conn_id: str) -> None:
            raise OSError(f"no route to the vault, looking for {conn_id} with sk-abcdefghijklmnopqrstuvwx")

    backends = supervisor.ensure_secrets_backend_loaded()
    monkeypatch.setattr(supervisor, "ensure_secrets_backend_loaded", lambda: [Vault(), *backends])
    with pytest.raises(ConnectionLookupError, match="Vault: no route to the vault") as raised:
        OpenAIRunHook("conn").get_conn()
    assert "sk-abc" not in str(raised.value)


def test_without_a_supervisor_a_connection_is_missing(fake_clock: FakeClock) -> None:
    with pytest.raises(InvalidConnectionError, match="'conn' does not exist"):
        OpenAIRunHook("conn").get_conn()
    assert fake_clock.slept == []


@pytest.mark.parametrize("behaviour", [{"has_connection": False}, {"is_healthy": lambda _: False}])
def test_an_async_lookup_does_not_say_that_a_connection_is_missing(
    serve: Callable[..., AirflowServer], behaviour: dict[str, Any]
) -> None:
    serve(**behaviour)
    with pytest.raises(ConnectionLookupError, match="connection 'conn'") as raised:
        asyncio.run(OpenAIRunHook("conn").aget_conn())
    assert raised.value.is_retryable


def test_an_async_lookup_explains_teams(
    serve: Callable[..., AirflowServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(has_connection=False)
    monkeypatch.setenv("AIRFLOW__CORE__MULTI_TEAM", "true")
    with pytest.raises(ConnectionLookupError, match="such as AIRFLOW_CONN_CONN"):
        asyncio.run(OpenAIRunHook("conn").aget_conn())
