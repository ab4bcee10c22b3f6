"""The base class of the operators that create runs: it holds their options, and hands them to the runner."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, get_args

from airflow.providers.common.compat.sdk import conf

from airflow_provider_openai_run.api.registry import ref_from_json
from airflow_provider_openai_run.cancellation import KillGuard
from airflow_provider_openai_run.connection import DEFAULT_CONN_ID
from airflow_provider_openai_run.operators._deferral import forget_arguments
from airflow_provider_openai_run.operators._masked_fields import mask_fields, unmask_fields
from airflow_provider_openai_run.operators._owner import OwnerOperator
from airflow_provider_openai_run.operators._right_names import check_positive
from airflow_provider_openai_run.operators._running_task import RunningTask
from airflow_provider_openai_run.polling.options import RequiresActionPolicy, included_names, to_seconds

if TYPE_CHECKING:
    from datetime import timedelta

    from airflow.sdk import Context
    from pydantic import BaseModel

    from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook
    from airflow_provider_openai_run.owned_runs.adapters import ApiAdapter
    from airflow_provider_openai_run.owned_runs.config import ActiveRunPolicy
    from airflow_provider_openai_run.owned_runs.identity import RunIdentity
    from airflow_provider_openai_run.owned_runs.runner import OwnedRunRunner
    from airflow_provider_openai_run.owned_runs.state import Continuation, TaskRunState
    from airflow_provider_openai_run.owned_runs.tools import ToolErrorPolicy
    from airflow_provider_openai_run.types.json import Json

#: The values of ``on_requires_action``.
REQUIRES_ACTION_POLICIES = get_args(RequiresActionPolicy)

#: The values of ``on_active_run``.
ACTIVE_RUN_POLICIES = ("fail", "wait", "attach")


class OwnedRunOperator(OwnerOperator):
    """
    Base class of the operators that create a run, and therefore may cancel it.

    **Never twice.** The run's metadata say whose it is: DAG, DAG run, task, map index and iteration of a loop
    (``airflow_task``), and how often the task was cleared (``airflow_clear``), never the try. Before it
    creates a run, a try looks for the one that an earlier try created, and continues it if it is active,
    waits for something or has completed. A run that failed, expired or was cancelled is what a retry is for:
    it creates another. "Clear" in the UI means a new run; one that is left from before is cancelled first if
    ``cancel_on_kill`` is set.
    What is left open:

    - A run on a given ``thread_id``: nothing, on any Airflow; the runs of the thread are searched.
    - A thread and a run at once: nothing on Airflow 3.3 and later (the thread is created first, which costs
      nothing, and is stored). Before 3.3 a retry does not know the thread, and creates another run.
    - A response: the API lists none. On Airflow 3.3 and later a worker that is killed between the API's
      taking the request and the task state store's taking the id, some milliseconds after the response,
      leaves one that no try finds again; the next try logs a warning and creates one under the same
      ``Idempotency-Key``, which helps where the server honours it. Before 3.3 every retry creates another
      response, except on resuming: a deferred task carries its id with it.
    - Functions of ``tool_handlers`` are called again if the worker dies before their outputs are submitted.
    - Changing ``retries`` of the task between two of its tries counts as a "Clear".

    **Cancelling.** With ``cancel_on_kill`` the run is cancelled when a user marks the task failed or success
    or clears it: by the worker if it is running, and if it is deferred by the triggerer, on Airflow 3.3 and
    later. Before 3.3 a run whose task is ended while deferred continues, and so does one on 3.3 if the task
    is ended before a triggerer has taken it up. Stopping or restarting a triggerer cancels nothing; a worker
    that is shut down with SIGTERM cancels, as that cannot be distinguished from a kill, and kill -9 cannot. A
    task that waits for a person is parked without a trigger: its run is left to expire, and uses no tokens
    meanwhile. Why a run was cancelled is in the task's log, and in the XCom ``cancel_reason`` if the task
    itself cancelled it: a value of :class:`~airflow_provider_openai_run.cancellation.CancelReason`.

    **Time.** ``timeout`` and ``execution_timeout`` both count from the start of the try and hold while it is
    deferred or waits for a person. With ``cancel_on_timeout`` the run is cancelled then, as it is with
    ``on_stalled="fail"`` if it does not change for ``stalled_after``; the retry then creates another.

    **XComs.** ``run_id``, ``thread_id``, ``api`` and (at api.openai.com) ``link`` before it waits; at the
    end, on success and on failure, every attribute of the run, ``answer``, ``refusal``, and ``token_usage``
    with the try number. The return value holds the attributes, ``answer`` and ``refusal``.

    :param conn_id: the OpenAI connection. Templated.
    :param wait_for_completion: whether to wait for the end of the run; else the task ends once it is created.
    :param cancel_on_kill: whether to cancel the run when a user ends the task.
    :param cancel_on_timeout: whether to cancel the run when a timeout has passed.
    :param on_requires_action: what to do when the run requires an action: ``"answer"`` it with
        ``tool_handlers`` or by a person, and fail if neither can; ``"fail"``; ``"wait"`` until another client
        has answered; or ``"return"``, which succeeds with the run as it is. Failing cancels the run.
    :param tool_handlers: functions by the names of the tools, called on a worker with the arguments by name,
        which are checked against the tool's schema and the function's signature. They return text or plain
        JSON types. An ``AirflowException`` from them ends the task as it means.
    :param on_tool_error: ``"submit"`` makes the error of a call its output, for the model; ``"fail"`` fails
        the task.
    :param human_tools: names of the tools whose calls a person answers, under "Required actions" in the UI.
        Approvals of MCP calls go there too. All such calls of a round are in one form. Airflow 3.3 and
        later; before 3.4 a task instance has one form, and fails if a later round needs another.
    :param max_tool_rounds: after how many rounds of calls the task fails, 1 or more.
    :param token_budget: how many tokens a run of several rounds may use, 1 or more: once they are used, the
        next round does not begin, the run is cancelled, and the task fails without retries. Usage is known
        only between rounds, so a single round can exceed it. None means no limit.
    :param keep_result: whether the trigger keeps a response in XCom at its end, so that the resumed task does
        not need the API, which deletes a response with ``store=False`` after ten minutes. The XCom is deleted
        when the task resumes. Needs ``do_xcom_push``, and Airflow 3.3. Runs on a thread are retrieved always.
    :param masked_fields: names of templated arguments, such as ``("input", "instructions")``, whose values
        Airflow must not store as "Rendered Templates" in its database: it stores ``***`` for them.
    :param timeout: how long the try may take, in seconds or as a timedelta; None means no limit but
        ``execution_timeout``.
    :param deferrable: whether to wait in the triggerer; by default Airflow's
        ``operators.default_deferrable``.
    :param kwargs: further arguments: how to poll, see :class:`.BaseRunOperator`, and those of every Airflow
        operator.
    :raises ValueError: for an argument out of its range, when the DAG is parsed.
    """

    ui_color = "#d5e3f0"

    #: The definitions of tools that are sent to the API.
    tools: Any = None
    #: The pydantic model that the answer is read as; None leaves it as text.
    answer_model: type[BaseModel] | None = None
    on_active_run: ActiveRunPolicy = "fail"
    #: The templated arguments that ``masked_fields`` must not name.
    unmaskable_fields: Collection[str] = ("conn_id",)

    def __init__(
        self,
        *,
        conn_id: str = DEFAULT_CONN_ID,
        wait_for_completion: bool = True,
        cancel_on_kill: bool = True,
        cancel_on_timeout: bool = True,
        on_requires_action: RequiresActionPolicy = "answer",
        tool_handlers: Mapping[str, Callable[..., Any]] | None = None,
        on_tool_error: ToolErrorPolicy = "submit",
        human_tools: Collection[str] = (),
        max_tool_rounds: int = 50,
        token_budget: int | None = None,
        keep_result: bool = True,
        masked_fields: Collection[str] = (),
        timeout: timedelta | float | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        multiple_outputs: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            multiple_outputs=multiple_outputs,
            on_requires_action="wait" if on_requires_action == "wait" else "return",
            **kwargs,
        )
        self.conn_id = conn_id
        self.wait_for_completion = wait_for_completion
        self.cancel_on_kill = cancel_on_kill
        self.cancel_on_timeout = cancel_on_timeout
        self.on_requires_action = on_requires_action
        self.tool_handlers = dict(tool_handlers or {})
        self.on_tool_error = on_tool_error
        self.human_tools = human_tools
        self.max_tool_rounds = max_tool_rounds
        self.token_budget = token_budget
        self.keep_result = keep_result
        self.masked_fields = masked_fields
        self.timeout = to_seconds("timeout", timeout)
        self.deferrable = deferrable
        self.kill_guard = KillGuard()

    def mask_fields(self) -> None:
        """
        Hide the arguments that ``masked_fields`` names; subclasses call it once all are set.

        :raises ValueError: for a name that is not a templated argument, or is that of the connection.
        """
        allowed = [name for name in self.template_fields if name not in self.unmaskable_fields]
        mask_fields(self, self.masked_fields, allowed=allowed)

    def new_adapter(
        self, get_hook: Callable[[], OpenAIRunHook], identity: RunIdentity, state: TaskRunState
    ) -> ApiAdapter:
        """Return the adapter that creates the run; called once the templates are rendered."""
        raise NotImplementedError

    def check_rendered_arguments(self) -> None:
        """
        Refuse arguments whose templates rendered nothing that can be sent, before anything is paid for.

        :raises ValueError: naming the argument.
        """

    def check_arguments_for_create(self, tools: Any) -> None:
        """
        Refuse arguments that would fail only after the run was paid for.

        :param tools: the definitions that are sent to the API.
        :raises ValueError: naming what is wrong.
        """
        from airflow_provider_openai_run.owned_runs.tools import check_handlers, function_tools

        policy = self.on_requires_action
        if policy not in REQUIRES_ACTION_POLICIES:
            raise ValueError(f"on_requires_action must be one of {REQUIRES_ACTION_POLICIES}, not {policy!r}")
        if isinstance(self.human_tools, str):
            raise ValueError(f"human_tools is a collection of names, such as ({self.human_tools!r},)")  # noqa: TRY004 - a wrong value like the others
        for name in ("max_tool_rounds", "token_budget"):
            check_positive(name, getattr(self, name))
        has_answers = bool(self.tool_handlers or self.human_tools)
        answers_calls = policy == "answer" and self.wait_for_completion
        if has_answers and not answers_calls:
            raise ValueError(
                "tool_handlers and human_tools need on_requires_action='answer' and wait_for_completion"
            )
        check_handlers(
            self.tool_handlers, tools, on_tool_error=self.on_tool_error, human_tools=self.human_tools
        )
        if answers_calls:
            unanswered = set(function_tools(tools)) - set(self.tool_handlers) - set(self.human_tools)
            if unanswered:
                message = (
                    f"tools without a handler: {', '.join(sorted(unanswered))}. Name them in tool_handlers "
                )
                raise ValueError(
                    f"{message}or human_tools, or set on_requires_action to say who answers them"
                )

    def execute(self, context: Context) -> dict[str, Json]:
        """
        Find or create the run, and wait for its end if ``wait_for_completion`` is set.

        :return: the attributes of the run, ``answer``: its text, or the object read from it, and ``refusal``.
        """
        forget_arguments(context)
        unmask_fields(self)
        self.check_rendered_arguments()
        return self._new_runner(context).start(time.time())

    def execute_complete(
        self,
        context: Context,
        event: dict[str, Any],
        continuation: dict[str, Json] | None = None,
        progress: dict[str, Json] | None = None,
    ) -> dict[str, Json]:
        """
        Continue after the trigger has seen the run end or require an action.

        :param continuation: where; None continues with the run of the event, as far as that is known.
        :param progress: the same, as version 0.1.0 stored it.
        """
        point = self._follow(continuation or progress or ref_from_json(event).ids)
        runner = self._new_runner(context)
        if self.is_for_another_run(event, point.run_id):
            return runner.resume(point, None)
        return runner.resume(point, self.outcome_from_event(event))

    def execute_answered(
        self,
        context: Context,
        event: dict[str, Any],
        *,
        form: dict[str, Any] | None = None,
        continuation: dict[str, Json] | None = None,
        call_id: str | None = None,
        progress: dict[str, Json] | None = None,
    ) -> dict[str, Json]:
        """
        Continue after a person has answered, or has not in time.

        :param form: what the person saw.
        :param continuation: where to continue.
        :param call_id: the only call of the form, as version 0.1.0 stored it.
        :param progress: where to continue, as version 0.1.0 stored it.
        """
        from airflow_provider_openai_run.owned_runs.human_form import HumanInputForm, read_old_answer

        point = self._follow(continuation or progress or {})
        runner = self._new_runner(context)
        if "error" in event:
            raise runner.human_input_timed_out(point)
        if form is not None:
            return runner.resume_answered(point, HumanInputForm.from_json(form), event)
        answers = {} if call_id is None else {call_id: read_old_answer(event)}
        requires_action = {**point.ref.ids, "status": "requires_action"}
        return runner.resume(point.with_answers(answers), self.outcome_from_event(requires_action))

    def execute_on_free_thread(
        self, context: Context, event: dict[str, Any], started_at: float | None = None
    ) -> dict[str, Json]:
        """
        Continue after the run that kept the thread busy has ended.

        :param started_at: when the try began, in epoch seconds; None means now.
        """
        self.outcome_from_event(event).raise_if_wait_failed()
        return self._new_runner(context).start(started_at or time.time())

    def on_deferral_timeout(self, kwargs: dict[str, Json], context: Context) -> None:  # noqa: ARG002 - see there
        """Cancel the run: Airflow ended the deferral because no triggerer was there to do it."""
        self._new_runner(context).deferral_timed_out()

    def on_kill(self) -> None:
        """Cancel the run: a user has ended the task, or the worker is being shut down."""
        self.kill_guard.kill(lambda: self.hook)

    def _follow(self, continuation: dict[str, Json]) -> Continuation:
        """Read where to continue, and make its run the one that a kill cancels, before the slow imports."""
        from airflow_provider_openai_run.owned_runs.state import Continuation

        point = Continuation.from_json(continuation)
        self.kill_guard.watch(point.ref if point.is_owned and self.cancel_on_kill else None)
        return point

    def _new_runner(self, context: Context) -> OwnedRunRunner:
        from airflow_provider_openai_run.owned_runs.config import OwnedRunConfig
        from airflow_provider_openai_run.owned_runs.runner import OwnedRunRunner

        config = OwnedRunConfig(
            conn_id=self.conn_id,
            get_hook=lambda: self.hook,
            new_adapter=self.new_adapter,
            kill_guard=self.kill_guard,
            poll_options_from=self.poll_options_from,
            wait_for_completion=self.wait_for_completion,
            cancel_on_kill=self.cancel_on_kill,
            cancel_on_timeout=self.cancel_on_timeout,
            on_active_run=self.on_active_run,
            on_requires_action=self.on_requires_action,
            tools=self.tools,
            tool_handlers=self.tool_handlers,
            on_tool_error=self.on_tool_error,
            human_tools=self.human_tools,
            max_tool_rounds=self.max_tool_rounds,
            token_budget=self.token_budget,
            include=included_names(self.include),
            answer_model=self.answer_model,
            deferrable=self.deferrable,
            push_attributes=bool(self.multiple_outputs),
            push_progress=bool(self.do_xcom_push),
            keep_result=bool(self.keep_result and self.do_xcom_push),
        )
        return OwnedRunRunner(config, RunningTask(self, context))
