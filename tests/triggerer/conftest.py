from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from airflow_provider_openai_run.triggerer import connection_poller as poller_module
from tests.triggerer.api_in_memory import ApiInMemory
from tests.triggerer.transports import repeater, running_sandbox, sandbox, spy

__all__ = ["api", "repeater", "running_sandbox", "sandbox", "spy"]


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiInMemory]:
    """An API in memory, which all watchers ask; chance is the same at each run of the test."""
    random.seed(3)
    api = ApiInMemory()
    api.install(monkeypatch)
    yield api
    # What a failed test left must not fail the next.
    vars(poller_module)["_pollers"].clear()
