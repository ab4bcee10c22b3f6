"""Requests other than polls of a run, sent by the poller of their connection."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import contextvars
    from collections.abc import Coroutine

    from airflow_provider_openai_run.api.base import Request
    from airflow_provider_openai_run.api.http import ApiResponse
    from airflow_provider_openai_run.types.run_ref import RunRef


class RequestSender(Protocol):
    """The part of a connection's poller that sends requests for others."""

    context: contextvars.Context

    @property
    def base_url(self) -> str:
        """The base URL of the connection; empty before the first request."""

    def attach(self, user: AdHocRequests) -> None:
        """Stay open until this user is detached."""

    def detach(self, user: AdHocRequests) -> None:
        """Close unless others use the poller."""

    async def send(self, request: Request, ref: RunRef | None, *, is_poll: bool = False) -> ApiResponse:
        """Send a request as soon as the rate limiter allows it."""

    def set_demand(self, user: AdHocRequests, polls_per_second: float) -> None:
        """Set how often a user polls."""


class AdHocRequests:
    """
    Send requests with the client and the rate limiter of a connection's poller.

    They run in a context of their own, which is that of no trigger.

    :param sender: the poller of the connection.
    """

    def __init__(self, sender: RequestSender) -> None:
        self._sender = sender
        self._tasks: set[asyncio.Task[Any]] = set()
        self.is_closed = False
        #: How many polls a second it counts for, see ``Pacer``.
        self.demand = 0.0
        sender.attach(self)

    @property
    def base_url(self) -> str:
        """The base URL of the connection; empty before the first request."""
        return self._sender.base_url

    def set_poll_interval(self, seconds: float) -> None:
        """Set how often this user polls, so that the polls of all users of the connection are spread."""
        self._sender.set_demand(self, 1 / seconds)

    def send(
        self, request: Request, ref: RunRef | None, *, is_poll: bool = False
    ) -> asyncio.Task[ApiResponse]:
        """
        Send a request as soon as the rate limiter allows it.

        :param request: a GET may be sent twice; any other request is sent once, unless the API refuses the
            credentials.
        :param ref: the run that it is about, for error messages; None before the run has an id.
        :param is_poll: whether it is repeated at the interval of :meth:`set_poll_interval`.
        :return: a task that returns the response, whatever its HTTP status, or raises a ``RunRequestError``.
        """
        return self.start(self._sender.send(request, ref, is_poll=is_poll))

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Start a task that is cancelled on :meth:`close`, if it has not ended by then."""
        task = self._sender.context.run(asyncio.get_running_loop().create_task, coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._on_task_done)
        return task

    def close(self) -> None:
        """Cancel what was started; the last user of a connection closes its poller."""
        self.is_closed = True
        for task in self._tasks:
            task.cancel()
        self._sender.context.run(self._sender.detach, self)

    def _on_task_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            # Marks the error as retrieved: the caller may no longer wait for the result.
            task.exception()
