"""Fixtures of the tests about making runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_openai_run.sandbox import Sandbox


@pytest.fixture(autouse=True)
def _runs_end_at_once(sandbox: Sandbox) -> Iterator[None]:
    """Unless a test says otherwise."""
    sandbox.set_default_script("instant")
    yield
    sandbox.set_default_script("completed")
