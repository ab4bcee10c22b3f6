"""
A clock that only sleeping moves, for the sandbox, this package and Airflow's sensors.

A sleep moves the clock and returns at once, so a wait of an hour takes as long as its requests.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import functools
import selectors
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from importlib import import_module
from types import ModuleType, SimpleNamespace
from typing import Any, TypeVar

import pytest

from airflow_provider_openai_run.sandbox import Clock

T = TypeVar("T")

#: The modules that read the time while waiting for a run; what they import is covered too.
_WAITING_MODULES = (
    "airflow_provider_openai_run.cancellation",
    "airflow_provider_openai_run.hooks.openai_run",
    "airflow_provider_openai_run.kept_result",
    "airflow_provider_openai_run.metrics",
    "airflow_provider_openai_run.operators.cancel_run",
    "airflow_provider_openai_run.operators.get_run",
    "airflow_provider_openai_run.operators.create_response",
    "airflow_provider_openai_run.owned_runs.runner",
    "airflow_provider_openai_run.sensors.openai_run",
    "airflow_provider_openai_run.triggerer.connection_poller",
    "airflow_provider_openai_run.triggerer.subscription_group",
    "airflow_provider_openai_run.triggers._run_list_report",
    "airflow_provider_openai_run.events.thread_feed",
)
_OURS, _SANDBOX = "airflow_provider_openai_run", "airflow_provider_openai_run.sandbox"


class FakeClock:
    """
    A stand-in for the module ``time``.

    :param clock: the clock of the sandbox.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.slept: list[float] = []
        self.open_requests = 0

    def time(self) -> float:
        return self.clock.now()

    monotonic = time

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.advance(seconds)

    async def async_sleep(self, seconds: float) -> None:
        self.sleep(seconds)

    def utcnow(self) -> dt.datetime:
        return dt.datetime.fromtimestamp(self.time(), dt.UTC)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Replace the clocks of all modules that wait for runs."""
        imported = {name: import_module(name) for name in _WAITING_MODULES}
        # Triggers import in a thread, which this loop would not wait for.
        lazy_import = import_module("airflow_provider_openai_run.triggers._lazy_import")
        monkeypatch.setattr(lazy_import, "_imported", imported)
        task_xcoms = import_module("airflow_provider_openai_run.task_xcoms")
        xcom = import_module("airflow.sdk.execution_time.xcom")
        monkeypatch.setattr(task_xcoms, "_imported", {xcom.__name__: xcom})
        sensor = import_module("airflow.sdk.bases.sensor")
        for module in (sensor, *_own_modules()):
            if vars(module).get("time") is time:
                monkeypatch.setattr(module, "time", self)
        monkeypatch.setattr(sensor, "timezone", SimpleNamespace(utcnow=self.utcnow))
        loop_functions = SimpleNamespace(sleep=self.async_sleep, to_thread=asyncio.to_thread)
        for name in ("hooks.openai_run", "connection.file_transfer"):
            module = import_module(f"airflow_provider_openai_run.{name}")
            monkeypatch.setattr(module, "asyncio", loop_functions)
        transport = import_module("airflow_provider_openai_run.triggerer.replay_transport").ReplayTransport
        monkeypatch.setattr(transport, "send", self._counted(transport.send))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in an event loop on this clock, and then the tasks that it has started."""
        with asyncio.Runner(loop_factory=lambda: _Loop(self)) as runner:
            return runner.run(_with_started_tasks(work))

    def _counted(self, send: Callable[..., Awaitable[T]]) -> Callable[..., Awaitable[T]]:
        @functools.wraps(send)
        async def counted(*arguments: Any) -> T:
            self.open_requests += 1
            try:
                return await send(*arguments)
            finally:
                self.open_requests -= 1

        return counted


def _own_modules() -> list[ModuleType]:
    return [
        module
        for name, module in sys.modules.items()
        if name.startswith(_OURS) and not name.startswith(_SANDBOX)
    ]


class _Loop(asyncio.SelectorEventLoop):
    """
    An event loop that skips the time until its next timer, except while a request is open.

    The time that a request takes moves the clock, so that loop and clock agree on what is due.
    """

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._read_at = time.monotonic()
        super().__init__(_Selector(self._skip))

    def time(self) -> float:
        before, self._read_at = self._read_at, time.monotonic()
        return self._clock.clock.advance(self._read_at - before)

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Wait for the threads without the limit of Python 3.12: on this clock it is over at once."""
        await super().shutdown_default_executor()

    def _skip(self, seconds: float) -> bool:
        if self._clock.open_requests:
            return False
        self._clock.sleep(seconds)
        return True


class _Selector(selectors.DefaultSelector):
    """
    A selector that can skip the time in which nothing happens.

    :param skip: skips so many seconds and returns True, or returns False.
    """

    def __init__(self, skip: Callable[[float], bool]) -> None:
        super().__init__()
        self._skip = skip

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        return super().select(0) or ([] if self._skip(timeout) else super().select(timeout))


async def _with_started_tasks(work: Coroutine[Any, Any, T]) -> T:
    try:
        return await work
    finally:
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()}, return_exceptions=True)
