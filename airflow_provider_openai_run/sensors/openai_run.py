"""The sensor that waits for a run."""

from __future__ import annotations

import time
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from airflow.providers.common.compat.sdk import (
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)

from airflow_provider_openai_run.api.registry import author_ids
from airflow_provider_openai_run.connection import DEFAULT_CONN_ID
from airflow_provider_openai_run.exceptions import (
    InvalidRunReferenceError,
    OpenAIRunError,
    RunEndedError,
    RunRequiresActionError,
    RunStalledError,
    RunWaitTimeoutError,
)
from airflow_provider_openai_run.operators._base import DEFERRAL_MARGIN, BaseRunOperator
from airflow_provider_openai_run.polling.backoff import DEFAULT_POLL_INTERVAL, PollBackoff
from airflow_provider_openai_run.polling.options import MIN_RESUME_DELAY, check_unowned_policy, to_seconds
from airflow_provider_openai_run.sensors import _from_trigger
from airflow_provider_openai_run.sensors._run_list import (
    RunListWait,
    WaitFor,
    check_run_list,
    check_wait_for,
    goal_of,
    run_ids_of,
)
from airflow_provider_openai_run.types.status import check_accepted_statuses

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from airflow.sdk import Context

    from airflow_provider_openai_run.polling.policy import RunPoller
    from airflow_provider_openai_run.triggers.openai_run import OpenAIRunTrigger
    from airflow_provider_openai_run.types.outcome import Outcome
    from airflow_provider_openai_run.types.run_list_outcome import RunListOutcome


class OpenAIRunSensor(BaseRunOperator, BaseSensorOperator):
    """
    Wait until a run has ended, or many of them. The sensor never cancels a run.

    It succeeds once the run has ended in an accepted status; its XCom is ``{"run_id", "thread_id", "api",
    "status"}``, or of many runs ``{"counts": {status: number}, "statuses": {run_id: status}}``. It fails
    without retries once the run has ended in another status or the ``timeout`` is over; ``soft_fail`` skips
    the task instead. An ``execution_timeout`` below the ``timeout`` holds too, counted from the start of the
    try, and is retried. A response such as 401 or 404 fails the task with its retries. All this is the same
    in the modes ``poke`` and ``reschedule`` and while deferred.

    https://platform.openai.com/docs/api-reference/runs/getRun and
    https://platform.openai.com/docs/api-reference/responses/get.

    :param run_id: id of the run or the response; or the ids of many, each once: a list, the output of mapped
        tasks, or a template that renders to a list or its JSON text. They are waited for together, in one
        trigger if the sensor is deferrable. Of an empty list all have ended: the sensor succeeds. Templated.
    :param wait_for: how many of many runs must end in an accepted status: ``"all"``, ``"any"`` or a number.
        The sensor fails as soon as so many no longer can: for ``"all"``, with the first run that ends
        otherwise.
    :param thread_id: id of the run's thread; None for a response. Templated; "None" counts as None.
    :param api: name of the run's API, a key of :data:`~airflow_provider_openai_run.api.registry.APIS`.
        None infers it: ``thread_id`` means the Assistants API, ``run_id`` alone the Responses API.
        Templated.
    :param conn_id: the OpenAI connection. Templated.
    :param accepted_statuses: the terminal statuses that count as success.
    :param timeout: how long to wait at most, in seconds or as a timedelta; the default is Airflow's
        ``sensors.default_timeout``.
    :param poll_interval: the shortest time between two polls, in seconds or as a timedelta; it grows with
        the time waited. The default is 5 seconds.
    :param max_poll_interval: the longest time between two polls; the same as ``poll_interval`` for a fixed
        one.
    :param poke_interval: Airflow's own name for a fixed interval, in seconds or as a timedelta; ignored if
        ``poll_interval`` is set.
    :param deferrable: whether to wait in the triggerer, without a worker; ``mode`` has no effect then. The
        default is Airflow's ``operators.default_deferrable``.
    :param start_from_trigger: whether the task starts in the triggerer, without a worker; Airflow 3.3 and
        later. ``deferrable`` has no effect then. A mapped task starts on a worker all the same.
    :param end_from_trigger: whether the task succeeds in the triggerer, without a worker; Airflow 3.3 and
        later. It still fails on a worker.
    :param kwargs: further arguments: how to poll, see :class:`.BaseRunOperator`, and those of every Airflow
        sensor. ``stalled_after`` is not for ``mode="reschedule"``.
    :raises ValueError: for an argument out of its range, when the DAG is parsed.
    """

    template_fields: Sequence[str] = ("conn_id", "run_id", "thread_id", "api")
    ui_color = "#d5f0e8"

    OUTPUT_KEYS: ClassVar[tuple[str, ...]] = ("run_id", "thread_id")

    def __init__(
        self,
        *,
        run_id: str | Sequence[str],
        thread_id: str | None = None,
        api: str | None = None,
        conn_id: str = DEFAULT_CONN_ID,
        wait_for: WaitFor = "all",
        accepted_statuses: Collection[str] = ("completed",),
        timeout: timedelta | float | None = None,
        poll_interval: timedelta | float | None = None,
        max_poll_interval: timedelta | float | None = None,
        poke_interval: timedelta | float | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        start_from_trigger: bool = False,
        end_from_trigger: bool = False,
        **kwargs: Any,
    ) -> None:
        _from_trigger.check_support(start=start_from_trigger, end=end_from_trigger)
        if poll_interval is None and poke_interval is not None:
            poll_interval, max_poll_interval = _poke_intervals(poke_interval, max_poll_interval)
        elif poll_interval is None:
            poll_interval = DEFAULT_POLL_INTERVAL
        if timeout is not None:
            # Airflow's own check takes infinity, and a timeout of 0 for a single poke.
            kwargs["timeout"] = to_seconds("timeout", timeout) if timeout else 0.0
        super().__init__(
            poll_interval=poll_interval,
            max_poll_interval=max_poll_interval,
            poke_interval=to_seconds("poll_interval", poll_interval),
            **kwargs,
        )
        self.run_id: Any = run_id
        self.wait_for = wait_for
        self.thread_id = thread_id
        self.api = api
        self.conn_id = conn_id
        self.accepted_statuses = check_accepted_statuses(accepted_statuses)
        self.deferrable = deferrable or start_from_trigger or end_from_trigger
        self.start_from_trigger = start_from_trigger
        # Airflow refuses a task with this attribute where a plugin has a listener, which would not be called.
        self.end_from_trigger = end_from_trigger
        _from_trigger.check_task(self, start=start_from_trigger, end=end_from_trigger)
        self.check_run_reference()
        check_wait_for(wait_for)
        if self.poll_options.stalled_after is not None and self.reschedule and not self.deferrable:
            raise ValueError(
                "stalled_after needs deferrable=True or mode='poke': a rescheduled sensor forgets the run"
            )
        self._poller: RunPoller | None = None
        self._run_list: RunListWait | None = None
        self._started_at: float | None = None
        self._next_poll_at = 0.0
        if start_from_trigger:
            # On the instance alone: a mapped task, whose values Airflow would ignore, starts on a worker.
            self.start_trigger_args = _from_trigger.start_trigger_args(
                self,
                {name: getattr(self, name) for name in self.template_fields},
                self._trigger_arguments(),
                DEFERRAL_MARGIN,
            )

    def execute(self, context: Context) -> Any:
        """
        Poll the run, and wait as ``mode`` and ``deferrable`` say if it has not ended.

        :param context: the task's context.
        """
        # Airflow counts the timeout of a poking sensor from here too; this package's error must come first.
        self._started_at = time.time()
        self._run_list = self._list_wait(context, self._started_at)
        self.has_no_progress = self.deferrable or not self.reschedule
        try:
            if not self.deferrable:
                return super().execute(context)
            if self._run_list is not None:
                return self._defer_list(self._run_list)
            return self._poll_and_defer(context, self._started_at)
        except AirflowTaskTimeout:
            if self._run_list is not None:
                self._run_list.expire()
                return self._finish_list(self._run_list, self._run_list.outcome())
            poller = self._poller or self.new_poller(self._started_at)
            return self._finish(poller.expire(time.time()), context)

    def execute_complete(
        self,
        context: Context,
        event: dict[str, Any],
        run_id: str | None = None,
        started_at: float | None = None,
    ) -> Any:
        """
        Finish after the trigger has waited for the run.

        :param context: the task's context.
        :param event: the payload of the trigger's event.
        :param run_id: the run that the task waits for.
        :param started_at: when the wait started, in epoch seconds.
        """
        from airflow_provider_openai_run.triggers.openai_run_end import START_ON_WORKER

        if reason := event.get(START_ON_WORKER):
            self.log.warning(
                "The task starts on a worker, because it could not start in the triggerer: %s", reason
            )
            return self.execute(context)
        if self.is_for_another_run(event, run_id):
            return self._poll_and_defer(context, started_at or time.time())
        return self._finish(self.outcome_from_event(event), context)

    def execute_list_complete(
        self, context: Context, event: dict[str, Any], started_at: float | None = None
    ) -> Any:
        """
        Finish after the trigger has waited for many runs.

        :param context: the task's context.
        :param event: the payload of the trigger's event.
        :param started_at: when the wait started, in epoch seconds.
        """
        wait = self._list_wait(context, started_at or time.time())
        if wait is None:
            raise InvalidRunReferenceError("run_id named many runs before the task was deferred, and now one")
        outcome = wait.outcome_from_event(event, context)
        return self._defer_list(wait) if outcome is None else self._finish_list(wait, outcome)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """
        Resume the task after a deferral.

        Airflow reports a deferral that lasted too long as ``AirflowSensorTimeout``, which is not retried.
        Here it is retried if ``execution_timeout`` set the limit. Airflow 3.1.0 does not apply
        ``soft_fail`` to it either.

        :param next_method: the method to call.
        :param next_kwargs: its arguments.
        :param context: the task's context.
        """
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except AirflowSensorTimeout as error:
            if self.soft_fail or self.never_fail:
                raise AirflowSkipException(str(error)) from error
            if error.__cause__ is not None and self._is_limited_by_execution_timeout():
                raise error.__cause__ from None
            raise

    def poke(self, context: Context) -> PokeReturnValue:
        """
        Poll the run once.

        :param context: the task's context.
        """
        from airflow_provider_openai_run.types.outcome import Outcome

        if self._run_list is not None:
            return self._poke_list(self._run_list, context)
        if self._poller is None:
            self.push_link(context)
            self._poller = self.new_poller(self._first_poke_at(context))
        poller = self._poller
        decision = self.poll_hook.poll_once(poller)
        while self.reschedule and poller.is_failing and not isinstance(decision, Outcome):
            # Another process would not know how many requests have failed in a row.
            time.sleep(max(0.0, decision.at - time.time()))
            decision = self.poll_hook.poll_once(poller)
        if not isinstance(decision, Outcome):
            self.push_progress(decision, context)
            self._next_poll_at = decision.at
            if not poller.is_late(time.time()):
                return PokeReturnValue(is_done=False)
            # Airflow would raise its own timeout next, without the run's id.
            decision = poller.expire(time.time())
        return PokeReturnValue(is_done=True, xcom_value=self._finish(decision, context))

    def _poll_and_defer(self, context: Context, started_at: float) -> Any:
        try:
            poller = self._poller = self.new_poller(started_at)
            self.push_link(context)
            outcome = self.poll_once(poller, context)
        except OpenAIRunError as error:
            self._raise(error)
        if outcome is None:
            return self.defer_until_complete(poller)
        return self._result(outcome)

    def check_run_reference(self) -> None:
        """
        Check the arguments that name the run or the runs, as far as they are known at parse time.

        :raises InvalidRunReferenceError: for an id that no request can be made of.
        :raises ValueError: for a list of fewer runs than ``wait_for`` needs.
        """
        if not isinstance(self.run_id, list | tuple):
            super().check_run_reference()
            return
        check_unowned_policy(self.poll_options.on_requires_action)
        check_run_list(self.run_id, self.wait_for, self.api)

    def _list_wait(self, context: Context, started_at: float) -> RunListWait | None:
        """Return the wait for many runs; None if ``run_id`` names one."""
        run_ids = run_ids_of(self.run_id)
        if run_ids is None:
            goal_of(self.wait_for, 1)
            return None
        # Many runs have no page of their own in the vendor's console.
        self.link, self.operator_extra_links = "", ()
        first = started_at if self.deferrable else self._first_poke_at(context)
        return RunListWait(
            self,
            run_ids,
            started_at if first is None else first,
            wait_for=self.wait_for,
            accepted_statuses=self.accepted_statuses,
            polls_failing_at_once=self.reschedule,
        )

    def _defer_list(self, wait: RunListWait) -> dict[str, Any]:
        return self._finish_list(wait, wait.outcome()) if wait.is_over else wait.defer()

    def _poke_list(self, wait: RunListWait, context: Context) -> PokeReturnValue:
        if not wait.is_over:
            wait.poll(context)
        if not wait.is_over:
            self._next_poll_at = wait.next_poll_at
            return PokeReturnValue(is_done=False)
        return PokeReturnValue(is_done=True, xcom_value=self._finish_list(wait, wait.outcome()))

    def _finish_list(self, wait: RunListWait, outcome: RunListOutcome) -> dict[str, Any]:
        try:
            return wait.result(outcome)
        except OpenAIRunError as error:
            self._raise(error)

    @property
    def releases_worker(self) -> bool:
        """Whether the task waits without a worker."""
        return self.deferrable or self.reschedule

    def new_trigger(self, poller: RunPoller) -> OpenAIRunTrigger:
        """Return the trigger that continues a wait, and ends the task if that is wanted."""
        if not self.end_from_trigger:
            return super().new_trigger(poller)
        from airflow_provider_openai_run.triggers.openai_run_end import OpenAIRunEndTrigger

        pushes = self.do_xcom_push
        trigger = OpenAIRunEndTrigger.from_poller(self.conn_id, poller, push_progress=pushes)
        trigger.accepted_statuses = tuple(self.accepted_statuses)
        return trigger

    def _trigger_arguments(self) -> dict[str, Any]:
        """Return the arguments of the trigger that starts the task, but for those of its start."""
        options = asdict(self.poll_options)
        for name in ("started_at", "deadline", "limit"):
            del options[name]
        options["include"] = list(options["include"])
        accepted = list(self.accepted_statuses) if self.end_from_trigger else []
        return {**options, "accepted_statuses": accepted, "push_progress": self.do_xcom_push}

    def _get_next_poke_interval(self, *_: Any) -> float:
        seconds = self._next_poll_at - time.time()
        interval = seconds if seconds > 0 else self.poke_interval
        return max(interval, MIN_RESUME_DELAY) if self.reschedule else interval

    def _first_poke_at(self, context: Context) -> float | None:
        ti = context.get("ti")
        first = ti.get_first_reschedule_date(context) if self.reschedule and ti is not None else None
        return first.timestamp() if first else self._started_at

    def _finish(self, outcome: Outcome, context: Context) -> dict[str, Any]:
        self.push_progress(outcome, context)
        return self._result(outcome)

    def _result(self, outcome: Outcome) -> dict[str, Any]:
        try:
            outcome.raise_unless_accepted(self.accepted_statuses)
        except OpenAIRunError as error:
            self._raise(error)
        return {**author_ids(outcome.ref), "status": outcome.status}

    def _is_limited_by_execution_timeout(self) -> bool:
        limit = self.time_limit()
        return limit is not None and limit[0] == "execution_timeout"

    def _raise(self, error: OpenAIRunError) -> NoReturn:
        """Raise an error in the form that makes Airflow skip, fail or retry the task."""
        from airflow_provider_openai_run.airflow_errors import fail_without_retry

        is_timeout = isinstance(error, RunWaitTimeoutError)
        is_about_run = isinstance(error, RunEndedError | RunRequiresActionError)
        if self.never_fail or (self.soft_fail and (is_about_run or is_timeout)):
            raise AirflowSkipException(error.message) from error
        is_stalled = isinstance(error, RunStalledError)
        is_retried = is_timeout and not is_stalled and self._is_limited_by_execution_timeout()
        raise fail_without_retry(error) if (is_about_run or is_timeout) and not is_retried else error


def _poke_intervals(
    poke_interval: timedelta | float, max_poll_interval: timedelta | float | None
) -> tuple[float, float]:
    """Return the shortest and the longest interval in seconds, with errors that name ``poke_interval``."""
    shortest = to_seconds("poke_interval", poke_interval) or 0.0
    longest = to_seconds("max_poll_interval", max_poll_interval) or shortest
    if longest < shortest:
        raise ValueError(
            f"max_poll_interval ({longest:g} s) is below poke_interval ({shortest:g} s); raise or drop it"
        )
    try:
        PollBackoff(shortest, longest)
    except ValueError:
        message = f"poke_interval must be a number of seconds of 0.01 or more, not {poke_interval!r}"
        raise ValueError(message) from None
    return shortest, longest
