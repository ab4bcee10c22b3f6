"""One Airflow and one sandbox for all system tests, because a start takes half a minute."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_openai_run.sandbox import Sandbox
from tests.system.local_airflow import LocalAirflow
from tests.system.metrics_collector import MetricsCollector
from tests.system.page_dags import write_page_dags

#: Template of run links in the connection ``openai_with_console``.
CONSOLE = "https://console.example/runs/{run_id}?thread={thread_id}"
SYSTEM_TESTS = Path(__file__).parent
DAG_FOLDERS = (SYSTEM_TESTS.parents[1] / "example_dags", SYSTEM_TESTS / "dags")


@pytest.fixture(scope="session")
def wrong_key() -> str:
    return f"sk-wrong-{secrets.token_hex(12)}"


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(api_key=f"sk-right-{secrets.token_hex(12)}") as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def metrics() -> Iterator[MetricsCollector]:
    with MetricsCollector() as collector:
        yield collector


@pytest.fixture(scope="session")
def airflow_options(
    sandbox: Sandbox, wrong_key: str, metrics: MetricsCollector, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """Return the arguments of the Airflow of all tests, whatever its database."""
    pages = tmp_path_factory.mktemp("page_dags")
    write_page_dags(pages)
    right = json.loads(sandbox.connection_json())
    return {
        "dag_folders": (*DAG_FOLDERS, pages),
        "connections": {
            "openai_default": right,
            "openai_wrong_key": right | {"password": wrong_key},
            "openai_with_console": right | {"extra": {"run_link_template": CONSOLE}},
        },
        "config": {"metrics": metrics.airflow_options("openai_run")},
    }


@pytest.fixture(scope="session")
def airflow(airflow_options: dict[str, Any]) -> Iterator[LocalAirflow]:
    with LocalAirflow(**airflow_options) as airflow:
        yield airflow
