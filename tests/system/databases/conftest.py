"""One Airflow for each database; that on PostgreSQL is stopped after the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.postgres_server import PostgresServer, postgres_programs
from tests.system.local_airflow import LocalAirflow


@pytest.fixture(scope="package", params=["sqlite", "postgresql"])
def any_airflow(request: pytest.FixtureRequest, airflow_options: dict[str, Any]) -> Iterator[LocalAirflow]:
    if request.param == "sqlite":
        yield request.getfixturevalue("airflow")
        return
    if postgres_programs() is None:
        pytest.skip("PostgreSQL's server is not installed (on Debian: sh .ci/postgres)")
    with PostgresServer() as server:
        database = {"sql_alchemy_conn": server.create_database("airflow")}
        config = {**airflow_options["config"], "database": database}
        with LocalAirflow(**{**airflow_options, "config": config}) as airflow:
            yield airflow
