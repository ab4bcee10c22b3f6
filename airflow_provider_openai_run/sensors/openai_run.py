"""The sensor: waits for the end of a run it does not own."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.common.compat.sdk import (
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)

from airflow_provider_openai_run.api.registry import author_ids
from airflow_provider_openai_run.connection import DEFAULT_CONN_ID
from airflow_provider_openai_run.exceptions import (
    OpenAIRunError,
    RunEndedError,
    RunRequiresActionError,
    RunWaitTimeoutError,
)
from airflow_provider_openai_run.operators._base import BaseRunOperator, also, fail_without_retry
from airflow_provider_openai_run.polling.backoff import DEFAULT_POLL_INTERVAL, PollBackoff
from airflow_provider_openai_run.polling.options import DEFAULT_MAX_CONSECUTIVE_FAILURES, RequiresActionPolicy
from airflow_provider_openai_run.types.status import check_accepted_statuses

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from airflow.sdk import Context

    from airflow_provider_openai_run.polling.policy import RunPoller
    from airflow_provider_openai_run.types.outcome import Outcome


class OpenAIRunSensor(BaseRunOperator, BaseSensorOperator):
    """
    Waits until a run has ended; never cancels it.

    It succeeds with ``{run_id, thread_id, status}`` as its XCom once the run has ended in an accepted status.
    It fails, in every mode alike and without retries, once the run has ended in another one or the
    ``timeout`` is over; with ``soft_fail`` it is skipped instead. What the API refuses (a wrong key, an
    unknown run) fails it too, with the task's retries.

    https://platform.openai.com/docs/api-reference/runs/getRun and
    https://platform.openai.com/docs/api-reference/responses/get.

    :param run_id: the run, or the response. Templated.
    :param thread_id: the thread of the run; None for a response. Templated; a template that renders ``None``
        counts as None.
    :param api: the name of the run's API, a key of :data:`~airflow_provider_openai_run.api.registry.APIS`.
        None infers it: ``thread_id`` means the Assistants API, ``run_id`` alone the Responses API.
    :param conn_id: the OpenAI connection. Templated.
    :param accepted_statuses: the terminal statuses that count as success.
    :param poll_interval: the shortest time between two looks at the run, in seconds; it grows with the time
        waited.
    :param max_poll_interval: the longest, in seconds; the same as ``poll_interval`` for a fixed interval.
    :param poke_interval: Airflow's own name for a fixed interval, in seconds or as a timedelta;
        ``poll_interval`` goes before it.
    :param on_requires_action: what to do about a run that needs tool outputs or an approval: ``"wait"`` until
        somebody has answered it, ``"fail"``, or ``"return"``, which succeeds with that status.
    :param max_consecutive_failures: how many requests may fail in a row (time-outs, 429, 5xx, …) before the
        task does.
    :param deferrable: whether to wait in the triggerer, where it costs next to nothing; ``mode`` is then of
        no effect. Airflow's ``operators.default_deferrable`` unless told otherwise.
    :raises ValueError: for an argument out of its range, when the DAG is parsed.
    """

    template_fields: Sequence[str] = ("conn_id", "run_id", "thread_id")
    ui_color = "#d5f0e8"

    def __init__(
        self,
        *,
        run_id: str,
        thread_id: str | None = None,
        api: str | None = None,
        conn_id: str = DEFAULT_CONN_ID,
        accepted_statuses: Collection[str] = ("completed",),
        poll_interval: float | None = None,
        max_poll_interval: float | None = None,
        poke_interval: timedelta | float | None = None,
        on_requires_action: RequiresActionPolicy = "wait",
        max_consecutive_failures: int = DEFAULT_MAX_CONSECUTIVE_FAILURES,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        if poll_interval is None and poke_interval is not None:
            fixed = poke_interval.total_seconds() if isinstance(poke_interval, timedelta) else poke_interval
            poll_interval, max_poll_interval = fixed, max_poll_interval or fixed
        elif poll_interval is None:
            poll_interval = DEFAULT_POLL_INTERVAL
        PollBackoff.between(poll_interval, max_poll_interval)
        super().__init__(poke_interval=poll_interval, **kwargs)
        self.run_id = run_id
        self.thread_id = thread_id
        self.api = api
        self.conn_id = conn_id
        self.accepted_statuses = check_accepted_statuses(accepted_statuses)
        self.deferrable = deferrable
        self.poll_options = {
            "poll_interval": poll_interval,
            "max_poll_interval": max_poll_interval,
            "on_requires_action": on_requires_action,
            "max_consecutive_failures": max_consecutive_failures,
        }
        self.check_arguments()
        self._wait: RunPoller | None = None
        self._began: float | None = None
        self._next_look_at = 0.0

    def execute(self, context: Context) -> Any:
        """Look at the run, and wait as the mode says if it has not ended."""
        if not self.deferrable:
            # From here on Airflow counts, too; ours is to be the timeout that comes first.
            self._began = time.time()
            return super().execute(context)
        try:
            wait = self.new_wait(self.timeout)
            self.show_link(context)
            outcome = self.look(wait, context)
        except OpenAIRunError as error:
            self._raise(error)
        return self.defer_until_complete(wait) if outcome is None else self._conclude(outcome)

    def execute_complete(self, context: Context, event: dict[str, Any], run_id: str | None = None) -> Any:
        """Conclude from what the trigger sent."""
        if self.is_for_another_run(event, run_id):
            return self.execute(context)
        outcome = self.outcome_of(event)
        self.publish(outcome, context)
        return self._conclude(outcome)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Go on; skip where Airflow 3.1.0 forgets to, when it has ended the deferral itself."""
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except AirflowSensorTimeout as error:
            if self.soft_fail or self.never_fail:
                raise AirflowSkipException(str(error)) from error
            raise

    def poke(self, context: Context) -> PokeReturnValue:
        """Look at the run once; again and again while the API fails, if another process would look next."""
        from airflow_provider_openai_run.types.outcome import Outcome

        if self._wait is None:
            self.show_link(context)
        wait = self._wait = self._wait or self.new_wait(self.timeout, self._started_at(context))
        decision = self.hook.poll_once(wait)
        while self.reschedule and wait.is_failing and not isinstance(decision, Outcome):
            # The count of failures does not outlive this process, and it is to end the wait in every mode.
            time.sleep(max(0.0, decision.at - time.time()))
            decision = self.hook.poll_once(wait)
        self.publish(decision, context)
        if wait.is_late(time.time()) and not isinstance(decision, Outcome):
            # Airflow would say so next, but not of which run.
            decision = wait.expire(time.time())
            self.publish(decision, context)
        if isinstance(decision, Outcome):
            return PokeReturnValue(is_done=True, xcom_value=self._conclude(decision))
        self._next_look_at = decision.at
        return PokeReturnValue(is_done=False)

    def _get_next_poke_interval(self, *_: Any) -> float:
        left = self._next_look_at - time.time()
        return left if left > 0 else self.poke_interval

    def _started_at(self, context: Context) -> float | None:
        first = context["ti"].get_first_reschedule_date(context) if self.reschedule else None
        return first.timestamp() if first else self._began

    def _conclude(self, outcome: Outcome) -> dict[str, Any]:
        try:
            outcome.raise_unless_accepted(self.accepted_statuses)
        except OpenAIRunError as error:
            self._raise(error)
        return {**author_ids(outcome.ref), "status": outcome.status}

    def _raise(self, error: OpenAIRunError) -> NoReturn:
        ends_it = isinstance(error, RunEndedError | RunRequiresActionError | RunWaitTimeoutError)
        if self.never_fail or (self.soft_fail and ends_it):
            raise AirflowSkipException(error.message) from error
        if isinstance(error, RunWaitTimeoutError):
            raise also(error, AirflowSensorTimeout)
        raise fail_without_retry(error) if ends_it else error
