"""The fixture ``openai_sandbox``: a sandbox for the length of a test, which ``openai_default`` points at.

Switch it on in ``conftest.py``::

    pytest_plugins = ["airflow_provider_openai_run.sandbox.pytest_plugin"]

and use it::

    def test_a_failed_run_fails_the_dag(openai_sandbox):
        run = openai_sandbox.create_run(script="failed")
        openai_sandbox.clock.advance(3)
        ...

Its clock is the real one, and can be set forward besides. Override the fixture ``openai_sandbox_options`` to
have it otherwise, e.g. to return ``{"clock": Clock.manual()}``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_openai_run.sandbox import Sandbox

#: The environment variable in which Airflow looks for the connection ``openai_default``.
CONNECTION_VARIABLE = "AIRFLOW_CONN_OPENAI_DEFAULT"


@pytest.fixture
def openai_sandbox_options() -> dict[str, Any]:
    """The parameters of the sandbox: none, unless overridden."""
    return {}


@pytest.fixture
def openai_sandbox(
    openai_sandbox_options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Sandbox]:
    """A running sandbox; the connection ``openai_default`` is the one to it."""
    with Sandbox(**openai_sandbox_options) as sandbox:
        monkeypatch.setenv(CONNECTION_VARIABLE, sandbox.connection_json())
        yield sandbox
