"""The signal to a pass of a bulk task that Airflow kills it: it creates nothing more, and cancels."""

from __future__ import annotations

import asyncio


class StopSignal:
    """Set by ``on_kill`` of the operator, which Airflow calls in the handler of a signal."""

    def __init__(self) -> None:
        self.is_set = False
        self._listener: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None

    def listen(self, event: asyncio.Event) -> None:
        """
        Set an event of the running loop when the signal is set.

        :param event: the event.
        """
        self._listener = (asyncio.get_running_loop(), event)

    def set(self) -> None:
        """Set the signal; the running pass notices it at its next step."""
        self.is_set = True
        if self._listener is not None:
            loop, event = self._listener
            if not loop.is_closed():
                loop.call_soon_threadsafe(event.set)
