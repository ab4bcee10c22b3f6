"""Metrics and the parsed answer of a run."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.common.compat.sdk import Stats
from pydantic import BaseModel

from airflow_provider_openai_run.exceptions import AnswerFormatError
from airflow_provider_openai_run.operators.openai_run import OpenAICreateResponseOperator
from airflow_provider_openai_run.owned_runs import results
from airflow_provider_openai_run.sandbox import Sandbox
from airflow_provider_openai_run.types.message_content import Answer
from airflow_provider_openai_run.types.run import Run
from tests.owned_runs.fresh_runs import _runs_end_at_once  # noqa: F401 - a fixture
from tests.owned_runs.task_attempts import TaskAttempts


class Colour(BaseModel):
    name: str


@pytest.mark.parametrize("text", [None, "", "no JSON", "{}"])
def test_an_answer_that_does_not_match_is_an_error_with_the_run_id(text: str | None) -> None:
    with pytest.raises(AnswerFormatError, match="run_1"):
        results.parse_answer(Answer(text=text), Colour, Run(id="run_1"))


def test_metrics_are_tagged_with_api_model_and_status(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: dict[str, Any] = {}
    monkeypatch.setattr(Stats, "incr", lambda name, count=1, tags=None: sent.update({name: (count, tags)}))
    monkeypatch.setattr(Stats, "timing", lambda name, ms, tags=None: sent.update({name: (ms, tags)}))
    TaskAttempts(OpenAICreateResponseOperator(task_id="task", model="gpt-5.2", input="Hi")).begin()
    tags = {"api": "responses", "model": "gpt-5.2", "status": "completed"}
    assert sent["openai_run.ended"] == (1, tags)
    assert sent["openai_run.tokens"] == (150, tags)
    assert sent["openai_run.duration"] == (0, tags)


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
def test_the_duration_ends_at_the_end_of_the_run(monkeypatch: pytest.MonkeyPatch, status: str) -> None:
    timed: list[float] = []
    monkeypatch.setattr(Stats, "timing", lambda name, ms, tags=None: timed.append(ms))
    ended: dict[str, Any] = {f"{status}_at": 103}
    run = Run(id="run_1", status=status, created_at=100, **ended)
    results.send_metrics({"api": "assistants", "model": "gpt-5.2", "total_tokens_of_all_rounds": None}, run)
    assert timed == [3000]


def test_the_duration_is_never_negative(monkeypatch: pytest.MonkeyPatch) -> None:
    timed: list[float] = []
    monkeypatch.setattr(Stats, "timing", lambda name, ms, tags=None: timed.append(ms))
    ahead = Run(id="resp_1", status="failed", created_at=9_999_999_999)
    results.send_metrics({"api": "responses", "model": "gpt-5.2", "total_tokens_of_all_rounds": None}, ahead)
    assert timed == [0]
