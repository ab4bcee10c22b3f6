"""Fixtures: one sandbox for the tests of a folder, on a time that stands still; ``openai_default`` is it.

Each test finds it empty.
"""

from __future__ import annotations

import json
import ssl
import warnings
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import pytest

from airflow_provider_openai_run.sandbox import Clock, Sandbox
from tests.fake_clock import FakeClock
from tests.task_log import TaskLog, listening

with warnings.catch_warnings():
    # Airflow 3.1 sets up its models when it looks up a connection first, uses what others have deprecated for
    # that, and would take the warning for a connection that is not there.
    warnings.simplefilter("ignore")
    import_module("airflow.serialization.serialized_objects")
    import_module("airflow.models.connection").Connection()

#: Looks like no key of OpenAI's, so nothing knows it for one by its shape.
KEY = "correct-horse-battery-staple"
CONNECTION_VARIABLE = "AIRFLOW_CONN_OPENAI_DEFAULT"

Connect = Callable[..., None]


@pytest.fixture(scope="session")
def running_sandbox() -> Iterator[Sandbox]:
    with Sandbox(clock=Clock.manual(), api_key=KEY) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running_sandbox: Sandbox, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    # Nobody on loopback speaks TLS, and each client would read the certificates for 20 ms.
    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", lambda *_, **__: None)
    running_sandbox.reset()
    connect()
    return running_sandbox


@pytest.fixture
def connect(running_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Connect:
    """Changes the connection: ``connect(password=…, host=…, extra={…}, max_retries=0, …)``."""

    def connect_with(extra: dict[str, Any] | None = None, **fields: Any) -> None:
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

    return connect_with


@pytest.fixture
def fake_clock(running_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """The sandbox's time is everybody's, and sleeping is what moves it."""
    stopped = FakeClock(running_sandbox.clock)
    stopped.install(monkeypatch)
    return stopped


@pytest.fixture
def task_log(caplog: pytest.LogCaptureFixture) -> Iterator[TaskLog]:
    """Hears what is logged from ``INFO`` on."""
    with listening(caplog) as log:
        yield log
