"""The trigger that waits for many runs at once."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
import time
from typing import TYPE_CHECKING, Any, Self

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_openai_run.api.registry import run_ref
from airflow_provider_openai_run.polling.backoff import DEFAULT_POLL_INTERVAL
from airflow_provider_openai_run.polling.options import (
    DEFAULT_MAX_CONSECUTIVE_FAILURES,
    INITIAL_POLL_STATE,
    PollOptions,
    RequiresActionPolicy,
    StalledPolicy,
    TimeLimit,
)
from airflow_provider_openai_run.triggers._lazy_import import import_off_loop
from airflow_provider_openai_run.triggers._stored_arguments import checked_arguments, ignore_unknown
from airflow_provider_openai_run.triggers._wait_start import begin_wait
from airflow_provider_openai_run.types.run_list_outcome import list_digest
from airflow_provider_openai_run.types.run_ref import RunRef, check_run_ids
from airflow_provider_openai_run.types.status import check_accepted_statuses

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from airflow_provider_openai_run.polling.policy import Decision
    from airflow_provider_openai_run.polling.run_list import RunListState
    from airflow_provider_openai_run.triggerer.subscription_group import SubscriptionGroup
    from airflow_provider_openai_run.triggers._run_list_report import ProgressReport, RunListLog

_SUBSCRIPTION_GROUP = "airflow_provider_openai_run.triggerer.subscription_group"
_METRICS = "airflow_provider_openai_run.metrics"


class OpenAIRunListTrigger(BaseTrigger):
    """
    Wait for many runs at once, and send one small event with the status of each.

    The wait is over when ``wait_for`` runs have ended in an accepted status, when they no longer can, or at
    the deadline. A run whose own wait fails, as one that the API does not know (404), does not end the wait
    for the others: it counts as one that cannot end in an accepted status. Credentials that the API refuses
    (401), and a connection that is not found, end the wait. No run is cancelled.

    The runs are polled by the poller of their connection, with all other runs, see
    :mod:`airflow_provider_openai_run.triggerer`. One list sends at most 200 polls a second: beyond 1,000 runs
    the intervals grow with their number. After a restart of the triggerer all runs are polled again.

    Arguments that a newer version of the provider has stored are ignored, with a warning in the log.

    :param conn_id: the OpenAI connection.
    :param run_ids: the ids of the runs, each once.
    :param api: the API's name, a key of :data:`airflow_provider_openai_run.api.registry.APIS`. None chooses
        it by the other ids, see :func:`airflow_provider_openai_run.api.registry.run_ref`.
    :param parent_id: the id of what all runs belong to, where ``api`` is set.
    :param thread_id: the runs' thread, in place of ``api`` and ``parent_id``; None for responses.
    :param started_at: when the task first started to wait, in epoch seconds; kept over restarts.
    :param deadline: when to stop waiting, in epoch seconds; None for no limit.
    :param limit: the argument of the task that the deadline comes from, for the error.
    :param poll_interval: the shortest interval between two polls of a run, in seconds or as a timedelta.
    :param max_poll_interval: the longest; None means 120 s, or ``poll_interval`` if that is more.
    :param on_requires_action: what to do about a run that needs tool outputs or an approval: ``"wait"``,
        ``"fail"`` gives that run up, ``"return"`` accepts it with that status.
    :param max_consecutive_failures: after how many failed requests in a row a run is given up.
    :param stalled_after: after how long without a change a run is stalled, in seconds or as a timedelta; None
        means never.
    :param on_stalled: what to do about it: ``"wait"`` logs it once, ``"fail"`` gives that run up.
    :param wait_for: how many runs must end in an accepted status; None means all.
    :param accepted_statuses: the terminal statuses that count; None counts every end, and a run that was
        given up too.
    :param push_progress: whether to push the progress of the runs to XCom, for the task's page.
    :param custom_ids: the author's own ids of the requests, in the order of ``run_ids``, for the page.
    :param progress_base: the progress of a larger set of which these runs are a part, as
        ``RunListProgress.to_xcom`` returns it; what is pushed has both.
    :param earliest_resume_at: before this time, in epoch seconds, no run is polled and no event is sent; at
        most ten seconds after the trigger has started. 0 means no such time. Kept over restarts.
    :raises InvalidTriggerArgumentError: (a ``ValueError``) for an invalid id or a value out of its range.
    """

    def __init__(
        self,
        *,
        conn_id: str,
        run_ids: Sequence[str],
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
        wait_for: int | None = None,
        accepted_statuses: Sequence[str] | None = ("completed",),
        push_progress: bool = True,
        custom_ids: Sequence[str] | None = None,
        progress_base: dict[str, Any] | None = None,
        earliest_resume_at: float = 0.0,
        **stored: Any,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's own
        ignore_unknown(type(self).__qualname__, stored)
        self.conn_id = sys.intern(conn_id)
        with checked_arguments():
            self.run_ids = check_run_ids(run_ids)
            # Any id, which is not one of the list, shows whether the others are right.
            ref = run_ref("run", api=api, parent_id=parent_id, thread_id=thread_id)
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
            )
            self.wait_for = _check_wait_for(len(self.run_ids) if wait_for is None else wait_for, self.run_ids)
            self.accepted_statuses = (
                None if accepted_statuses is None else check_accepted_statuses(accepted_statuses)
            )
            self.custom_ids = _check_custom_ids(custom_ids, self.run_ids)
        self.api, self.parent_id = ref.api, ref.parent_id
        self.push_progress = bool(push_progress)
        self.progress_base = progress_base
        self.earliest_resume_at = earliest_resume_at

    @classmethod
    def for_options(
        cls, conn_id: str, run_ids: Sequence[str], ref: RunRef, options: PollOptions, **arguments: Any
    ) -> Self:
        """
        Return the trigger that waits as options say.

        :param conn_id: the OpenAI connection.
        :param run_ids: the ids of the runs, each once.
        :param ref: a reference with the API of the runs, and the id of what they belong to.
        :param options: how to wait for each of them.
        :param arguments: the other arguments.
        """
        ids: dict[str, Any] = {"run_ids": run_ids, "api": ref.api, "parent_id": ref.parent_id}
        return cls(conn_id=conn_id, **ids, **_stored_options(options), **arguments)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments as plain JSON: ids, times and options; no secret."""
        statuses = self.accepted_statuses
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "conn_id": self.conn_id,
                "run_ids": self.run_ids,
                "api": self.api,
                "parent_id": self.parent_id,
                **_stored_options(self.options),
                "wait_for": self.wait_for,
                "accepted_statuses": None if statuses is None else list(statuses),
                "push_progress": self.push_progress,
                "custom_ids": self.custom_ids,
                "progress_base": self.progress_base,
                "earliest_resume_at": self.earliest_resume_at,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, write changes and failures to the task's log, and send the outcome."""
        subscription_group = await import_off_loop(_SUBSCRIPTION_GROUP)
        from airflow_provider_openai_run.polling.policy import RunPoller
        from airflow_provider_openai_run.polling.run_list import RunListState, options_for_list

        options, poll_state, earliest = begin_wait(
            self.options, INITIAL_POLL_STATE, self.earliest_resume_at, self.logger()
        )
        options = options_for_list(options, len(self.run_ids))
        state = RunListState(self.run_ids, wait_for=self.wait_for, accepted_statuses=self.accepted_statuses)
        group: SubscriptionGroup = subscription_group.SubscriptionGroup(self.conn_id)
        run_log, report = self._reports(state, options)
        try:
            if not state.is_over:
                refs = (RunRef(self.api, run_id, self.parent_id) for run_id in self.run_ids)
                await group.add(RunPoller(ref, options, poll_state=poll_state) for ref in refs)
            while not state.is_over:
                decisions = await group.next_decisions(report.seconds_until_due(time.time()))
                await self._process(decisions, state, run_log)
                if not state.is_over:
                    report.push_if_due(time.time())
            group.close()
            run_log.log_counts(time.time(), is_last=True)
            is_pushed = await report.push_last(time.time())
        finally:
            group.close()
            report.close()
        await asyncio.sleep(max(0.0, earliest - time.time()))
        event = state.outcome(options, time.time()).to_event()
        yield TriggerEvent({**event, "digest": list_digest(self.run_ids), "is_pushed": is_pushed})

    def _reports(self, state: RunListState, options: PollOptions) -> tuple[RunListLog, ProgressReport]:
        from airflow_provider_openai_run.run_list_progress import RunListProgress
        from airflow_provider_openai_run.triggers._run_list_report import ProgressReport, RunListLog

        report = ProgressReport(
            state,
            self.task_instance if self.push_progress else None,
            options.started_at,
            custom_ids=self.custom_ids,
            base=RunListProgress.from_xcom(self.progress_base),
        )
        return RunListLog(self.logger(), state), report

    async def _process(
        self, decisions: list[tuple[int, Decision]], state: RunListState, run_log: RunListLog
    ) -> None:
        """Take note of decisions about runs, and log what they say."""
        for index, decision in decisions:
            state.on_decision(index, decision, time.time())
            run_log.on_decision(decision)
            if decision.has_stalled:
                metrics = await import_off_loop(_METRICS)
                metrics.count_stalled(
                    RunRef(self.api, self.run_ids[index], self.parent_id), in_triggerer=True
                )
        run_log.log_counts(time.time())


def _stored_options(options: PollOptions) -> dict[str, Any]:
    stored = dataclasses.asdict(options)
    # For the output of a run that its task keeps; of many runs only the statuses are read.
    stored.pop("include", None)
    return stored


def _check_wait_for(wait_for: int, run_ids: list[str]) -> int:
    number: object = wait_for
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= len(run_ids):
        raise ValueError(f"wait_for must be a number of runs from 0 to {len(run_ids):,}, not {number!r}")
    return number


def _check_custom_ids(custom_ids: Sequence[str] | None, run_ids: list[str]) -> list[str] | None:
    if custom_ids is None:
        return None
    if len(custom_ids) != len(run_ids):
        count = len(run_ids)
        raise ValueError(f"custom_ids must have an id for each of {count:,} runs, not {len(custom_ids):,}")
    return list(map(str, custom_ids))
