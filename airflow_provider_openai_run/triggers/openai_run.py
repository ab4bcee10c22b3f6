"""The trigger: waits for the end of a run in the triggerer, at next to no cost."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, Self

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_openai_run.run_ref import RunRef
from airflow_provider_openai_run.wait_options import SoFar, WaitOptions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from airflow_provider_openai_run.waiting import Decision, Wait
    from airflow_provider_openai_run.watcher import Watch

_WATCHER = "airflow_provider_openai_run.watcher"
_CANCELLING = "airflow_provider_openai_run.operators.cancelling"


class OpenAIRunTrigger(BaseTrigger):
    """
    Waits until a run has ended, and sends one small event with its ids and its status.

    All triggers of a triggerer that use one connection are served by one watcher, see
    :mod:`airflow_provider_openai_run.watcher`. The run is never cancelled.

    :param conn_id: the OpenAI connection.
    :param run_id: the run, or the response.
    :param thread_id: the thread of the run; None for a response.
    :param so_far: what the worker has learned before it deferred:
        :class:`~airflow_provider_openai_run.wait_options.SoFar` as plain JSON.
    :param options: ``started_at``, ``deadline``, ``poll_interval``, ``max_poll_interval``,
        ``on_requires_action`` and ``max_consecutive_failures`` of
        :class:`~airflow_provider_openai_run.wait_options.WaitOptions`.
    """

    def __init__(
        self,
        *,
        conn_id: str,
        run_id: str,
        thread_id: str | None = None,
        so_far: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's own
        self.conn_id = conn_id
        self.ref = RunRef(run_id, thread_id)
        self.options = WaitOptions(**options)
        self.so_far = SoFar(**so_far or {})

    @classmethod
    def for_wait(cls, conn_id: str, wait: Wait) -> Self:
        """
        Give the trigger that goes on with a wait.

        :param conn_id: the OpenAI connection.
        :param wait: what was waited for so far.
        """
        ref = wait.ref
        options = dataclasses.asdict(wait.options)
        so_far = dataclasses.asdict(wait.so_far)
        return cls(conn_id=conn_id, run_id=ref.run_id, thread_id=ref.thread_id, so_far=so_far, **options)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Give what the trigger is built anew from: ids, times and options; no secret."""
        about = {"conn_id": self.conn_id, "run_id": self.ref.run_id, "thread_id": self.ref.thread_id}
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {**about, **dataclasses.asdict(self.options), "so_far": dataclasses.asdict(self.so_far)},
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, tell the task's log about changes and troubles, and send the outcome."""
        watcher = await _watcher()
        from airflow_provider_openai_run.outcome import Outcome
        from airflow_provider_openai_run.waiting import Wait

        watch: Watch = watcher.watch(self.conn_id, Wait(self.ref, self.options, so_far=self.so_far))
        try:
            while not isinstance(decision := await watch.news(), Outcome):
                self._log_notes(decision)
        finally:
            watch.leave()
        self._log_notes(decision)
        yield TriggerEvent(decision.to_event())

    def _log_notes(self, decision: Decision) -> None:
        for note in decision.notes:
            self.log.log(note.level, note.text)


class OpenAIOwnedRunTrigger(OpenAIRunTrigger):
    """
    Waits for a run that the task has made, and cancels it if a user ends the task meanwhile.

    That is: marks it failed or success, or clears it, on Airflow 3.3 and later. The triggerer's stop or
    restart, the end of the deadline and the normal end cancel nothing. It takes what
    :class:`OpenAIRunTrigger` takes.
    """

    async def on_kill(self) -> None:
        """Cancel the run; a failure is logged with the run's id."""
        cancelling: Any = await asyncio.to_thread(import_module, _CANCELLING)
        await cancelling.acancel_when_killed(self.conn_id, self.ref, self.log)


async def _watcher() -> Any:
    """Give the watcher's module, imported off the event loop: the SDK it brings takes half a second."""
    module = sys.modules.get(_WATCHER)
    if hasattr(module, "watch"):
        return module
    # Not there, or another thread is importing it.
    return await asyncio.to_thread(import_module, _WATCHER)
