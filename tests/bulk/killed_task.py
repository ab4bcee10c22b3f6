"""Runs a bulk task, and kills its own process with SIGKILL at a point of the task's life.

``python -m tests.bulk.killed_task POINT FOLDER``: the connection is in the environment.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from airflow_provider_openai_run.bulk.exchange import ResponseExchange
from airflow_provider_openai_run.bulk.folder import LocalFolder
from airflow_provider_openai_run.bulk.journal import Journal
from tests.bulk.bulk_tasks import TOTAL, operator, questions
from tests.owned_runs.task_attempts import StateStore, TaskAttempts


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


def main(name: str, folder: str) -> None:
    """
    Run the task.

    :param name: a key of :data:`POINTS`.
    :param folder: where its results are.
    """
    owner, function, call, options = POINTS[name]
    KillPoint(owner, function, call, **options).arm()
    TaskAttempts(operator(folder, questions(TOTAL)), store=StateStore()).begin()


if __name__ == "__main__":
    main(*sys.argv[1:])
