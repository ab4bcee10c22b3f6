"""A thread whose runs an API in memory lists."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from airflow_provider_openai_run.events import reporter, thread_feed
from tests.triggerer.api_in_memory import ApiInMemory, CutError, Reply
from tests.triggerer.virtual_time import Clock

LIST = "runs"


@dataclass
class ThreadInMemory(ApiInMemory):
    """An API with one thread; ``status`` holds its runs, the oldest first."""

    has_more: bool = False
    created_at: dict[str, int] = field(default_factory=dict)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().install(monkeypatch)
        for module in (thread_feed, reporter):
            monkeypatch.setattr(module, "time", Clock())

    @property
    def looks(self) -> list[float]:
        """When the runs were listed."""
        return [asked.at for asked in self.asked if asked.run_id == LIST]

    async def _answer(self, run_id: str, headers: Mapping[str, str]) -> Reply:
        if run_id != LIST:
            return await super()._answer(run_id, headers)
        trouble = self.trouble(run_id)
        if trouble == "stall":
            await asyncio.Event().wait()
        if trouble == "cut":
            raise CutError
        if isinstance(trouble, tuple):
            return trouble
        if headers["authorization"] != f"Bearer {self.key}":
            return 401, {}, b"{}"
        runs: list[dict[str, Any]] = [
            {"id": one, "status": status, "created_at": self.created_at.get(one, 1_795_000_000)}
            for one, status in reversed(self.status.items())
        ]
        return 200, self.headers, json.dumps({"data": runs, "has_more": self.has_more}).encode()
