"""The operator that cancels a run."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import conf

from airflow_provider_openai_run.api import calls
from airflow_provider_openai_run.api.registry import author_ids
from airflow_provider_openai_run.connection import DEFAULT_CONN_ID
from airflow_provider_openai_run.operators._base import BaseRunOperator
from airflow_provider_openai_run.polling.options import to_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from airflow_provider_openai_run.types.json import Json
    from airflow_provider_openai_run.types.outcome import Outcome


class OpenAICancelRunOperator(BaseRunOperator):
    """
    Cancel a run; a run that has already ended is a success too.

    The XCom is ``{"run_id", "thread_id", "api", "status"}``. The status is ``cancelling`` or
    ``cancelled``, or the one in which the run had already ended.

    https://platform.openai.com/docs/api-reference/runs/cancelRun and
    https://platform.openai.com/docs/api-reference/responses/cancel.

    :param run_id: id of the run, or of the response, which must be a background one. Templated.
    :param thread_id: id of the run's thread; None for a response. Templated; "None" counts as None.
    :param api: name of the run's API, a key of :data:`~airflow_provider_openai_run.api.registry.APIS`.
        None infers it: ``thread_id`` means the Assistants API, ``run_id`` alone the Responses API.
        Templated.
    :param conn_id: the OpenAI connection. Templated.
    :param wait_for_completion: whether to wait until the run has ended: a run of the Assistants API is
        ``cancelling`` for a while, and its thread takes no other run meanwhile.
    :param timeout: how long to wait at most, in seconds or as a timedelta; None means no limit. The
        smaller of ``timeout`` and ``execution_timeout`` holds, while the task is deferred too.
    :param deferrable: whether to wait in the triggerer; the default is Airflow's
        ``operators.default_deferrable``.
    :param kwargs: further arguments: how to poll, see :class:`.BaseRunOperator`, and those of every Airflow
        operator.
    :raises ValueError: for an argument out of its range, when the DAG is parsed.
    """

    template_fields: Sequence[str] = ("conn_id", "run_id", "thread_id", "api")
    ui_color = "#f0d5d5"

    OUTPUT_KEYS: ClassVar[tuple[str, ...]] = ("run_id", "thread_id")

    def __init__(
        self,
        *,
        run_id: str,
        thread_id: str | None = None,
        api: str | None = None,
        conn_id: str = DEFAULT_CONN_ID,
        wait_for_completion: bool = False,
        timeout: timedelta | float | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.run_id = run_id
        self.thread_id = thread_id
        self.api = api
        self.conn_id = conn_id
        self.wait_for_completion = wait_for_completion
        self.timeout = to_seconds("timeout", timeout)
        self.deferrable = deferrable
        self.check_run_reference()

    def execute(self, context: Context) -> dict[str, Json]:
        """
        Cancel the run, wait for its end if ``wait_for_completion`` is set, and return its ids and status.

        :param context: the task's context.
        """
        return self._execute(context, time.time())

    def execute_complete(
        self,
        context: Context,
        event: dict[str, Any],
        run_id: str | None = None,
        started_at: float | None = None,
    ) -> dict[str, Json]:
        """
        Return the run's ids and status after the trigger has waited for its end.

        :param context: the task's context.
        :param event: the payload of the trigger's event.
        :param run_id: the run that the task waits for.
        :param started_at: when the wait started, in epoch seconds.
        """
        if self.is_for_another_run(event, run_id):
            return self._execute(context, started_at or time.time())
        return self._finish(self.outcome_from_event(event))

    def _execute(self, context: Context, started_at: float) -> dict[str, Json]:
        self.push_link(context)
        status = self._cancel()
        if not self.wait_for_completion:
            return self._result(status)
        return self._finish(self.poll_or_defer(self.new_poller(started_at), context))

    def _cancel(self) -> str | None:
        """Request the cancellation, and return the run's status."""
        ref = self.ref
        run = self.hook.execute_call(calls.cancel_unless_ended(ref), ref)
        self.log.info("%s is %s", ref, run.status)
        return run.status

    def _finish(self, outcome: Outcome) -> dict[str, Json]:
        outcome.raise_if_wait_failed()
        return self._result(outcome.status)

    def _result(self, status: str | None) -> dict[str, Json]:
        return {**author_ids(self.ref), "status": status}
