"""The time that scripted runs live by."""

from __future__ import annotations

import threading
import time


class Clock:
    """
    A clock that can be hurried, stopped and set forward.

    :param speed: how many of its seconds pass in a real one. At 0 it stands still and only :meth:`advance`
        moves it, which is what tests want.
    :param start: where it begins, in epoch seconds; now, unless given.
    """

    def __init__(self, *, speed: float = 1.0, start: float | None = None) -> None:
        if speed < 0:
            raise ValueError("a clock's speed is 0 or more")
        self.speed = speed
        self._lock = threading.Lock()
        self._reached = time.time() if start is None else start
        self._looked_at = time.monotonic()

    @classmethod
    def manual(cls, start: float | None = None) -> Clock:
        """
        Make a clock that moves only when told.

        :param start: where it begins, in epoch seconds; now, unless given.
        """
        return cls(speed=0, start=start)

    def now(self) -> float:
        """Tell the time in epoch seconds."""
        with self._lock:
            looked_at = time.monotonic()
            self._reached += (looked_at - self._looked_at) * self.speed
            self._looked_at = looked_at
            return self._reached

    def advance(self, seconds: float) -> float:
        """
        Set the clock forward.

        :param seconds: by how much; never backwards.
        :return: the time it shows then.
        """
        if seconds < 0:
            raise ValueError("a clock does not run backwards")
        with self._lock:
            self._reached += seconds
        return self.now()
