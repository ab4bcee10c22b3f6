"""A worker that is killed at any point of a bulk task loses no answer and pays for nothing twice.

Each test forks processes that run the task and kill themselves with SIGKILL at a point of its life, and then
finishes it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_openai_run.bulk.exchange import ResponseExchange
from airflow_provider_openai_run.bulk.folder import LocalFolder
from airflow_provider_openai_run.bulk.journal import Journal
from airflow_provider_openai_run.sandbox import Sandbox
from tests.bulk.bulk_tasks import answered, lines, operator, questions
from tests.owned_runs.task_attempts import StateStore, TaskAttempts

TOTAL = 30


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class KillPoint:
    """A point at which a process kills itself: the n-th call of a function, before or after it."""

    def __init__(self, owner: Any, name: str, call: int, *, after: bool = False, torn: bool = False) -> None:
        self.owner, self.name, self.call, self.after, self.torn = owner, name, call, after, torn
        self.calls = 0

    def arm(self) -> None:
        function = getattr(self.owner, self.name)
        wrap = self._wrap_async if asyncio.iscoroutinefunction(function) else self._wrap
        setattr(self.owner, self.name, wrap(function))

    def _wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            if self.calls == self.call and not self.after:
                if self.torn:
                    folder, name, data = args
                    function(folder, name, data[: len(data) // 2])
                die()
            result = function(*args, **kwargs)
            if self.calls == self.call:
                die()
            return result

        return wrapper

    def _wrap_async(self, function: Callable[..., Any]) -> Callable[..., Any]:
        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            is_last = self.calls == self.call
            if is_last and not self.after:
                die()
            result = await function(*args, **kwargs)
            if is_last:
                die()
            return result

        return wrapper


POINTS = {
    "before the requests are copied": (LocalFolder, "publish", 1, {}),
    "before the journal begins": (LocalFolder, "publish", 2, {}),
    "before the first intent": (Journal, "record", 1, {}),
    "after an intent": (Journal, "record", 1, {"after": True}),
    "before a request": (ResponseExchange, "create", 10, {}),
    "after a response was created, before it is recorded": (ResponseExchange, "create", 10, {"after": True}),
    "while a group of records is written": (LocalFolder, "append", 8, {"torn": True}),
    "after the last end was recorded": (Journal, "record_end", TOTAL, {"after": True}),
    "before the answers appear": (LocalFolder, "publish", 3, {}),
    "after the answers appeared": (LocalFolder, "publish", 3, {"after": True}),
    "after the manifest appeared": (LocalFolder, "publish", 5, {"after": True}),
    "before the journal is removed": (LocalFolder, "remove", 1, {}),
}


def run_killed(attempts: TaskAttempts, point: KillPoint) -> bool:
    """Run the next try in a process that kills itself at a point; return whether it got there."""
    with warnings.catch_warnings():
        # The server of the sandbox is a thread of this process, which the other one does not need.
        warnings.simplefilter("ignore", DeprecationWarning)
        process = os.fork()
    if process == 0:
        try:
            logging.disable(logging.CRITICAL)
            point.arm()
            attempts.begin()
        finally:
            os._exit(0)
    attempts.tries += 1
    _, status = os.waitpid(process, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


@pytest.fixture(autouse=True)
def _responses_end_at_once(sandbox: Sandbox) -> None:
    sandbox.set_default_script("instant")


CASES = [(name, True) for name in POINTS]
CASES += [(name, False) for name in POINTS if "response was created" in name or "before a request" in name]


@pytest.mark.parametrize(("name", "honoured"), CASES)
def test_a_task_that_is_killed_has_each_answer_once(
    sandbox: Sandbox, tmp_path: Path, name: str, honoured: bool
) -> None:
    sandbox.honour_idempotency_keys(honoured)
    owner, function, call, options = POINTS[name]
    # The store of Airflow is not in the process that dies.
    attempts = TaskAttempts(operator(tmp_path / "results", questions(TOTAL)), store=StateStore())

    assert run_killed(attempts, KillPoint(owner, function, call, **options))
    manifest = attempts.begin()

    assert manifest["completed"] == TOTAL
    assert answered(tmp_path / "results") == {f"q-{number}": 1 for number in range(TOTAL)}
    assert lines(tmp_path / "results" / "errors.jsonl") == []
    responses = {line["id"] for line in lines(tmp_path / "results" / "answers.jsonl")}
    created = len(sandbox.list_responses())
    keys = {request.headers["idempotency-key"] for request in sandbox.requests if request.method == "POST"}
    assert (len(responses), len(keys)) == (TOTAL, TOTAL)
    # The window that is named in the docs: what was under way when the process was killed.
    assert created == TOTAL if honoured else created <= TOTAL + 32
