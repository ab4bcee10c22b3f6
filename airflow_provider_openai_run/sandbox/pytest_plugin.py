"""The fixture ``openai_sandbox``: a running sandbox, to which the connection ``openai_default`` points.

Enable it in ``conftest.py``::

    pytest_plugins = ["airflow_provider_openai_run.sandbox.pytest_plugin"]

and use it::

    def test_a_failed_run_fails_the_dag(openai_sandbox):
        run = openai_sandbox.create_run(script="failed")
        openai_sandbox.clock.advance(3)
        ...

Its clock runs in real time and can be advanced. To change the sandbox's parameters, override the fixture
``openai_sandbox_options``, e.g. let it return ``{"clock": Clock.manual()}``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_openai_run.sandbox import Sandbox

#: The environment variable from which Airflow reads the connection ``openai_default``.
CONNECTION_VARIABLE = "AIRFLOW_CONN_OPENAI_DEFAULT"


@pytest.fixture
def openai_sandbox_options() -> dict[str, Any]:
    """Return the parameters of the sandbox: none, unless overridden."""
    return {}


@pytest.fixture
def openai_sandbox(
    openai_sandbox_options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Sandbox]:
    """Yield a running sandbox, to which the connection ``openai_default`` points."""
    with Sandbox(**openai_sandbox_options) as sandbox:
        monkeypatch.setenv(CONNECTION_VARIABLE, sandbox.connection_json())
        yield sandbox
