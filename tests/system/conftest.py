"""One Airflow and one sandbox for all system tests, because a start takes half a minute."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path

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
def airflow(
    sandbox: Sandbox, wrong_key: str, metrics: MetricsCollector, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalAirflow]:
    right = json.loads(sandbox.connection_json())
    connections = {
        "openai_default": right,
        "openai_wrong_key": right | {"password": wrong_key},
        "openai_with_console": right | {"extra": {"run_link_template": CONSOLE}},
    }
    config = {"metrics": metrics.airflow_options("openai_run")}
    pages = tmp_path_factory.mktemp("page_dags")
    write_page_dags(pages)
    dag_folders = (*DAG_FOLDERS, pages)
    with LocalAirflow(dag_folders=dag_folders, connections=connections, config=config) as airflow:
        yield airflow
