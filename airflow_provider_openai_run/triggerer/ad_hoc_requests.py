"""Asking for other things than the state of one run, by the watcher that a connection has anyway."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import contextvars
    from collections.abc import Coroutine

    from airflow_provider_openai_run.api.base import Request
    from airflow_provider_openai_run.api.http import ApiResponse
    from airflow_provider_openai_run.types.run_ref import RunRef


class Poller(Protocol):
    """What the watcher of a connection does for those who ask by it."""

    context: contextvars.Context

    @property
    def base_url(self) -> str:
        """Where the connection points to; empty before the first request."""

    def admit(self, asker: AdHocRequests) -> None:
        """Stay open for somebody."""

    def leave(self, left: AdHocRequests) -> None:
        """Stay open no longer for somebody."""

    async def ask_in_turn(self, request: Request, ref: RunRef) -> ApiResponse:
        """Ask when the API bears it."""


class AdHocRequests:
    """
    Asks by a watcher: with its client, at its rate, and in a context that is no trigger's.

    :param watcher: the watcher of the connection.
    """

    def __init__(self, watcher: Poller) -> None:
        self._watcher = watcher
        self._tasks: set[asyncio.Task[Any]] = set()
        self.has_left = False
        watcher.admit(self)

    @property
    def base_url(self) -> str:
        """Where the connection points to; empty before the first request."""
        return self._watcher.base_url

    def ask(self, request: Request, ref: RunRef) -> asyncio.Task[ApiResponse]:
        """
        Ask when the API bears it.

        :param request: a GET.
        :param ref: what it is about.
        :return: a task that gives the answer, whatever its status, or raises a ``RunRequestError``.
        """
        return self.start(self._watcher.ask_in_turn(request, ref))

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Start a task that ends when this leaves, at the latest."""
        task = self._watcher.context.run(asyncio.get_running_loop().create_task, work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def leave(self) -> None:
        """Ask nothing more. The last one out closes the watcher."""
        self.has_left = True
        for task in self._tasks:
            task.cancel()
        self._watcher.context.run(self._watcher.leave, self)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            # Whoever wanted to know may have gone.
            task.exception()
