"""An event loop whose clock stands still while anything happens, and leaps to the next timer otherwise."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

#: Epoch seconds when the loop's clock shows nought.
EPOCH = 1_795_000_000.0


class VirtualLoop(asyncio.SelectorEventLoop):
    """
    The loop.

    It raises where a loop of real time would wait for ever. Its ``time`` starts at 1,000.
    """

    def __init__(self) -> None:
        self._now = 1000.0
        super().__init__(_LeapingSelector(self._leap))

    def time(self) -> float:
        return self._now

    def _leap(self, seconds: float) -> None:
        self._now += seconds

    def left_over(self) -> list[str]:
        """The tasks and timers that are still to run, beside the task that asks."""
        tasks = [repr(task) for task in asyncio.all_tasks(self) if task is not asyncio.current_task()]
        timers = [repr(timer) for timer in vars(self)["_scheduled"] if not timer.cancelled()]
        return tasks + timers


class _LeapingSelector(selectors.SelectSelector):
    def __init__(self, leap: Callable[[float], None]) -> None:
        super().__init__()
        self._leap = leap

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready:
            return ready
        if timeout is None:
            raise RuntimeError("Nothing will ever happen any more.")
        if timeout > 0:
            self._leap(timeout)
        return []


class Clock:
    """What the module ``time`` is to code under test: the clocks of the running virtual loop."""

    def time(self) -> float:
        return EPOCH + asyncio.get_running_loop().time()

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run to the end, in no time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
