"""A running task as an operator sees it, without an Airflow around it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.sdk import Context

from airflow_provider_openai_run.operators._base import BaseRunOperator
from airflow_provider_openai_run.operators._owned_run import OwnedRunOperator
from airflow_provider_openai_run.sandbox import Sandbox
from airflow_provider_openai_run.triggers.openai_run import OpenAIRunTrigger

JsonObject = dict[str, Any]


@dataclass
class StateStore:
    """Stands in for the task state store of Airflow 3.3."""

    kept: dict[str, Any] = field(default_factory=dict)

    def get(self, key: str, default: Any = None) -> Any:
        return self.kept.get(key, default)

    def set(self, key: str, value: Any) -> None:
        self.kept[key] = value


@dataclass
class TaskInstance:
    """The part of a task instance that operators use."""

    task: BaseRunOperator
    dag_id: str = "dag"
    run_id: str = "manual__1"
    task_id: str = "task"
    map_index: int = -1
    try_number: int = 1
    max_tries: int = 0
    id: str = "01990000-0000-7000-8000-000000000000"
    pushed: JsonObject = field(default_factory=dict)

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = value

    def xcom_pull(self, *, key: str, task_ids: str, map_indexes: int) -> Any:
        assert (task_ids, map_indexes) == (self.task_id, self.map_index)
        return self.pushed.get(key)


@dataclass
class TaskAttempts:
    """
    A task instance over its tries.

    :param task: the operator.
    :param store: its state store; None is an Airflow before 3.3.
    :param clears: how often it was cleared.
    """

    task: BaseRunOperator
    store: StateStore | None = field(default_factory=StateStore)
    clears: int = 0
    tries: int = 0
    pushed: JsonObject = field(default_factory=dict)

    def context(self) -> Context:
        """The context of the try that is under way."""
        retries = self.task.retries or 0
        ti = TaskInstance(
            task=self.task, try_number=self.tries, max_tries=retries + self.clears, pushed=self.pushed
        )
        context: JsonObject = {"ti": ti}
        if self.store is not None:
            context["task_state_store"] = self.store
        return cast("Context", context)

    def begin(self) -> Any:
        """Run the next try until it defers or ends."""
        self.tries += 1
        self.pushed.clear()
        if isinstance(self.task, OwnedRunOperator):
            self.task.kill_guard.watch(None)
        return self._until_deferred(self.task.execute, {})

    def resume(self, deferred: Any, event: Mapping[str, Any]) -> Any:
        """Go on after a trigger has sent its event, or a person has answered."""
        method = getattr(self.task, deferred.method_name)
        return self._until_deferred(method, {"event": dict(event), **(deferred.kwargs or {})})

    def _until_deferred(self, method: Any, kwargs: JsonObject) -> Any:
        try:
            return method(context=self.context(), **kwargs)
        except TaskDeferred as deferred:
            return deferred


def watched(deferred: TaskDeferred) -> OpenAIRunTrigger:
    """The trigger a task has deferred to, rebuilt as a triggerer does."""
    trigger = deferred.trigger
    assert isinstance(trigger, OpenAIRunTrigger)
    _, kwargs = trigger.serialize()
    return type(trigger)(**kwargs)


def bodies(sandbox: Sandbox, path: str) -> list[JsonObject]:
    """Return the bodies of the requests to paths with an ending, oldest first."""
    posts = (request for request in sandbox.requests if request.method == "POST")
    return [request.body for request in posts if request.path.endswith(path)]


def fields_of(value: Any) -> JsonObject:
    """A dataclass as a dict, one level deep."""
    return {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}
