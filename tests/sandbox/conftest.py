"""One server with a manual clock for all tests of this folder. Each test starts with an empty sandbox."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest
import requests

from airflow_provider_openai_run.sandbox import Clock, Sandbox

Http = Callable[..., requests.Response]


@pytest.fixture(scope="session")
def running_sandbox() -> Iterator[Sandbox]:
    with Sandbox(clock=Clock.manual(start=1_800_000_000.25)) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running_sandbox: Sandbox) -> Sandbox:
    running_sandbox.reset()
    return running_sandbox


@pytest.fixture(scope="session")
def shared_client(running_sandbox: Sandbox) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=running_sandbox.base_url, api_key=running_sandbox.api_key, max_retries=0
    ) as client:
        yield client


@pytest.fixture
def client(sandbox: Sandbox, shared_client: openai.OpenAI) -> openai.OpenAI:
    return shared_client


@pytest.fixture(scope="session")
def http_session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


@pytest.fixture
def http(sandbox: Sandbox, http_session: requests.Session) -> Http:
    """Plain HTTP with the valid key: ``http("GET", "/v1/models")``."""

    def send(method: str, path: str, *, key: str = sandbox.api_key, **options: Any) -> requests.Response:
        url = sandbox.base_url.removesuffix("/v1") + path
        headers = {"authorization": f"Bearer {key}"}
        return http_session.request(method, url, headers=headers, timeout=30, **options)

    return send
