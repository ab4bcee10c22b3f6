"""Options of a task that creates a run, and the access to Airflow that its runner needs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Protocol, TypeAlias

from airflow_provider_openai_run.cancellation import CancelReason

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from airflow.sdk import Context
    from airflow.triggers.base import BaseTrigger
    from pydantic import BaseModel

    from airflow_provider_openai_run.cancellation import KillGuard
    from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook
    from airflow_provider_openai_run.owned_runs.adapters import ApiAdapter
    from airflow_provider_openai_run.owned_runs.human_form import HumanInputRequest
    from airflow_provider_openai_run.owned_runs.identity import RunIdentity
    from airflow_provider_openai_run.owned_runs.state import TaskRunState
    from airflow_provider_openai_run.owned_runs.tools import ToolErrorPolicy
    from airflow_provider_openai_run.polling.options import PollOptions, RequiresActionPolicy
    from airflow_provider_openai_run.polling.policy import Decision
    from airflow_provider_openai_run.types.json import Json
    from airflow_provider_openai_run.types.outcome import Outcome
    from airflow_provider_openai_run.types.run import Run

#: What to do about a run of another owner that is active on the thread.
ActiveRunPolicy: TypeAlias = Literal["fail", "wait", "attach"]

GetHook: TypeAlias = "Callable[[], OpenAIRunHook]"
NewAdapter: TypeAlias = "Callable[[GetHook, RunIdentity, TaskRunState], ApiAdapter]"


class TaskInterface(Protocol):
    """The running task, and Airflow, as the runner needs them."""

    @property
    def context(self) -> Context:
        """The context of the running task."""

    @property
    def log(self) -> Any:  # noqa: ANN401 - a logger of Airflow's own
        """The task's log."""

    def push_xcoms(self, values: Mapping[str, Json]) -> None:
        """Push XComs by their keys, unless the task pushes none."""

    def push_progress(self, decision: Decision) -> None:
        """Push what the run's page shows while the task waits."""

    def push_round(self, value: Mapping[str, Json]) -> None:
        """Push a tool round that was answered, for the run's page."""

    def take_kept_run(self, outcome: Outcome) -> Run | None:
        """Return the run that the trigger has kept in XCom, and delete it there; None if there is none."""

    def show_link(self, url: str | None, *, push: bool) -> None:
        """Set the URL of the run's page in the vendor's console, and push it if there is one."""

    def defer(
        self, trigger: BaseTrigger, method_name: str, kwargs: dict[str, Json], started_at: float
    ) -> NoReturn:
        """Raise ``TaskDeferred``, of a try that began at ``started_at`` in epoch seconds."""

    def request_human_input(self, request: HumanInputRequest) -> HumanInputRequest | None:
        """Hand a request for people to Airflow, and return the one that Airflow shows, if it says so."""

    def wait_for_person(self, kwargs: dict[str, Json], deadline: float | None) -> NoReturn:
        """Park the task until a person has responded, or until ``deadline`` in epoch seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnedRunConfig:
    """
    Options of a task that creates a run and waits for it.

    The parameters of :class:`~airflow_provider_openai_run.operators._owned_run.OwnedRunOperator` mean the
    same.

    :param get_hook: returns the hook for the connection. Its module imports the SDK, which a task that only
        reads what its trigger has kept does not need.
    :param new_adapter: makes the adapter of the API, which holds the request that creates the run.
    :param kill_guard: cancels the run if the task is killed on this worker.
    :param poll_options_from: returns the options of a wait that began at a time, in epoch seconds.
    :param include: names of further output that is retrieved with the run.
    :param answer_model: the pydantic model that the answer is read as; None leaves it as text.
    :param push_attributes: whether each attribute has an XCom of its own.
    :param push_progress: whether XComs are pushed while the task waits.
    :param keep_result: whether the trigger keeps the run in XCom until the task resumes.
    """

    conn_id: str
    get_hook: GetHook
    new_adapter: NewAdapter
    kill_guard: KillGuard
    poll_options_from: Callable[[float], PollOptions]
    wait_for_completion: bool = True
    cancel_on_kill: bool = True
    cancel_on_timeout: bool = True
    on_active_run: ActiveRunPolicy = "fail"
    on_requires_action: RequiresActionPolicy = "answer"
    tools: object = None
    tool_handlers: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    on_tool_error: ToolErrorPolicy = "submit"
    human_tools: Collection[str] = ()
    max_tool_rounds: int = 50
    token_budget: int | None = None
    include: Sequence[str] = ()
    answer_model: type[BaseModel] | None = None
    deferrable: bool = False
    push_attributes: bool = True
    push_progress: bool = True
    keep_result: bool = True

    @property
    def hook(self) -> OpenAIRunHook:
        """The hook for the connection."""
        return self.get_hook()

    def deadline(self, started_at: float) -> float | None:
        """
        Return when to give up, in epoch seconds; None waits as long as it takes.

        :param started_at: when the try began.
        """
        return self.poll_options_from(started_at).deadline

    def timeout_reason(self, started_at: float) -> CancelReason:
        """
        Return which of the two timeouts passes first.

        :param started_at: when the try began, in epoch seconds.
        """
        is_airflows = self.poll_options_from(started_at).limit == "execution_timeout"
        return CancelReason.EXECUTION_TIMEOUT if is_airflows else CancelReason.TIMEOUT
