"""Handing a run what it asks for by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_openai_run.operators._base import is_known_at_runtime
from airflow_provider_openai_run.operators._owned_run import OwnedRunOperator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_openai_run.owned_runs.adapters import ApiAdapter
    from airflow_provider_openai_run.types.run import Json


class OpenAISubmitToolOutputsOperator(OwnedRunOperator):
    """
    Hands a run the outputs of the tools it waits for, and waits for what comes of it if asked to.

    A run of the Assistants API goes on: it is another task's, and is cancelled only if
    ``cancel_on_kill`` or ``cancel_on_timeout`` say so here. A response has ended when it asks; the outputs
    make a new response that follows it, which this task owns, with the model, the tools and the instructions
    of the one before unless ``response_params`` say otherwise. A retry does not submit twice: a run that does
    not ask any more has been answered, and a response is remembered as
    :class:`~airflow_provider_openai_run.operators._owned_run.OwnedRunOperator` says, where all further parameters
    stand too.

    https://platform.openai.com/docs/api-reference/runs/submitToolOutputs and
    https://platform.openai.com/docs/guides/function-calling.

    :param run_id: the run, or the response. Templated.
    :param thread_id: the thread of the run; None for a response. Templated; a template that renders ``None``
        counts as None.
    :param tool_outputs: ``[{"tool_call_id": …, "output": …}]``, one for each call that is asked for; outputs
        that are no text are written as JSON. Templated.
    :param approvals: ``[{"tool_call_id": …, "approve": True}]``. Templated.
    :param response_params: for a response, parameters of the new one, by the API's names. Templated.
    :raises ValueError: for an argument out of its range, when the DAG is parsed.
    """

    template_fields: Sequence[str] = (
        "conn_id",
        "run_id",
        "thread_id",
        "tool_outputs",
        "approvals",
        "response_params",
    )

    def __init__(
        self,
        *,
        run_id: str,
        thread_id: str | None = None,
        tool_outputs: list[Json] | None = None,
        approvals: list[Json] | None = None,
        response_params: dict[str, Json] | None = None,
        wait_for_completion: bool = False,
        cancel_on_kill: bool = False,
        cancel_on_timeout: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            wait_for_completion=wait_for_completion,
            cancel_on_kill=cancel_on_kill,
            cancel_on_timeout=cancel_on_timeout,
            **kwargs,
        )
        self.run_id = run_id
        self.thread_id = thread_id
        self.tool_outputs = tool_outputs
        self.approvals = approvals
        self.response_params = response_params
        if not self.tool_outputs and not self.approvals:
            raise ValueError("tool_outputs and approvals are both empty: there is nothing to submit")
        if not is_known_at_runtime(self.run_id) and not is_known_at_runtime(self.thread_id):
            _ = self.ref
        self.check_arguments_for_create(None)

    def runs(self) -> ApiAdapter:
        """Give what making comes to here: submitting."""
        from airflow_provider_openai_run.owned_runs.submission import Submission

        return Submission(
            self.hook,
            self.ref,
            outputs=self.tool_outputs or [],
            approvals=self.approvals or [],
            params=self.response_params or {},
        )
