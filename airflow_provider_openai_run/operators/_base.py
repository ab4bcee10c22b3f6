"""Base of the sensor and the operators: the run they concern, and how they wait for it."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from airflow.providers.common.compat.sdk import AirflowTaskTimeout, BaseOperator

from airflow_provider_openai_run.api.registry import get_api, ref_from_json, run_ref
from airflow_provider_openai_run.links.openai_run import LINK_KEY, OpenAIRunLink
from airflow_provider_openai_run.operators._right_names import check_outputs
from airflow_provider_openai_run.polling.backoff import DEFAULT_POLL_INTERVAL
from airflow_provider_openai_run.polling.options import (
    DEFAULT_MAX_CONSECUTIVE_FAILURES,
    PollOptions,
    check_unowned_policy,
    included_names,
    to_seconds,
)
from airflow_provider_openai_run.types.run_ref import check_id

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow.providers.common.compat.sdk import BaseOperatorLink
    from airflow.sdk import Context

    from airflow_provider_openai_run.hooks._run_poll import RunPollHook
    from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook
    from airflow_provider_openai_run.polling.options import RequiresActionPolicy, StalledPolicy, TimeLimit
    from airflow_provider_openai_run.polling.policy import Decision, RunPoller
    from airflow_provider_openai_run.triggers.openai_run import OpenAIRunTrigger
    from airflow_provider_openai_run.types.outcome import Outcome
    from airflow_provider_openai_run.types.run import Run
    from airflow_provider_openai_run.types.run_ref import RunRef

#: How much later than the trigger Airflow ends a deferral, so that the trigger's error is the one users see.
DEFERRAL_MARGIN = timedelta(minutes=2)


class BaseRunOperator(BaseOperator):
    """
    Base of the sensor and the operators: the run they concern, and how they wait for it.

    Modules that only a running task needs are imported inside methods, which keeps DAG files quick to parse.
    Subclasses assign the attributes below. Those that wait have these parameters too:

    :param poll_interval: the shortest time between two polls, in seconds or as a timedelta; it grows with the
        time waited.
    :param max_poll_interval: the longest, in seconds or as a timedelta; the same as ``poll_interval`` for a
        fixed one. None means 120 s, 300 s for a batch, or
        ``poll_interval`` if that is longer.
    :param on_requires_action: what to do while waiting if the run needs tool outputs or an approval:
        ``"wait"`` until they are submitted elsewhere, ``"fail"``, or ``"return"`` the run as it is.
    :param max_consecutive_failures: how many polls may fail in a row (timeouts, 429, 5xx, …) before the task
        fails, 1 or more.
    :param stalled_after: after how long without a change of its status or its output a run is stalled, in
        seconds or as a timedelta: it is named in the log once, and counted in the metric
        ``openai_run.stalled``. None means never. A run that needs an action is not stalled. Of a run on a
        thread only the status is polled, and a restart of the triggerer starts the time again.
    :param on_stalled: what to do about a stalled run: ``"wait"`` goes on waiting, ``"fail"`` fails the task
        with a ``RunStalledError``, as if its ``timeout`` had passed.
    :raises ValueError: for a value out of its range, naming the argument.
    """

    conn_id: str
    run_id: str
    thread_id: str | None
    api: str | None = None
    #: How long to wait at most, in seconds (a float); None means no limit. A sensor always has one.
    timeout: Any
    #: Whether to wait in the triggerer.
    deferrable: bool
    #: Options of the wait; ``started_at`` and ``deadline`` are set when it starts.
    poll_options: PollOptions
    #: Names of further output that is retrieved with the run.
    include: Any = None
    #: Whether the trigger keeps the run in XCom until the task resumes.
    keep_result: bool = False
    #: URL of the run's page in the vendor's console; empty if there is none, None if it is not known yet.
    link: str | None = None
    #: Whether the try has pushed no progress yet: Airflow deletes the XComs of a task when a try starts.
    has_no_progress: bool = False

    operator_extra_links: Collection[BaseOperatorLink] = (OpenAIRunLink(),)

    #: Keys of the return value that are ids; none if it is not an object.
    OUTPUT_KEYS: ClassVar[tuple[str, ...]] = ("id", "thread_id", "conversation_id")

    def __init__(
        self,
        *,
        poll_interval: timedelta | float = DEFAULT_POLL_INTERVAL,
        max_poll_interval: timedelta | float | None = None,
        on_requires_action: RequiresActionPolicy = "wait",
        max_consecutive_failures: int = DEFAULT_MAX_CONSECUTIVE_FAILURES,
        stalled_after: timedelta | float | None = None,
        on_stalled: StalledPolicy = "wait",
        **kwargs: Any,
    ) -> None:
        self.poll_options = PollOptions(
            started_at=0.0,
            poll_interval=to_seconds("poll_interval", poll_interval) or 0.0,
            max_poll_interval=to_seconds("max_poll_interval", max_poll_interval),
            max_consecutive_failures=max_consecutive_failures,
            on_requires_action=on_requires_action,
            stalled_after=to_seconds("stalled_after", stalled_after),
            on_stalled=on_stalled,
        )
        super().__init__(**kwargs)

    def check_run_reference(self) -> None:
        """
        Check the arguments of a task that did not create its run, as far as they are known at parse time.

        :raises InvalidRunReferenceError: for an unknown API, or an id that no request can be made of.
        :raises ValueError: if ``on_requires_action`` is ``"answer"``.
        """
        check_unowned_policy(self.poll_options.on_requires_action)
        check_outputs(run_id=self.run_id, thread_id=self.thread_id)
        if not any(is_known_at_runtime(value) for value in (self.run_id, self.thread_id, self.api)):
            check_id("run_id", self.run_id)
            get_api(self.ref.api).check_include(included_names(self.include))
        elif self.api is not None and not is_known_at_runtime(self.api):
            get_api(self.api)

    @cached_property
    def poll_hook(self) -> RunPollHook:
        """The hook for the task's connection with which the run is polled, without the SDK if possible."""
        from airflow_provider_openai_run.hooks._run_poll import RunPollHook

        return RunPollHook(self.conn_id, lambda: self.hook)

    @cached_property
    def hook(self) -> OpenAIRunHook:
        """The hook for the task's connection; it imports the SDK."""
        from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook

        hook = OpenAIRunHook(self.conn_id)
        if "settings" in vars(self.poll_hook):
            # Another lookup would be another request.
            hook.settings = self.poll_hook.settings
        return hook

    @property
    def ref(self) -> RunRef:
        """
        The reference to the run; its templates must be rendered.

        :raises InvalidRunReferenceError: for an id that no request can be made of.
        """
        # A template renders None as "None": the thread or the API may come from an optional parameter.
        thread_id, api = (None if value == "None" else value for value in (self.thread_id, self.api))
        return run_ref(id_text(self.run_id), api=api, thread_id=id_text(thread_id))

    def push_link(self, context: Context) -> None:
        """
        Push the URL of the run's page to XCom, so that the link shows while the task waits.

        Airflow pushes it whenever a worker releases the task, so that this pushes it only if a worker keeps
        the task while it waits.

        :param context: the task's context.
        :raises InvalidConnectionError: if the connection is invalid.
        """
        self.link = self.poll_hook.run_url(self.ref) or ""
        ti = context.get("ti")
        if not self.link:
            self.operator_extra_links = ()
        elif ti and self.do_xcom_push and not self.releases_worker:
            ti.xcom_push(key=LINK_KEY, value=self.link)

    @property
    def releases_worker(self) -> bool:
        """Whether the task waits without a worker."""
        return self.deferrable

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """
        Resume the task after a deferral.

        :param next_method: the method to call.
        :param next_kwargs: its arguments.
        :param context: the task's context.
        """
        # Airflow has pushed the link when the task was deferred.
        self.operator_extra_links = ()
        return super().resume_execution(next_method, next_kwargs, context)

    def time_limit(self) -> tuple[TimeLimit, float] | None:
        """
        Return the name and the seconds of the smaller of ``timeout`` and ``execution_timeout``.

        Airflow enforces ``execution_timeout`` only while a worker runs the task; the deadline of the wait
        makes it hold while the task is deferred or rescheduled. None means that neither is set.
        """
        limits: list[tuple[TimeLimit, float]] = []
        if self.timeout is not None:
            limits.append(("timeout", self.timeout))
        if self.execution_timeout is not None:
            limits.append(("execution_timeout", self.execution_timeout.total_seconds()))
        return min(limits, key=lambda limit: limit[1], default=None)

    def deadline(self, started_at: float) -> float | None:
        """
        Return when to give up, in epoch seconds; None means never.

        :param started_at: when the wait started, in epoch seconds.
        """
        limit = self.time_limit()
        return None if limit is None else started_at + limit[1]

    def deferral_timeout(self, started_at: float) -> timedelta | None:
        """
        Return how long Airflow may let the task be deferred: a little longer than the trigger waits.

        :param started_at: when the wait started, in epoch seconds.
        """
        deadline = self.deadline(started_at)
        if deadline is None:
            return None
        return timedelta(seconds=max(0.0, deadline - time.time())) + DEFERRAL_MARGIN

    def poll_options_from(self, started_at: float) -> PollOptions:
        """
        Return the options of a wait that started at a given time.

        :param started_at: when the wait started, in epoch seconds.
        """
        limit = self.time_limit()
        return replace(
            self.poll_options,
            started_at=started_at,
            deadline=self.deadline(started_at),
            limit="timeout" if limit is None else limit[0],
            include=included_names(self.include),
        )

    def new_poller(self, started_at: float | None = None) -> RunPoller:
        """
        Return the poller that waits for the task's run.

        :param started_at: when the wait started, in epoch seconds; None means now.
        """
        from airflow_provider_openai_run.polling.policy import RunPoller

        return RunPoller(self.ref, self.poll_options_from(time.time() if started_at is None else started_at))

    def poll_once(self, poller: RunPoller, context: Context) -> Outcome | None:
        """
        Retrieve the run once.

        :param poller: decides what the response means.
        :param context: the task's context.
        :return: the outcome; None if the wait goes on.
        """
        from airflow_provider_openai_run.types.outcome import Outcome

        decision = self.poll_hook.poll_once(poller)
        self.push_progress(decision, context)
        return decision if isinstance(decision, Outcome) else None

    def poll_until_done(self, poller: RunPoller, context: Context) -> Outcome:
        """
        Poll the run on this worker until the wait is over, and return the outcome.

        :param poller: decides when to poll, and when the wait is over.
        :param context: the task's context.
        """
        while (outcome := self.poll_once(poller, context)) is None:
            time.sleep(max(0.0, poller.not_before - time.time()))
        return outcome

    def poll_or_defer(self, poller: RunPoller, context: Context) -> Outcome:
        """
        Wait for the run: on this worker, or in the triggerer if the task is deferrable.

        The run is polled once before the task is deferred. Airflow's ``execution_timeout``, which
        interrupts the worker, ends the wait as its deadline does.

        :param poller: decides when to poll, and when the wait is over.
        :param context: the task's context.
        """
        try:
            if not self.deferrable:
                return self.poll_until_done(poller, context)
            outcome = self.poll_once(poller, context)
        except AirflowTaskTimeout:
            outcome = poller.expire(time.time())
            self.push_progress(outcome, context)
        return self.defer_until_complete(poller) if outcome is None else outcome

    def push_progress(self, decision: Decision, context: Context) -> None:
        """
        Push what the run's page shows while the task waits, if the decision brings anything new.

        :param decision: the result of a poll.
        :param context: the task's context; without a task instance, as in ``execute({})``, nothing is pushed.
        """
        ti = context.get("ti")
        if ti and self.do_xcom_push:
            from airflow_provider_openai_run.progress import push

            push(decision, ti, is_first=self.has_no_progress)
            self.has_no_progress = False

    def take_kept_run(self, outcome: Outcome, context: Context) -> Run | None:
        """
        Return the run that the trigger has kept in XCom, and delete it there.

        :param outcome: how the wait ended.
        :param context: the task's context.
        :return: None if there is none: the API has it.
        """
        ti = context.get("ti")
        if not outcome.is_kept or ti is None:
            return None
        from airflow_provider_openai_run import kept_result

        return kept_result.take(outcome, ti)

    def outcome_from_event(self, event: dict[str, Any]) -> Outcome:
        """
        Return the outcome that the trigger sent.

        :param event: the payload of the trigger's event.
        """
        from airflow_provider_openai_run.types.outcome import Outcome

        return Outcome.from_event(event, ref_from_json(event))

    def is_for_another_run(self, event: dict[str, Any], run_id: str | None) -> bool:
        """
        Return whether an event is about another run than the task waits for, and log it.

        A database may reuse the id of a deleted trigger (SQLite does); Airflow then delivers a late event
        of the old trigger to the task that waits for the new one.

        :param event: the payload of the event that resumed the task.
        :param run_id: the run that the task waits for; None if unknown, as in ``airflow dags test``.
        """
        if run_id in (None, event["run_id"]):
            return False
        self.log.warning("Ignored an event about %s: this task waits for %s", event["run_id"], run_id)
        return True

    def new_trigger(self, poller: RunPoller) -> OpenAIRunTrigger:
        """
        Return the trigger that continues a wait.

        :param poller: the wait.
        """
        from airflow_provider_openai_run.triggers.openai_run import OpenAIRunTrigger

        return OpenAIRunTrigger.from_poller(
            self.conn_id,
            poller,
            push_progress=self.do_xcom_push,
            keep_result=self.keep_result and self.do_xcom_push,
        )

    def defer_until_complete(self, poller: RunPoller) -> NoReturn:
        """
        Defer the task until the wait is over.

        It resumes in ``execute_complete``, which takes ``context``, ``event``, ``run_id`` and ``started_at``.

        :param poller: the wait that the trigger continues.
        """
        started_at = poller.options.started_at
        self.log.info("Deferring until %s has ended", poller.ref)
        self.defer(
            trigger=self.new_trigger(poller),
            method_name="execute_complete",
            kwargs={"run_id": poller.ref.run_id, "started_at": started_at},
            timeout=self.deferral_timeout(started_at),
        )


def is_known_at_runtime(value: object) -> bool:
    """
    Return whether an argument is known only when the task runs.

    :param value: an argument: True for a template and for the output of another task.
    """
    return "{" in value if isinstance(value, str) else hasattr(value, "resolve")


def id_text(value: Any) -> Any:
    """Return a whole number, which ``render_template_as_native_obj`` makes of an id of digits, as text."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value
