"""
A wall clock that can be set: Python imports this module at its start if its folder is on the path.

It shifts ``time.time()`` by the seconds in a file, in every process of the cluster at once. Debian 12's
libfaketime cannot do that for Python 3.11: unless it shifts the monotonic clock too, ``time.sleep()`` fails.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

FILE = "CLUSTER_CLOCK_FILE"
READ_SECONDS = 0.5

real_time = time.time


class SettableClock:
    """
    The wall clock plus the seconds in a file, which is read again twice a second.

    :param path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0.0
        self._read_at = float("-inf")

    def time(self) -> float:
        """Return the time in epoch seconds."""
        now = time.monotonic()
        if now - self._read_at > READ_SECONDS:
            self._read_at = now
            try:
                self._offset = float(self._path.read_text())
            except (OSError, ValueError):
                self._offset = 0.0
        return real_time() + self._offset


if FILE in os.environ:
    time.time = SettableClock(Path(os.environ[FILE])).time
