"""An event loop with a virtual clock: it skips the time in which nothing happens."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

#: The epoch seconds at which the loop's clock shows 0.
EPOCH = 1_795_000_000.0


class VirtualLoop(asyncio.SelectorEventLoop):
    """
    An event loop with a virtual clock, which starts at 1,000 seconds.

    It raises where a loop in real time would wait without end.
    """

    def __init__(self) -> None:
        self._now = 1000.0
        super().__init__(_SkippingSelector(self._advance))

    def time(self) -> float:
        return self._now

    def _advance(self, seconds: float) -> None:
        self._now += seconds

    def unfinished(self) -> list[str]:
        """Return the tasks and timers that have not ended, without the current task."""
        tasks = [repr(task) for task in asyncio.all_tasks(self) if task is not asyncio.current_task()]
        timers = [repr(timer) for timer in vars(self)["_scheduled"] if not timer.cancelled()]
        return tasks + timers


class _SkippingSelector(selectors.SelectSelector):
    """
    A selector that does not wait.

    :param advance: moves the virtual clock by seconds, in place of a wait.
    """

    def __init__(self, advance: Callable[[float], None]) -> None:
        super().__init__()
        self._advance = advance

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready:
            return ready
        if timeout is None:
            raise RuntimeError("The event loop waits for something that cannot happen.")
        if timeout > 0:
            self._advance(timeout)
        return []


class Clock:
    """A replacement for the module ``time``: it shows the clock of the running virtual loop."""

    def time(self) -> float:
        return EPOCH + asyncio.get_running_loop().time()

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in virtual time, and return its result."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
