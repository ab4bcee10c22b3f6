"""
The fixtures for tests against the sandbox; a pytest plugin that ``tests/conftest.py`` registers.

One sandbox serves all tests of a session. It starts when a test first needs it, and each test finds it empty.
The connection ``openai_default`` points at it. Its clock is set by hand; ``fake_clock`` is that of the code
under test too.
"""

from __future__ import annotations

import json
import ssl
import warnings
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from airflow_provider_openai_run.sandbox import Sandbox
    from tests.fake_clock import FakeClock
    from tests.task_log import TaskLog

#: Without the shape of OpenAI's keys, so that it is not masked by its shape alone.
KEY = "correct-horse-battery-staple"
CONNECTION_VARIABLE = "AIRFLOW_CONN_OPENAI_DEFAULT"

#: Changes the connection: ``connect(password=…, host=…, extra={…}, max_retries=0, …)``.
Connect = Callable[..., None]


@pytest.fixture(scope="session")
def running_sandbox() -> Iterator[Sandbox]:
    """The sandbox of the session."""
    from airflow_provider_openai_run.sandbox import Clock, Sandbox

    _import_airflow_models()
    with Sandbox(clock=Clock.manual(), api_key=KEY) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running_sandbox: Sandbox, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """The sandbox, emptied, with ``openai_default`` pointing at it."""
    # The sandbox does not use TLS, and each client would spend 20 ms on reading the certificates.
    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", lambda *_, **__: None)
    running_sandbox.reset()
    connect()
    return running_sandbox


@pytest.fixture
def connect(running_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Connect:
    """A function that changes the connection ``openai_default``."""

    def change(extra: dict[str, Any] | None = None, **fields: Any) -> None:
        options = {name: fields.pop(name) for name in ("max_retries", "timeout") if name in fields}
        client = {"max_retries": 0, **options, **(extra or {}).get("openai_client_kwargs", {})}
        connection = {
            "conn_type": "openai",
            "host": running_sandbox.base_url,
            "password": running_sandbox.api_key,
            "extra": {**(extra or {}), "openai_client_kwargs": client},
            **fields,
        }
        monkeypatch.setenv(CONNECTION_VARIABLE, json.dumps(connection))

    return change


@pytest.fixture
def fake_clock(running_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """The clock of the sandbox, of this package and of Airflow's sensors; sleeping moves it."""
    from tests.fake_clock import FakeClock

    clock = FakeClock(running_sandbox.clock)
    clock.install(monkeypatch)
    return clock


@pytest.fixture
def task_log(caplog: pytest.LogCaptureFixture) -> Iterator[TaskLog]:
    """The lines that are logged from ``INFO`` on."""
    from tests.task_log import capture

    with capture(caplog) as log:
        yield log


def _import_airflow_models() -> None:
    """Let Airflow 3.1 set up its models, which warns of deprecations, before a test looks up a connection."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import_module("airflow.serialization.serialized_objects")
        import_module("airflow.models.connection").Connection()
