"""Every test run has its own Airflow home, stays on loopback, and shares one sandbox."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests import environment
from tests.network_guard import NetworkGuard, requests_on_loopback

pytest_plugins = ["tests.sandbox_fixtures"]

environment.enter()
guard = NetworkGuard()
guard.install()
# No deadline for an example: a busy machine may be slow.
settings.register_profile("project", deadline=None)
settings.load_profile("project")


def pytest_unconfigure() -> None:
    shutil.rmtree(environment.AIRFLOW_HOME, ignore_errors=True)


@pytest.fixture(scope="session")
def network_guard() -> NetworkGuard:
    return guard


@pytest.fixture(autouse=True)
def _stays_on_loopback(request: pytest.FixtureRequest) -> Iterator[None]:
    system = request.node.get_closest_marker("system")
    with guard.watching(), contextlib.nullcontext() if system else requests_on_loopback():
        yield
