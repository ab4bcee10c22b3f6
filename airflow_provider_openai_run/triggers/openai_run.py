"""The trigger: waits for the end of a run in the triggerer, at next to no cost."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
from typing import TYPE_CHECKING, Any, Self

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_openai_run.api.registry import run_ref
from airflow_provider_openai_run.polling.options import PollOptions, PollState
from airflow_provider_openai_run.triggers._lazy_import import import_off_loop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from airflow_provider_openai_run.polling.policy import Decision, RunPoller
    from airflow_provider_openai_run.triggerer.connection_poller import Subscription
    from airflow_provider_openai_run.types.outcome import Outcome


class OpenAIRunTrigger(BaseTrigger):
    """
    Waits until a run has ended, and sends one small event with its ids and its status.

    All triggers of a triggerer that use one connection are served by one watcher, see
    :mod:`airflow_provider_openai_run.triggerer`. The run is never cancelled.

    :param conn_id: the OpenAI connection.
    :param run_id: the run, or the response.
    :param thread_id: the thread of the run; None for a response.
    :param so_far: what the worker has learned before it deferred:
        :class:`~airflow_provider_openai_run.polling.options.PollState` as plain JSON.
    :param publish: whether to leave changes of the run's status in XCom, for the run's page.
    :param options: ``started_at``, ``deadline``, ``poll_interval``, ``max_poll_interval``,
        ``on_requires_action`` and ``max_consecutive_failures`` of
        :class:`~airflow_provider_openai_run.polling.options.PollOptions`.
    """

    def __init__(
        self,
        *,
        conn_id: str,
        run_id: str,
        thread_id: str | None = None,
        api: str | None = None,
        parent_id: str | None = None,
        poll_state: dict[str, Any] | None = None,
        publish: bool = True,
        **options: Any,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's own
        self.conn_id = sys.intern(conn_id)
        self.ref = run_ref(run_id, api=api, parent_id=parent_id, thread_id=thread_id)
        self.options = PollOptions(**options)
        self.poll_state = PollState(**poll_state or {})
        self.publish = publish
        self._publishing: asyncio.Task[None] | None = None

    @classmethod
    def for_wait(cls, conn_id: str, wait: RunPoller, *, publish: bool = True) -> Self:
        """
        Give the trigger that goes on with a wait.

        :param conn_id: the OpenAI connection.
        :param wait: what was waited for so far.
        :param publish: whether to leave changes of the run's status in XCom.
        """
        ref = wait.ref
        options = dataclasses.asdict(wait.options)
        poll_state = dataclasses.asdict(wait.poll_state)
        about: dict[str, Any] = {"conn_id": conn_id, **ref.ids}
        return cls(**about, poll_state=poll_state, publish=publish, **options)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Give what the trigger is built anew from: ids, times and options; no secret."""
        about = {"conn_id": self.conn_id, **self.ref.ids}
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                **about,
                **dataclasses.asdict(self.options),
                "poll_state": dataclasses.asdict(self.poll_state),
                "publish": self.publish,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, tell the task's log about changes and troubles, and send the outcome."""
        poller = await import_off_loop("airflow_provider_openai_run.triggerer.connection_poller")
        from airflow_provider_openai_run.polling.policy import RunPoller

        watch: Subscription = poller.watch(
            self.conn_id, RunPoller(self.ref, self.options, poll_state=self.poll_state)
        )
        outcome: Outcome | None = None
        try:
            while outcome is None:
                outcome = await self._told(await watch.news())
        finally:
            watch.leave()
            if self._publishing is not None:
                self._publishing.cancel()
        yield TriggerEvent(outcome.to_event())

    async def _told(self, decision: Decision) -> Outcome | None:
        """Log and publish what is new; give the outcome, if it is one."""
        from airflow_provider_openai_run.types.outcome import Outcome

        # The class's logger: Airflow would make one of a kilobyte for each trigger.
        for message in decision.log_messages:
            self.logger().log(message.level, message.text)
        earlier = self._publishing
        if not isinstance(decision, Outcome):
            if decision.run is not None and self.publish and self.task_instance is not None:
                # Beside the wait: the end is not to wait for what is only for show.
                self._publishing = asyncio.create_task(self._publish(decision, earlier))
            return None
        if earlier is None:
            await self._publish(decision, None)
        return decision

    async def _publish(self, decision: Decision, earlier: asyncio.Task[None] | None) -> None:
        from airflow_provider_openai_run.progress import push_async

        if earlier is not None:
            await earlier
        if self.publish and self.task_instance is not None:
            self.publish = await push_async(decision, self.task_instance)
        if self._publishing is asyncio.current_task():
            self._publishing = None


class OpenAIOwnedRunTrigger(OpenAIRunTrigger):
    """
    Waits for a run that the task has made, and cancels it if a user ends the task meanwhile.

    That is: marks it failed or success, or clears it, on Airflow 3.3 and later. The triggerer's stop or
    restart, the end of the deadline and the normal end cancel nothing. It takes what
    :class:`OpenAIRunTrigger` takes.
    """

    async def on_kill(self) -> None:
        """Cancel the run; a failure is logged with the run's id."""
        cancellation = await import_off_loop("airflow_provider_openai_run.cancellation")
        reason = cancellation.CancelReason.USER_ENDED_TASK
        await cancellation.cancel_async(self.conn_id, self.ref, reason, self.log)
