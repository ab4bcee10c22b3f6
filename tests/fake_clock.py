"""A time that stands still until somebody would sleep: the sandbox's, our own code's and Airflow's sensors'.

Sleeping moves it and returns at once, so a wait of an hour takes as long as its requests.
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

#: Whoever asks what time it is while waiting for a run, with all that these import.
_ASKING = (
    "airflow_provider_openai_run.hooks.openai_run",
    "airflow_provider_openai_run.operators.openai_run",
    "airflow_provider_openai_run.sensors.openai_run",
    "airflow_provider_openai_run.triggerer.connection_poller",
    "airflow_provider_openai_run.events.thread_feed",
)
_OURS, _SANDBOX = "airflow_provider_openai_run", "airflow_provider_openai_run.sandbox"


class FakeClock:
    """
    Stands in for the module ``time``.

    :param clock: the sandbox's own.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.slept: list[float] = []
        self.asking = 0

    def time(self) -> float:
        return self.clock.now()

    monotonic = time

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.advance(seconds)

    async def asleep(self, seconds: float) -> None:
        self.sleep(seconds)

    def utcnow(self) -> dt.datetime:
        return dt.datetime.fromtimestamp(self.time(), dt.UTC)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let this be the time of all who wait for runs."""
        for name in _ASKING:
            import_module(name)
        sensor = import_module("airflow.sdk.bases.sensor")
        for module in (sensor, *_own_modules()):
            if vars(module).get("time") is time:
                monkeypatch.setattr(module, "time", self)
        monkeypatch.setattr(sensor, "timezone", SimpleNamespace(utcnow=self.utcnow))
        hook = import_module("airflow_provider_openai_run.hooks.openai_run")
        loop_functions = SimpleNamespace(sleep=self.asleep, to_thread=asyncio.to_thread)
        monkeypatch.setattr(hook, "asyncio", loop_functions)
        repeater = import_module("airflow_provider_openai_run.triggerer.replay_transport").ReplayTransport
        monkeypatch.setattr(repeater, "ask", self._counted(repeater.ask))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in an event loop of this time, and let what it leaves behind come to its end."""
        with asyncio.Runner(loop_factory=lambda: _Loop(self)) as runner:
            return runner.run(_with_what_it_began(work))

    def _counted(self, ask: Callable[..., Awaitable[T]]) -> Callable[..., Awaitable[T]]:
        @functools.wraps(ask)
        async def counted(*arguments: Any) -> T:
            self.asking += 1
            try:
                return await ask(*arguments)
            finally:
                self.asking -= 1

        return counted


def _own_modules() -> list[ModuleType]:
    return [
        module
        for name, module in sys.modules.items()
        if name.startswith(_OURS) and not name.startswith(_SANDBOX)
    ]


class _Loop(asyncio.SelectorEventLoop):
    """
    An event loop that does not wait for its timers, except while the API is being asked.

    The time that this does take passes for everybody: what is due by the loop is due by the clock.
    """

    def __init__(self, stopped: FakeClock) -> None:
        self._stopped = stopped
        self._looked_at = time.monotonic()
        super().__init__(_Selector(self._leap))

    def time(self) -> float:
        before, self._looked_at = self._looked_at, time.monotonic()
        return self._stopped.clock.advance(self._looked_at - before)

    def _leap(self, seconds: float) -> bool:
        if self._stopped.asking:
            return False
        self._stopped.sleep(seconds)
        return True


class _Selector(selectors.DefaultSelector):
    """
    A selector that may leap over the time in which nothing would happen.

    :param leap: leaps over so many seconds, or says that it does not.
    """

    def __init__(self, leap: Callable[[float], bool]) -> None:
        super().__init__()
        self._leap = leap

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        return super().select(0) or ([] if self._leap(timeout) else super().select(timeout))


async def _with_what_it_began(work: Coroutine[Any, Any, T]) -> T:
    try:
        return await work
    finally:
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()}, return_exceptions=True)
