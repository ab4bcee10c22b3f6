"""What the operators that make runs have in common."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from airflow.providers.common.compat.sdk import AirflowException, AirflowTaskTimeout, conf

from airflow_provider_openai_run.api.registry import ref_from_json, ref_of
from airflow_provider_openai_run.connection import DEFAULT_CONN_ID
from airflow_provider_openai_run.operators._base import BaseRunOperator, check_positive
from airflow_provider_openai_run.polling.backoff import DEFAULT_POLL_INTERVAL
from airflow_provider_openai_run.polling.options import DEFAULT_MAX_CONSECUTIVE_FAILURES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow.sdk import Context
    from pydantic import BaseModel

    from airflow_provider_openai_run.owned_runs.adapters import ApiAdapter
    from airflow_provider_openai_run.owned_runs.continuation import Continuation
    from airflow_provider_openai_run.owned_runs.runner import OwnedRunRunner
    from airflow_provider_openai_run.owned_runs.tools import OnToolError
    from airflow_provider_openai_run.types.run import Json
    from airflow_provider_openai_run.types.run_ref import RunRef

#: What to do when a run asks for tool outputs or an approval.
RequiresActionPolicy: TypeAlias = Literal["answer", "fail", "wait", "return"]

#: What to do about a run of somebody else's that is active on the thread.
ActiveRunPolicy: TypeAlias = Literal["fail", "wait", "attach"]


class OwnedRunOperator(BaseRunOperator):
    """
    A task that makes a run, and therefore may cancel it.

    **Never twice.** The run's metadata say whose it is: DAG, DAG run, task, map index (``airflow_task``) and
    how often the task was cleared (``airflow_clear``), never the try. Before it makes a run, a try looks for
    the one an earlier try made, and goes on with it if it is active, waits for something or has completed. A
    run that failed, expired or was cancelled is what a retry is for: it makes another. "Clear" in the UI
    means a new run; one left from before is cancelled first if ``cancel_on_kill`` says so. What is left open:

    - A run on a given ``thread_id``: nothing, on any Airflow; the runs of the thread are looked through.
    - A thread and a run at once: nothing on Airflow 3.3 and later (the thread is made first, which costs
      nothing, and remembered). Before 3.3 a retry does not know the thread, and makes another run.
    - A response: the API lists none. On Airflow 3.3 and later a worker killed between the API's taking the
      request and the task state store's taking the id, some milliseconds after its answer, leaves a response
      that no try finds again; the next try says so in its log and asks again under the same
      ``Idempotency-Key``, which helps where the server heeds it. Before 3.3 every retry makes another
      response, except on resuming: a deferred task carries its id with it.
    - Functions of ``tool_handlers`` are called again if the worker dies before their outputs are submitted.
    - Changing ``retries`` of the task between two of its tries looks like a "Clear".

    **Cancelling.** With ``cancel_on_kill`` the run is cancelled when a user marks the task failed or success
    or clears it: by the worker if it is running, and if it is deferred by the triggerer, on Airflow 3.3 and
    later; before 3.3 a run whose task is ended while deferred goes on, and so does one on 3.3 if the task is
    ended in the moment before a triggerer has taken it up. Stopping or restarting a triggerer
    cancels nothing; a worker that is shut down with SIGTERM cancels, as it cannot be told from a kill, and
    kill -9 cannot. A task that waits for a person is parked without a trigger: its run is left to expire, and
    uses no tokens meanwhile.

    **Time.** ``timeout`` and ``execution_timeout`` both count from the start of the try and hold while it is
    deferred or waits for a person. With ``cancel_on_timeout`` the run is cancelled then.

    **XComs.** ``run_id``, ``thread_id`` and (at api.openai.com) ``link`` before it waits; at the end, on
    success and on failure, every attribute of the run, ``answer``, and ``token_usage`` with the try number.

    :param conn_id: the OpenAI connection. Templated.
    :param wait_for_completion: whether to wait for the end of the run; else the task ends once it is made.
    :param cancel_on_kill: whether to cancel the run when the task is ended by a user.
    :param cancel_on_timeout: whether to cancel the run when the time is over.
    :param on_requires_action: what to do when the run asks for something: ``"answer"`` it with
        ``tool_handlers`` or by a person, and fail if neither is there for it; ``"fail"``; ``"wait"`` until
        somebody else has answered; or ``"return"``, which succeeds with the run as it is. Failing cancels.
    :param tool_handlers: functions by the names of the tools, called on a worker with the arguments by name,
        which are checked against the tool's schema and the function's signature. They return text or plain
        JSON. An ``AirflowException`` from them ends the task as it says.
    :param on_tool_error: ``"submit"`` tells the model what went wrong in a call; ``"fail"`` fails the task.
    :param human_tools: names of the tools whose calls a person answers, under "Required actions" in the UI.
        Approvals of MCP calls go there too. Airflow 3.3 and later.
    :param max_tool_rounds: after how many rounds of calls the task gives up.
    :param token_budget: how many tokens a run of several rounds may use: once they are spent, the next round
        does not begin, the run is cancelled, and the task fails without retries. Usage is known only between
        rounds, so a single round can go beyond it.
    :param timeout: how long the try may take, in seconds; None means no limit but ``execution_timeout``.
    :param poll_interval: the shortest time between two looks at the run, in seconds; it grows.
    :param max_poll_interval: the longest, in seconds.
    :param max_consecutive_failures: how many requests may fail in a row while waiting before the task does.
    :param deferrable: whether to wait in the triggerer. Airflow's ``operators.default_deferrable`` unless
        told otherwise.
    :raises ValueError: for an argument out of its range, when the DAG is parsed.
    """

    ui_color = "#d5e3f0"

    #: The definitions of tools that the API gets.
    tools: Json = None
    #: What the answer is read as; None leaves it as text.
    answer_model: type[BaseModel] | None = None
    on_active_run: ActiveRunPolicy = "fail"

    def __init__(
        self,
        *,
        conn_id: str = DEFAULT_CONN_ID,
        wait_for_completion: bool = True,
        cancel_on_kill: bool = True,
        cancel_on_timeout: bool = True,
        on_requires_action: RequiresActionPolicy = "answer",
        tool_handlers: Mapping[str, Callable[..., Json]] | None = None,
        on_tool_error: OnToolError = "submit",
        human_tools: Collection[str] = (),
        max_tool_rounds: int = 50,
        token_budget: int | None = None,
        timeout: float | None = None,
        poll_interval: float = DEFAULT_POLL_INTERVAL,
        max_poll_interval: float | None = None,
        max_consecutive_failures: int = DEFAULT_MAX_CONSECUTIVE_FAILURES,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        multiple_outputs: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(multiple_outputs=multiple_outputs, **kwargs)
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
        self.timeout = timeout
        self.deferrable = deferrable
        self.set_poll_options(
            poll_interval=poll_interval,
            max_poll_interval=max_poll_interval,
            max_consecutive_failures=max_consecutive_failures,
            on_requires_action="wait" if on_requires_action == "wait" else "return",
        )
        self.followed: Continuation | None = None
        self.was_killed = False

    def runs(self) -> ApiAdapter:
        """Give what the API offers; called when the templates are rendered."""
        raise NotImplementedError

    def check_arguments_for_create(self, tools: Json) -> None:
        """
        Refuse what would fail only after money was spent.

        :param tools: the definitions the API gets.
        :raises ValueError: for what is wrong, naming it.
        """
        from airflow_provider_openai_run.owned_runs.tools import check_handlers, function_tools

        if self.on_requires_action not in get_args(RequiresActionPolicy):
            raise ValueError(
                f"on_requires_action must be one of {get_args(RequiresActionPolicy)}, not {self.on_requires_action!r}"
            )
        if isinstance(self.human_tools, str):
            raise ValueError(f"human_tools is a collection of names, such as ({self.human_tools!r},)")  # noqa: TRY004 - a wrong value like the others
        for name in ("max_tool_rounds", "token_budget", "timeout"):
            check_positive(name, getattr(self, name))
        answers = self.tool_handlers or self.human_tools
        if answers and (self.on_requires_action != "answer" or not self.wait_for_completion):
            raise ValueError(
                "tool_handlers and human_tools need on_requires_action='answer' and wait_for_completion"
            )
        check_handlers(self.tool_handlers, tools, on_error=self.on_tool_error, also_known=self.human_tools)
        if self.on_requires_action == "answer" and self.wait_for_completion:
            unanswered = set(function_tools(tools)) - set(self.tool_handlers) - set(self.human_tools)
            if unanswered:
                message = (
                    f"tools without a handler: {', '.join(sorted(unanswered))}. Name them in tool_handlers "
                )
                raise ValueError(f"{message}or human_tools, or say by on_requires_action who answers them")

    def execute(self, context: Context) -> dict[str, Json]:
        """Find or make the run; wait for it if asked to."""
        return self._start(context, time.time())

    def execute_complete(
        self, context: Context, event: dict[str, Any], progress: dict[str, Json] | None = None
    ) -> dict[str, Json]:
        """Go on after the trigger has seen the run end or ask for something."""
        from airflow_provider_openai_run.owned_runs.continuation import Continuation

        # `airflow dags test` loses what was handed to defer().
        kept = progress or ref_from_json(event).ids
        return self._go_on(context, Continuation.from_json(kept), event)

    def execute_answered(
        self, context: Context, event: dict[str, Any], progress: dict[str, Json], call_id: str
    ) -> dict[str, Json]:
        """Go on after a person has answered a call, or has not in time."""
        from airflow_provider_openai_run.owned_runs.continuation import Continuation
        from airflow_provider_openai_run.owned_runs.human_input import answer_of

        come_so_far = Continuation.from_json(progress)
        if "error" in event:
            raise self._following(context).timed_out_with_a_person(come_so_far)
        answered = come_so_far.answered(call_id, answer_of(event))
        asked = {**answered.ref.ids, "status": "requires_action"}
        return self._go_on(context, answered, asked)

    def execute_on_free_thread(
        self, context: Context, event: dict[str, Any], started_at: float | None = None
    ) -> dict[str, Json]:
        """Go on after the run that kept the thread busy has ended."""
        outcome = self.outcome_from_event(event)
        if outcome.error is not None:
            raise outcome.error
        return self._start(context, started_at or time.time())

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Go on; cancel the run if no triggerer was there to see the time end."""
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except AirflowException as error:
            # Known by its name: the module that has it differs between Airflow 3.1 and 3.3.
            if type(error).__name__ == "TaskDeferralTimeout" and self.cancel_on_timeout:
                self._cancel_own(context, "cancel_on_timeout")
            raise

    def on_kill(self) -> None:
        """Cancel the run: a user has ended the task, or the worker is being shut down."""
        self.was_killed = True
        if self.followed is not None and self.followed.owned and self.cancel_on_kill:
            from airflow_provider_openai_run.cancellation import cancel_on_worker_kill

            cancel_on_worker_kill(lambda: self.hook, self.followed.ref)

    def _start(self, context: Context, started_at: float) -> dict[str, Json]:
        from airflow_provider_openai_run.owned_runs.continuation import Continuation
        from airflow_provider_openai_run.owned_runs.resolver import RunResolver

        following = self._following(context)
        with self._execution_timeout_cancels(context):
            run, owned = RunResolver(self, following, started_at).find_or_make()
            progress = Continuation(
                **ref_of(run).ids,
                started_at=started_at,
                owned=owned,
                spent=following.memory.get("spent", 0),
                round=following.memory.get("round", 0),
                made=(run.id,),
            )
            following.begin(progress)
            if not self.wait_for_completion:
                return {**run.to_xcom(), "answer": None}
            return following.from_the_start(run, progress)

    def _go_on(self, context: Context, progress: Continuation, event: dict[str, Any]) -> dict[str, Json]:
        # Before the imports, which take longest: a kill may come meanwhile.
        self.followed = progress
        following = self._following(context)
        with self._execution_timeout_cancels(context):
            if self.is_for_another_run(event, progress.run_id):
                return following.until_the_end(progress)
            came_to = following.after(self.outcome_from_event(event), progress)
            return came_to if isinstance(came_to, dict) else following.until_the_end(came_to)

    def refuse_if_killed(self) -> None:
        """
        Keep a task that a user has ended from spending more: Airflow lets it run on until it dies.

        :raises OpenAIRunError: if it was killed.
        """
        if self.was_killed:
            from airflow_provider_openai_run.exceptions import OpenAIRunError

            raise OpenAIRunError("The task was ended; it makes no run and hands nothing over any more")

    def _following(self, context: Context) -> OwnedRunRunner:
        from airflow_provider_openai_run.owned_runs.runner import OwnedRunRunner

        return OwnedRunRunner(self, context)

    def _cancel_own(self, context: Context, why: str, followed: RunRef | None = None) -> None:
        """Cancel the run of this task, whichever try has made it; else the one that it follows."""
        from airflow_provider_openai_run.exceptions import RunRequestError
        from airflow_provider_openai_run.owned_runs.resolver import RunResolver

        try:
            RunResolver(self, self._following(context), time.time()).cancel_own(why, followed)
        except RunRequestError as error:
            self.log.warning("Could not look for a run to cancel (%s): %s", why, error.message)

    @contextmanager
    def _execution_timeout_cancels(self, context: Context) -> Iterator[None]:
        """Tell Airflow's ``execution_timeout`` on the worker from a kill, which it is reported as."""
        try:
            yield
        except AirflowTaskTimeout:
            progress, self.followed = self.followed, None
            if self.cancel_on_timeout and (progress is None or progress.owned):
                self._cancel_own(context, "execution_timeout", progress.ref if progress else None)
            raise
