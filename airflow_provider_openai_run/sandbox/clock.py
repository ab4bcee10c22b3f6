"""The clock of the scripted runs."""

from __future__ import annotations

import threading
import time


class Clock:
    """
    A clock that can run faster, stand still and be advanced.

    :param speed: clock seconds per real second, 0 or more. At 0 only :meth:`advance` moves the clock, as
        tests need it.
    :param start: initial time in epoch seconds; the current time by default.
    """

    def __init__(self, *, speed: float = 1.0, start: float | None = None) -> None:
        if speed < 0:
            raise ValueError("speed must be 0 or more")
        self.speed = speed
        self._lock = threading.Lock()
        self._time = time.time() if start is None else start
        self._updated_at = time.monotonic()

    @classmethod
    def manual(cls, start: float | None = None) -> Clock:
        """
        Return a clock that only :meth:`advance` moves.

        :param start: initial time in epoch seconds; the current time by default.
        """
        return cls(speed=0, start=start)

    def now(self) -> float:
        """Return the time in epoch seconds."""
        with self._lock:
            updated_at = time.monotonic()
            self._time += (updated_at - self._updated_at) * self.speed
            self._updated_at = updated_at
            return self._time

    def advance(self, seconds: float) -> float:
        """
        Advance the clock.

        :param seconds: 0 or more.
        :return: the new time in epoch seconds.
        :raises ValueError: ``seconds`` is negative.
        """
        if seconds < 0:
            raise ValueError("seconds must be 0 or more")
        with self._lock:
            self._time += seconds
        return self.now()
