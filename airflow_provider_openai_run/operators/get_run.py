"""The operator that retrieves a run."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import conf

from airflow_provider_openai_run.api import calls
from airflow_provider_openai_run.connection import DEFAULT_CONN_ID
from airflow_provider_openai_run.operators._base import BaseRunOperator
from airflow_provider_openai_run.operators._right_names import check_positive
from airflow_provider_openai_run.polling.options import included_names, to_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from airflow_provider_openai_run.exceptions import OpenAIRunError
    from airflow_provider_openai_run.types.json import Json
    from airflow_provider_openai_run.types.run import Run

#: Size in bytes of the attributes as JSON above which the log suggests another XCom backend.
DEFAULT_XCOM_SIZE_WARNING = 1_000_000

_SIZE_ADVICE = (
    "The attributes of %s measure %s bytes as JSON, above xcom_size_warning (%s). Consider "
    "include_steps=False, or an XCom backend in object storage: "
    "airflow.providers.common.io.xcom.backend.XComObjectStorageBackend"
)


class OpenAIGetRunOperator(BaseRunOperator):
    """
    Retrieve a run and push its attributes to XCom.

    Each attribute is pushed under its own key, and all of them as the return value: a DAG reads
    ``task.output["usage"]``. The run is returned in any status, a failed one too. The page "Attributes of a
    run" lists the attributes.

    https://platform.openai.com/docs/api-reference/runs/getRun,
    https://platform.openai.com/docs/api-reference/run-steps/listRunSteps and
    https://platform.openai.com/docs/api-reference/responses/get.

    :param run_id: id of the run or the response. Templated.
    :param thread_id: id of the run's thread; None for a response. Templated; "None" counts as None.
    :param api: name of the run's API, a key of :data:`~airflow_provider_openai_run.api.registry.APIS`.
        None infers it: ``thread_id`` means the Assistants API, ``run_id`` alone the Responses API.
        Templated.
    :param conn_id: the OpenAI connection. Templated.
    :param wait_for_completion: whether to wait until the run has ended before it is retrieved.
    :param fail_on_unsuccessful: whether the task fails if the run was not successful, after its attributes
        were pushed.
    :param include_steps: whether to retrieve the steps; without them ``steps`` is None.
    :param include_raw: whether to push the API's own JSON too, under ``raw``.
    :param include: names of further output to retrieve with the steps, in the API's words, such as
        ``["code_interpreter_call.outputs", "web_search_call.action.sources"]``. Templated.
    :param xcom_size_warning: size of the attributes as JSON, in bytes, above which the log suggests
        another XCom backend; None disables the warning.
    :param keep_result: whether the trigger keeps a response in XCom at its end, so that the resumed task does
        not need the API, which deletes a response with ``store=False`` after ten minutes. The XCom is deleted
        when the task resumes. Needs ``do_xcom_push``, ``include_steps``, and Airflow 3.3. Runs on a thread,
        and those with ``include_raw``, are retrieved always.
    :param timeout: how long to wait at most, in seconds or as a timedelta; None means no limit. The
        smaller of ``timeout`` and ``execution_timeout`` holds, while the task is deferred too.
    :param deferrable: whether to wait in the triggerer; the default is Airflow's
        ``operators.default_deferrable``.
    :param kwargs: further arguments: how to poll, see :class:`.BaseRunOperator`, and those of every Airflow
        operator.
    :raises ValueError: for an argument out of its range, when the DAG is parsed.
    """

    template_fields: Sequence[str] = ("conn_id", "run_id", "thread_id", "api", "include")
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
        include: list[str] | None = None,
        xcom_size_warning: int | None = DEFAULT_XCOM_SIZE_WARNING,
        keep_result: bool = True,
        timeout: timedelta | float | None = None,
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
        included_names(include)
        self.include = include
        self.keep_result = keep_result and include_steps and not include_raw
        self.xcom_size_warning = xcom_size_warning
        self.timeout = to_seconds("timeout", timeout)
        self.deferrable = deferrable
        self.check_run_reference()

    def execute(self, context: Context) -> dict[str, Json]:
        """
        Return the run's attributes, after waiting for it if ``wait_for_completion`` is set.

        :param context: the task's context.
        """
        self.has_no_progress = True
        return self._execute(context, time.time())

    def execute_complete(
        self,
        context: Context,
        event: dict[str, Any],
        run_id: str | None = None,
        started_at: float | None = None,
    ) -> dict[str, Json]:
        """
        Return the run's attributes after the trigger has waited for it.

        :param context: the task's context.
        :param event: the payload of the trigger's event.
        :param run_id: the run that the task waits for.
        :param started_at: when the wait started, in epoch seconds.
        """
        if self.is_for_another_run(event, run_id):
            return self._execute(context, started_at or time.time())
        outcome = self.outcome_from_event(event)
        outcome.raise_if_wait_failed()
        return self._finish(self.take_kept_run(outcome, context) or self._retrieve(), context)

    def _execute(self, context: Context, started_at: float) -> dict[str, Json]:
        self.push_link(context)
        if self.wait_for_completion:
            self.poll_or_defer(self.new_poller(started_at), context).raise_if_wait_failed()
        return self._finish(self._retrieve(), context)

    def _retrieve(self) -> Run:
        ref = self.ref
        call = calls.get_run(
            ref,
            include_steps=self.include_steps,
            include_raw=self.include_raw,
            include=included_names(self.include),
        )
        return self.hook.execute_call(call, ref)

    def _finish(self, run: Run, context: Context) -> dict[str, Json]:
        ref = self.ref
        attributes = run.to_xcom()
        self._warn_about_size(attributes)
        self.log.info("%s is %s", ref, run.status)
        if self.fail_on_unsuccessful and not run.is_successful:
            self._push(context, attributes)
            raise self._unsuccessful_error(run)
        return attributes

    def _push(self, context: Context, attributes: dict[str, Json]) -> None:
        """Push what Airflow pushes for a task that succeeds."""
        ti = context.get("ti")
        if ti is not None and self.do_xcom_push:
            values = {**(attributes if self.multiple_outputs else {}), "return_value": attributes}
            for key, value in values.items():
                ti.xcom_push(key=key, value=value)

    def _unsuccessful_error(self, run: Run) -> OpenAIRunError:
        from airflow_provider_openai_run.airflow_errors import fail_without_retry
        from airflow_provider_openai_run.exceptions import OpenAIRunError
        from airflow_provider_openai_run.types.outcome import Outcome, describe_failing_step

        if not run.is_terminal:
            way_out = "Set wait_for_completion=True, or wait with OpenAIRunSensor first."
            message = f"{self.ref} has not ended: its status is {run.status}. {way_out}"
            return OpenAIRunError(message, **self.ref.ids, status=run.status)
        secrets = self.hook.secrets
        outcome = Outcome.from_run(run, self.ref, secrets=secrets)
        return fail_without_retry(outcome.ended_error(describe_failing_step(run, secrets)))

    def _warn_about_size(self, attributes: dict[str, Json]) -> None:
        size = len(json.dumps(attributes))
        if self.xcom_size_warning is not None and size > self.xcom_size_warning:
            self.log.warning(_SIZE_ADVICE, self.ref, f"{size:,}", f"{self.xcom_size_warning:,}")
