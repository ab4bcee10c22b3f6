"""The access to Airflow that is handed to the runner of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_openai_run.links.openai_run import LINK_KEY
from airflow_provider_openai_run.operators._deferral import keep_arguments
from airflow_provider_openai_run.types.storable import storable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.sdk import Context
    from airflow.triggers.base import BaseTrigger

    from airflow_provider_openai_run.operators._base import BaseRunOperator
    from airflow_provider_openai_run.owned_runs.human_form import HumanInputRequest
    from airflow_provider_openai_run.polling.policy import Decision
    from airflow_provider_openai_run.types.json import Json
    from airflow_provider_openai_run.types.outcome import Outcome
    from airflow_provider_openai_run.types.run import Run


class RunningTask:
    """
    A running task as a :class:`~airflow_provider_openai_run.owned_runs.config.TaskInterface`.

    :param operator: the task.
    :param context: of the running task.
    """

    def __init__(self, operator: BaseRunOperator, context: Context) -> None:
        self._operator = operator
        self.context = context

    @property
    def log(self) -> Any:
        """The task's log."""
        return self._operator.log

    def push_xcoms(self, values: Mapping[str, Json]) -> None:
        """Push XComs by their keys, unless the task pushes none or ``execute({})`` has no task instance."""
        ti = self.context.get("ti")
        if ti is not None and self._operator.do_xcom_push:
            for key, value in values.items():
                ti.xcom_push(key=key, value=storable(value))

    def push_progress(self, decision: Decision) -> None:
        """Push what the run's page shows while the task waits."""
        self._operator.push_progress(decision, self.context)

    def push_round(self, value: Mapping[str, Json]) -> None:
        """Push a tool round that was answered, for the run's page."""
        ti = self.context.get("ti")
        if ti is not None and self._operator.do_xcom_push:
            from airflow_provider_openai_run.owned_runs.rounds import push_round

            push_round(value, ti)

    def take_kept_run(self, outcome: Outcome) -> Run | None:
        """Return the run that the trigger has kept in XCom, and delete it there; None if there is none."""
        return self._operator.take_kept_run(outcome, self.context)

    def show_link(self, url: str | None, *, push: bool) -> None:
        """Set the URL of the run's page in the vendor's console, and push it if there is one."""
        self._operator.link = url or ""
        if url and push:
            self.push_xcoms({"link": url, LINK_KEY: url})

    def defer(
        self, trigger: BaseTrigger, method_name: str, kwargs: dict[str, Json], started_at: float
    ) -> NoReturn:
        """Raise ``TaskDeferred``."""
        timeout = self._operator.deferral_timeout(started_at)
        keep_arguments(self.context, method_name, kwargs)
        self._operator.defer(trigger=trigger, method_name=method_name, kwargs=kwargs, timeout=timeout)

    def request_human_input(self, request: HumanInputRequest) -> HumanInputRequest | None:
        """Hand a request for people to Airflow, and return the one that Airflow shows, if it says so."""
        from airflow_provider_openai_run.owned_runs.human_input import request_human_input

        return request_human_input(self.context["ti"].id, request)

    def wait_for_person(self, kwargs: dict[str, Json], deadline: float | None) -> NoReturn:
        """Park the task until a person has responded."""
        from airflow_provider_openai_run.owned_runs.human_input import park

        park(kwargs, deadline)
