"""The operator that submits tool outputs to a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_openai_run.operators._base import is_known_at_runtime
from airflow_provider_openai_run.operators._owned_run import OwnedRunOperator
from airflow_provider_openai_run.operators._right_names import check_outputs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook
    from airflow_provider_openai_run.owned_runs.adapters import ApiAdapter
    from airflow_provider_openai_run.owned_runs.identity import RunIdentity
    from airflow_provider_openai_run.owned_runs.state import TaskRunState


class OpenAISubmitToolOutputsOperator(OwnedRunOperator):
    """
    Submit the tool outputs that a run waits for, and wait for its end if ``wait_for_completion`` is set.

    A run of the Assistants API resumes: it is another task's, and is cancelled only if ``cancel_on_kill`` or
    ``cancel_on_timeout`` are set here. A response has ended when it waits for outputs; they create a new
    response that follows it, which this task owns, with the model, the tools and the instructions of the one
    before unless ``response_params`` say otherwise. A retry does not submit twice: a run that waits for
    nothing was answered before, and a response is found again as
    :class:`.OwnedRunOperator` describes, which has all further parameters.

    It returns every attribute of the run or the new response, and ``answer``, its text; None while it has not
    ended.

    https://platform.openai.com/docs/api-reference/runs/submitToolOutputs and
    https://platform.openai.com/docs/guides/function-calling.

    :param run_id: the run, or the response. Templated.
    :param thread_id: the thread of the run; None for a response. Templated; a template that renders ``None``
        counts as None.
    :param tool_outputs: ``[{"tool_call_id": …, "output": …}]``, one for each call that the run waits for; an
        output that is not text is submitted as JSON. Templated.
    :param approvals: ``[{"tool_call_id": …, "approve": True}]``. Templated.
    :param response_params: for a response: parameters of the new one, by the API's names. Templated.
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
        tool_outputs: list[dict[str, Any]] | None = None,
        approvals: list[dict[str, Any]] | None = None,
        response_params: dict[str, Any] | None = None,
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
        check_outputs(run_id=self.run_id, thread_id=self.thread_id)
        if not is_known_at_runtime(self.run_id) and not is_known_at_runtime(self.thread_id):
            _ = self.ref
        self.check_arguments_for_create(None)
        self.mask_fields()

    def new_adapter(
        self, get_hook: Callable[[], OpenAIRunHook], identity: RunIdentity, state: TaskRunState
    ) -> ApiAdapter:
        """Return the adapter that submits the outputs; called once the templates are rendered."""
        from airflow_provider_openai_run.owned_runs.adapters import SubmissionAdapter

        return SubmissionAdapter(
            get_hook,
            identity,
            state,
            ref=self.ref,
            outputs=self.tool_outputs or [],
            approvals=self.approvals or [],
            body=self.response_params or {},
        )
