"""A poller for one run, at a fixed time and without jitter."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_openai_run.polling.options import PollOptions
from airflow_provider_openai_run.polling.policy import RunPoller
from tests.polling.decisions import REF, START, MakePoller


@pytest.fixture(scope="session")
def make_poller() -> MakePoller:
    """Make a poller that started at ``START``; ``deadline`` is in seconds after that."""

    def make(*, deadline: float | None = None, **options: Any) -> RunPoller:
        until = None if deadline is None else START + deadline
        poll_options = PollOptions(started_at=START, deadline=until, **options)
        return RunPoller(REF, poll_options, random_fraction=lambda: 0.0)

    return make
