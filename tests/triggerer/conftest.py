from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from airflow_provider_openai_run.triggerer import connection_poller
from tests.triggerer.api_in_memory import ApiInMemory
from tests.triggerer.transports import running_sandbox, sandbox, spy, transport

__all__ = ["api", "running_sandbox", "sandbox", "spy", "transport"]


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiInMemory]:
    """An API in memory to which all pollers send their requests; random numbers are the same in each run."""
    random.seed(3)
    api = ApiInMemory()
    api.install(monkeypatch)
    yield api
    # Pollers that a failed test has left open must not affect the next one.
    vars(connection_poller)["_pollers"].clear()
