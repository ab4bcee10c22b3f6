"""Ending a run by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import conf

from airflow_provider_openai_run.api import calls
from airflow_provider_openai_run.api.registry import author_ids
from airflow_provider_openai_run.connection import DEFAULT_CONN_ID
from airflow_provider_openai_run.operators._base import BaseRunOperator
from airflow_provider_openai_run.polling.backoff import DEFAULT_POLL_INTERVAL
from airflow_provider_openai_run.polling.options import DEFAULT_MAX_CONSECUTIVE_FAILURES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from airflow_provider_openai_run.types.outcome import Outcome
    from airflow_provider_openai_run.types.run import Json

#: What servers answer when a run that has ended is cancelled.
_HAD_ENDED = frozenset({400, 409})


class OpenAICancelRunOperator(BaseRunOperator):
    """
    Cancels a run, and succeeds too if it had ended before.

    It gives ``{run_id, thread_id, status}``: the status is ``cancelling`` or ``cancelled``, or the one in
    which the run had ended.

    https://platform.openai.com/docs/api-reference/runs/cancelRun and
    https://platform.openai.com/docs/api-reference/responses/cancel.

    :param run_id: the run, or the response, which must be one in the background. Templated.
    :param thread_id: the thread of the run; None for a response. Templated; a template that renders ``None``
        counts as None.
    :param api: the name of the run's API, a key of :data:`~airflow_provider_openai_run.api.registry.APIS`.
        None infers it: ``thread_id`` means the Assistants API, ``run_id`` alone the Responses API.
    :param conn_id: the OpenAI connection. Templated.
    :param wait_for_completion: whether to wait until the run has ended: one of the Assistants API is
        ``cancelling`` for a while, and keeps its thread busy.
    :param timeout: how long to wait at most, in seconds; None waits as long as it takes.
    :param poll_interval: the shortest time between two looks at the run, in seconds; it grows.
    :param max_poll_interval: the longest, in seconds.
    :param max_consecutive_failures: how many requests may fail in a row while waiting before the task does.
    :param deferrable: whether to wait in the triggerer. Airflow's ``operators.default_deferrable`` unless
        told otherwise.
    :raises ValueError: for an argument out of its range, when the DAG is parsed.
    """

    template_fields: Sequence[str] = ("conn_id", "run_id", "thread_id")
    ui_color = "#f0d5d5"

    def __init__(
        self,
        *,
        run_id: str,
        thread_id: str | None = None,
        api: str | None = None,
        conn_id: str = DEFAULT_CONN_ID,
        wait_for_completion: bool = False,
        timeout: float | None = None,
        poll_interval: float = DEFAULT_POLL_INTERVAL,
        max_poll_interval: float | None = None,
        max_consecutive_failures: int = DEFAULT_MAX_CONSECUTIVE_FAILURES,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.run_id = run_id
        self.thread_id = thread_id
        self.api = api
        self.conn_id = conn_id
        self.wait_for_completion = wait_for_completion
        self.timeout = timeout
        self.deferrable = deferrable
        self.poll_options = {
            "poll_interval": poll_interval,
            "max_poll_interval": max_poll_interval,
            "max_consecutive_failures": max_consecutive_failures,
        }
        self.check_arguments()

    def execute(self, context: Context) -> dict[str, Json]:
        """Cancel the run; wait for its end if asked to."""
        self.show_link(context)
        status = self._cancel()
        if not self.wait_for_completion:
            return self._result(status)
        wait = self.new_wait(self.timeout)
        outcome = self.look(wait, context) if self.deferrable else self.wait_here(wait, context)
        if outcome is None:
            self.defer_until_complete(wait)
        return self._conclude(outcome)

    def execute_complete(
        self, context: Context, event: dict[str, Any], run_id: str | None = None
    ) -> dict[str, Json]:
        """Give how the run ended."""
        if self.is_for_another_run(event, run_id):
            return self.execute(context)
        return self._conclude(self.outcome_of(event))

    def _cancel(self) -> str | None:
        from airflow_provider_openai_run.exceptions import RunRequestError

        ref = self.ref
        try:
            run = self.hook.execute_call(calls.cancel_run(ref), ref)
        except RunRequestError as error:
            if error.http_status not in _HAD_ENDED:
                raise
            run = self.hook.execute_call(calls.get_run(ref, include_steps=False), ref)
            if not run.is_terminal and run.status != "cancelling":
                raise
            self.log.info("%s was %s already", ref, run.status)
        else:
            self.log.info("%s is %s", ref, run.status)
        return run.status

    def _conclude(self, outcome: Outcome) -> dict[str, Json]:
        if outcome.error is not None:
            raise outcome.error
        return self._result(outcome.status)

    def _result(self, status: str | None) -> dict[str, Json]:
        return {**author_ids(self.ref), "status": status}
