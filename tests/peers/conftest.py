from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook
from tests.peers.peer import PEERS, running
from tests.peers.waiting import CONN_ID

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    absent = pytest.mark.skip(reason="the servers are in ../shared/peers, which is not there")
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.peers)
            if not PEERS.is_dir():
                item.add_marker(absent)


@pytest.fixture(scope="session")
def agentserver() -> Iterator[str]:
    """Base URL of Microsoft's Responses server."""
    with running("agentserver") as url:
        yield url


@pytest.fixture(scope="session")
def openai_responses() -> Iterator[str]:
    """Base URL of a stateful mock of the Assistants API."""
    with running("openai-responses") as url:
        yield f"{url}/v1"


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], OpenAIRunHook]:
    """Sets the connection ``openai_peer`` to a server, and returns its hook."""

    def connect_to(base_url: str) -> OpenAIRunHook:
        connection = {"conn_type": "openai", "host": base_url, "password": "no-key-is-checked"}
        monkeypatch.setenv(f"AIRFLOW_CONN_{CONN_ID.upper()}", json.dumps(connection))
        return OpenAIRunHook(conn_id=CONN_ID)

    return connect_to
