"""The operators."""

from __future__ import annotations

import json
from datetime import timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import conf

from airflow_provider_openai_run.api import calls
from airflow_provider_openai_run.connection import DEFAULT_CONN_ID
from airflow_provider_openai_run.exceptions import OpenAIRunError
from airflow_provider_openai_run.operators._base import BaseRunOperator, check_positive, fail_without_retry
from airflow_provider_openai_run.polling.backoff import DEFAULT_POLL_INTERVAL
from airflow_provider_openai_run.polling.options import DEFAULT_MAX_CONSECUTIVE_FAILURES, RequiresActionPolicy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from airflow_provider_openai_run.operators.cancel_run import OpenAICancelRunOperator
    from airflow_provider_openai_run.operators.create_response import OpenAICreateResponseOperator
    from airflow_provider_openai_run.operators.create_run import OpenAICreateRunOperator
    from airflow_provider_openai_run.operators.submit_tool_outputs import OpenAISubmitToolOutputsOperator
    from airflow_provider_openai_run.types.outcome import Outcome
    from airflow_provider_openai_run.types.run import Json, Run

__all__ = [
    "OpenAICancelRunOperator",
    "OpenAICreateResponseOperator",
    "OpenAICreateRunOperator",
    "OpenAIGetRunOperator",
    "OpenAISubmitToolOutputsOperator",
]

#: Where the operators are that a DAG file pays for only if it names them: Airflow takes long to make a class
#: with as many arguments as the API has.
_ELSEWHERE = {
    "OpenAICancelRunOperator": "cancel_run",
    "OpenAICreateResponseOperator": "create_response",
    "OpenAICreateRunOperator": "create_run",
    "OpenAISubmitToolOutputsOperator": "submit_tool_outputs",
}

#: What a set of attributes may measure as JSON before the task's log advises another XCom backend, in bytes.
DEFAULT_XCOM_SIZE_WARNING = 1_000_000

_SIZE_ADVICE = (
    "The attributes of %s measure %s bytes as JSON, above xcom_size_warning (%s). Consider "
    "include_steps=False, or an XCom backend in object storage: "
    "airflow.providers.common.io.xcom.backend.XComObjectStorageBackend"
)


def __getattr__(name: str) -> Any:
    """Give an operator of another module."""
    if name not in _ELSEWHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__package__}.{_ELSEWHERE[name]}"), name)


class OpenAIGetRunOperator(BaseRunOperator):
    """
    Retrieves a run and pushes its attributes to XCom.

    Each goes under its own key, and all of them as the return value. So a DAG reads ``task.output["usage"]``.
    The run is taken as it is, whatever its status: a failed run is information too. The README has the table
    of the attributes.

    https://platform.openai.com/docs/api-reference/runs/getRun,
    https://platform.openai.com/docs/api-reference/run-steps/listRunSteps and
    https://platform.openai.com/docs/api-reference/responses/get.

    :param run_id: the run, or the response. Templated.
    :param thread_id: the thread of the run; None for a response. Templated; a template that renders ``None``
        counts as None.
    :param api: the name of the run's API, a key of :data:`~airflow_provider_openai_run.api.registry.APIS`.
        None infers it: ``thread_id`` means the Assistants API, ``run_id`` alone the Responses API.
    :param conn_id: the OpenAI connection. Templated.
    :param wait_for_completion: whether to wait until the run has ended, before it is retrieved.
    :param fail_on_unsuccessful: whether the task fails if the run did not succeed; after everything was
        pushed.
    :param include_steps: whether to read the steps; without, ``steps`` is None.
    :param include_raw: whether to push the API's own JSON too, under ``raw``.
    :param xcom_size_warning: how large the attributes may be as JSON before the log advises an XCom backend
        that keeps them elsewhere, in bytes; None never does.
    :param timeout: how long to wait at most, in seconds or as a timedelta; None waits as long as it takes.
    :param poll_interval: the shortest time between two looks at the run, in seconds; it grows with the time
        waited.
    :param max_poll_interval: the longest, in seconds; the same as ``poll_interval`` for a fixed interval.
    :param on_requires_action: what to do while waiting about a run that needs tool outputs or an approval:
        ``"wait"`` until somebody has answered it, ``"fail"``, or ``"return"``, which retrieves it as it is.
    :param max_consecutive_failures: how many requests may fail in a row while waiting before the task does.
    :param deferrable: whether to wait in the triggerer. Airflow's ``operators.default_deferrable`` unless
        told otherwise.
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
        wait_for_completion: bool = False,
        fail_on_unsuccessful: bool = False,
        include_steps: bool = True,
        include_raw: bool = False,
        xcom_size_warning: int | None = DEFAULT_XCOM_SIZE_WARNING,
        timeout: timedelta | float | None = None,
        poll_interval: float = DEFAULT_POLL_INTERVAL,
        max_poll_interval: float | None = None,
        on_requires_action: RequiresActionPolicy = "wait",
        max_consecutive_failures: int = DEFAULT_MAX_CONSECUTIVE_FAILURES,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        multiple_outputs: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(multiple_outputs=multiple_outputs, **kwargs)
        check_positive("xcom_size_warning", xcom_size_warning)
        self.run_id = run_id
        self.thread_id = thread_id
        self.api = api
        self.conn_id = conn_id
        self.wait_for_completion = wait_for_completion
        self.fail_on_unsuccessful = fail_on_unsuccessful
        self.include_steps = include_steps
        self.include_raw = include_raw
        self.xcom_size_warning = xcom_size_warning
        self.timeout = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
        check_positive("timeout", self.timeout)
        self.deferrable = deferrable
        self.poll_options = {
            "poll_interval": poll_interval,
            "max_poll_interval": max_poll_interval,
            "on_requires_action": on_requires_action,
            "max_consecutive_failures": max_consecutive_failures,
        }
        self.check_arguments()

    def execute(self, context: Context) -> dict[str, Json]:
        """Wait if asked to, retrieve the run, and give its attributes."""
        self.show_link(context)
        if self.wait_for_completion:
            wait = self.new_wait(self.timeout)
            outcome = self.look(wait, context) if self.deferrable else self.wait_here(wait, context)
            if outcome is None:
                self.defer_until_complete(wait)
            self._check(outcome)
        return self._retrieve(context)

    def execute_complete(
        self, context: Context, event: dict[str, Any], run_id: str | None = None
    ) -> dict[str, Json]:
        """Retrieve the run that the trigger waited for, and give its attributes."""
        if self.is_for_another_run(event, run_id):
            return self.execute(context)
        self._check(self.outcome_of(event))
        return self._retrieve(context)

    def _check(self, outcome: Outcome) -> None:
        if outcome.error is not None:
            raise outcome.error

    def _retrieve(self, context: Context) -> dict[str, Json]:
        ref = self.ref
        run = self.hook.execute_call(
            calls.get_run(ref, include_steps=self.include_steps, include_raw=self.include_raw), ref
        )
        attributes = run.to_xcom()
        self._advise_on_size(attributes)
        self.log.info("%s is %s", ref, run.status)
        if self.fail_on_unsuccessful and not run.is_successful:
            self._push(context, attributes)
            raise self._unsuccessful(run)
        return attributes

    def _push(self, context: Context, attributes: dict[str, Json]) -> None:
        """Push what Airflow would push if the task did not fail."""
        if self.do_xcom_push:
            for key, value in {
                **(attributes if self.multiple_outputs else {}),
                "return_value": attributes,
            }.items():
                context["ti"].xcom_push(key=key, value=value)

    def _unsuccessful(self, run: Run) -> Exception:
        if not run.is_terminal:
            way_out = "Set wait_for_completion=True, or wait with OpenAIRunSensor first."
            message = f"{self.ref} has not ended: its status is {run.status}. {way_out}"
            return OpenAIRunError(message, **self.ref.ids, status=run.status)
        step = run.failing_step
        what = f"Its failing step is {step.id} ({step.type}, {step.status})" if step else ""
        why = f": {step.last_error}." if step and step.last_error else "."
        from airflow_provider_openai_run.types.outcome import Outcome

        return fail_without_retry(Outcome.from_run(run, self.ref).ended_error(what and what + why))

    def _advise_on_size(self, attributes: dict[str, Json]) -> None:
        size = len(json.dumps(attributes))
        if self.xcom_size_warning is not None and size > self.xcom_size_warning:
            self.log.warning(_SIZE_ADVICE, self.ref, f"{size:,}", f"{self.xcom_size_warning:,}")
