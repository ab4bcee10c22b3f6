"""A thread whose runs an API in memory lists."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from airflow_provider_openai_run.events import reporter, thread_feed
from airflow_provider_openai_run.triggers import _lazy_import
from tests.triggerer.api_in_memory import ApiInMemory, Reply
from tests.triggerer.virtual_time import Clock

#: The last part of the path of a request that lists the runs.
LIST = "runs"


@dataclass
class ThreadInMemory(ApiInMemory):
    """
    An API with one thread; ``status`` has its runs, oldest first.

    :param has_more: whether its lists claim that there are more pages.
    :param created_at: the runs' creation times by id, in epoch seconds.
    """

    has_more: bool = False
    created_at: dict[str, int] = field(default_factory=dict)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().install(monkeypatch)
        for module in (thread_feed, reporter):
            monkeypatch.setattr(module, "time", Clock())
        monkeypatch.setitem(_lazy_import._imported, thread_feed.__name__, thread_feed)

    @property
    def listed_at(self) -> list[float]:
        """When the runs were listed, in the loop's time."""
        return [request.at for request in self.requests if request.run_id == LIST]

    def _reply(self, run_id: str, headers: Mapping[str, str]) -> Reply:
        if run_id != LIST or headers["authorization"] != f"Bearer {self.key}":
            return super()._reply(run_id, headers)
        runs: list[dict[str, Any]] = [
            {"id": run_id, "status": status, "created_at": self.created_at.get(run_id, 1_795_000_000)}
            for run_id, status in reversed(self.status.items())
        ]
        return 200, self.headers, json.dumps({"data": runs, "has_more": self.has_more}).encode()
