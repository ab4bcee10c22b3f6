"""Triggers that wait for the end of a run without occupying a worker."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
import time
from typing import TYPE_CHECKING, Any, Self

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_openai_run.api.parsing import dict_or_none
from airflow_provider_openai_run.api.registry import run_ref
from airflow_provider_openai_run.polling.backoff import DEFAULT_POLL_INTERVAL
from airflow_provider_openai_run.polling.options import (
    DEFAULT_MAX_CONSECUTIVE_FAILURES,
    MIN_RESUME_DELAY,
    PollOptions,
    PollState,
    RequiresActionPolicy,
    StalledPolicy,
    TimeLimit,
)
from airflow_provider_openai_run.triggers._lazy_import import import_off_loop
from airflow_provider_openai_run.triggers._stored_arguments import checked_arguments, ignore_unknown
from airflow_provider_openai_run.triggers._wait_start import begin_wait

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from airflow_provider_openai_run.polling.policy import Decision, RunPoller
    from airflow_provider_openai_run.triggerer.subscription import Subscription
    from airflow_provider_openai_run.types.outcome import Outcome

_CONNECTION_POLLER = "airflow_provider_openai_run.triggerer.connection_poller"
_KEPT_RESULT = "airflow_provider_openai_run.kept_result"
_METRICS = "airflow_provider_openai_run.metrics"
_POLL_STATE_FIELDS = {field.name for field in dataclasses.fields(PollState)}


class OpenAIRunTrigger(BaseTrigger):
    """
    Wait until a run has ended, and send one small event with its ids and its status.

    All triggers of a triggerer that use one connection share one poller, see
    :mod:`airflow_provider_openai_run.triggerer`. The run is never cancelled.

    Arguments that other versions of the provider have stored are accepted: those of older versions keep their
    meaning, and those that only a newer version knows are ignored, with a warning in the log.

    :param conn_id: the OpenAI connection.
    :param run_id: the run's id; for a response, the response's id.
    :param api: the API's name, a key of :data:`airflow_provider_openai_run.api.registry.APIS`. None chooses
        it by the other ids, see :func:`airflow_provider_openai_run.api.registry.run_ref`.
    :param parent_id: the id of what the run belongs to, where ``api`` is set.
    :param thread_id: the run's thread, in place of ``api`` and ``parent_id``; None for a response.
    :param started_at: when the task first started to wait, in epoch seconds; kept over restarts.
    :param deadline: when to stop waiting, in epoch seconds; None for no limit.
    :param limit: the argument of the task that the deadline comes from, for the error: ``"timeout"`` or
        ``"execution_timeout"``.
    :param poll_interval: the shortest interval between polls, in seconds or as a timedelta; 5 s by default.
    :param max_poll_interval: the longest, in seconds or as a timedelta; the same as ``poll_interval`` for a
        fixed interval. None means 120 s, 300 s for a batch, or ``poll_interval`` if
        that is more.
    :param on_requires_action: what to do about a run that needs tool outputs or an approval: ``"wait"`` until
        it has got them, ``"fail"``, ``"return"`` with that status, or ``"answer"``, which returns too.
    :param max_consecutive_failures: after how many failed requests in a row the wait fails; 20 by default.
    :param stalled_after: after how long without a change a run is stalled, in seconds or as a timedelta; None
        means never.
    :param on_stalled: what to do about it: ``"wait"`` logs it once, ``"fail"`` ends the wait.
    :param include: names of further output to retrieve with the run, in the API's words.
    :param poll_state: what the worker knows of the run already, as plain JSON:
        :class:`~airflow_provider_openai_run.polling.options.PollState`.
    :param push_progress: whether to push changes of the run's status to XCom, for the run's page.
    :param keep_result: whether to keep the run in XCom at its end, until the task resumes; see
        :mod:`airflow_provider_openai_run.kept_result`.
    :param earliest_resume_at: before this time, in epoch seconds, the run is not polled and no event is sent;
        at most ten seconds after the trigger has started. 0 means no such time. Kept over restarts.
    :raises InvalidTriggerArgumentError: (a ``ValueError``) for an invalid id or a value out of its range.
    """

    #: Whether the task resumes on a worker, which pushes the end of the run for the page.
    worker_follows = True

    def __init__(
        self,
        *,
        conn_id: str,
        run_id: str,
        api: str | None = None,
        parent_id: str | None = None,
        thread_id: str | None = None,
        started_at: float,
        deadline: float | None = None,
        limit: TimeLimit = "timeout",
        poll_interval: float = DEFAULT_POLL_INTERVAL,
        max_poll_interval: float | None = None,
        on_requires_action: RequiresActionPolicy = "wait",
        max_consecutive_failures: int = DEFAULT_MAX_CONSECUTIVE_FAILURES,
        stalled_after: float | None = None,
        on_stalled: StalledPolicy = "wait",
        include: Sequence[str] = (),
        poll_state: dict[str, Any] | None = None,
        push_progress: bool = True,
        keep_result: bool = False,
        earliest_resume_at: float = 0.0,
        **stored: Any,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's own
        # The names that version 0.1.0 stored.
        older_state = stored.pop("so_far", None)
        state: dict[str, Any] = dict_or_none(poll_state or older_state) or {}
        self.push_progress = bool(stored.pop("publish", push_progress))
        self.keep_result = bool(keep_result)
        ignore_unknown(type(self).__qualname__, {*stored, *(state.keys() - _POLL_STATE_FIELDS)})
        self.conn_id = sys.intern(conn_id)
        with checked_arguments():
            self.ref = run_ref(run_id, api=api, parent_id=parent_id, thread_id=thread_id)
            self.options = PollOptions(
                started_at=started_at,
                deadline=deadline,
                limit=limit,
                poll_interval=poll_interval,
                max_poll_interval=max_poll_interval,
                on_requires_action=on_requires_action,
                max_consecutive_failures=max_consecutive_failures,
                stalled_after=stalled_after,
                on_stalled=on_stalled,
                include=include,
            )
        self.poll_state = PollState(**{name: state[name] for name in _POLL_STATE_FIELDS & state.keys()})
        self.earliest_resume_at = earliest_resume_at
        self._push_task: asyncio.Task[None] | None = None

    @classmethod
    def from_poller(
        cls, conn_id: str, run_poller: RunPoller, *, push_progress: bool = True, keep_result: bool = False
    ) -> Self:
        """
        Return the trigger that continues a wait which a worker has started and releases now.

        :param conn_id: the OpenAI connection.
        :param run_poller: the worker's poller of the run.
        :param push_progress: whether to push changes of the run's status to XCom.
        :param keep_result: whether to keep the run in XCom at its end.
        """
        ids: dict[str, Any] = run_poller.ref.ids
        options = dataclasses.asdict(run_poller.options)
        poll_state = dataclasses.asdict(run_poller.poll_state)
        return cls(
            conn_id=conn_id,
            **ids,
            **options,
            poll_state=poll_state,
            push_progress=push_progress,
            keep_result=keep_result,
            earliest_resume_at=time.time() + MIN_RESUME_DELAY,
        )

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments as plain JSON: ids, times and options; no secret."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "conn_id": self.conn_id,
                **self.ref.ids,
                **dataclasses.asdict(self.options),
                "include": [*self.options.include],
                "poll_state": dataclasses.asdict(self.poll_state),
                "push_progress": self.push_progress,
                "keep_result": self.keep_result,
                "earliest_resume_at": self.earliest_resume_at,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, write changes and failures to the task's log, and send the outcome."""
        connection_poller = await import_off_loop(_CONNECTION_POLLER)
        from airflow_provider_openai_run.polling.policy import RunPoller

        options, poll_state, earliest = begin_wait(
            self.options, self.poll_state, self.earliest_resume_at, self.logger()
        )
        run_poller = RunPoller(self.ref, options, poll_state=poll_state)
        # Thousands of waits would keep it as long as they last.
        del poll_state
        subscription: Subscription = connection_poller.subscribe(self.conn_id, run_poller)
        outcome: Outcome | None = None
        try:
            while outcome is None:
                outcome = await self._process(await subscription.next_event())
        finally:
            subscription.close()
            if self._push_task is not None:
                self._push_task.cancel()
        if self.keep_result and self.task_instance is not None:
            kept_result = await import_off_loop(_KEPT_RESULT)
            is_kept = await kept_result.keep(outcome, self.task_instance)
            outcome = dataclasses.replace(outcome, is_kept=is_kept)
        # The deadline and an invalid connection end a wait before the first poll.
        await asyncio.sleep(max(0.0, earliest - time.time()))
        yield await self.end_event(outcome)

    async def end_event(self, outcome: Outcome) -> TriggerEvent:
        """Return the event that ends the wait: the task resumes with it."""
        return TriggerEvent(outcome.to_event())

    async def _process(self, decision: Decision) -> Outcome | None:
        """Log and push what has changed; return the decision if it is an outcome."""
        from airflow_provider_openai_run.types.outcome import Outcome

        # The class's logger: Airflow would create one of a kilobyte for each trigger.
        for message in decision.log_messages:
            self.logger().log(message.level, message.text)
        if decision.has_stalled:
            metrics = await import_off_loop(_METRICS)
            metrics.count_stalled(self.ref, in_triggerer=True)
        previous = self._push_task
        if not isinstance(decision, Outcome):
            if decision.run is not None and self.push_progress and self.task_instance is not None:
                # In a task of its own: the end of the run must not wait for an XCom that only the page reads.
                self._push_task = asyncio.create_task(self._push(decision, previous))
            return None
        if previous is None or not self.worker_follows:
            await self._push(decision, previous)
        return decision

    async def _push(self, decision: Decision, previous: asyncio.Task[None] | None) -> None:
        from airflow_provider_openai_run.progress import push_async

        if previous is not None:
            await previous
        if self.push_progress and self.task_instance is not None:
            self.push_progress = await push_async(decision, self.task_instance, may_skip=self.worker_follows)
        if self._push_task is asyncio.current_task():
            self._push_task = None


class OpenAIOwnedRunTrigger(OpenAIRunTrigger):
    """
    Wait for a run that the task has created, and cancel it if a user ends the task meanwhile.

    That is: marks it failed or success, or clears it, on Airflow 3.3 and later. A stop or restart of the
    triggerer, a move to another triggerer, the deadline and the normal end cancel nothing. The arguments are
    those of :class:`OpenAIRunTrigger`.
    """

    async def on_kill(self) -> None:
        """Cancel the run, unless the task continues: then Airflow has only moved the trigger."""
        canceller = await import_off_loop("airflow_provider_openai_run.triggerer.run_canceller")
        await canceller.cancel_if_task_ended(self.conn_id, self.ref, self.task_instance, self.log)
