"""One try of a task, over the workers and triggers that run it, with all that they store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_openai_run.exceptions import OpenAIRunError
from airflow_provider_openai_run.owned_runs import human_input
from tests.airflow_task import only_event
from tests.fake_clock import FakeClock
from tests.owned_runs.input_store import InputStore

JsonObject = dict[str, Any]
KEY = {"dag_id": "dag", "task_id": "task", "run_id": "manual__1", "map_index": -1}


class Store(dict[str, Any]):
    """Stands in for Airflow's state store of a task; it keeps JSON."""

    def set(self, key: str, value: Any) -> None:
        self[key] = json.loads(json.dumps(value))


class TaskInstance(SimpleNamespace):
    """The part of a task instance that workers and triggers use; it keeps JSON."""

    xcoms: JsonObject

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = json.loads(json.dumps(value))

    def xcom_pull(self, *, key: str, task_ids: str, map_indexes: int) -> Any:
        return self.xcoms.get(key)


@dataclass
class Deferral:
    """
    A deferred task, as it is in Airflow's database.

    :param classpath: of the trigger; None for a task that is parked until a person answers.
    :param trigger_kwargs: the trigger's arguments.
    :param next_method: the method that resumes.
    :param next_kwargs: its arguments, but for the event.
    :param xcoms: the task's XComs.
    :param state: its state store.
    """

    classpath: str | None
    trigger_kwargs: JsonObject
    next_method: str
    next_kwargs: JsonObject
    xcoms: JsonObject
    state: JsonObject


@dataclass
class End:
    """
    The end of a try.

    :param result: what the task returned.
    :param error: the name of the error's class.
    """

    result: Any = None
    error: str | None = None


@dataclass
class WaitingTask:
    """
    A task instance.

    :param task: the operator.
    :param clock: the clock.
    :param xcoms: its XComs.
    :param state: its state store.
    """

    task: Any
    clock: FakeClock
    xcoms: JsonObject = field(default_factory=dict)
    state: Store = field(default_factory=Store)

    @property
    def instance(self) -> TaskInstance:
        """The task instance."""
        tries = {"try_number": 1, "max_tries": self.task.retries or 0, "id": UUID(int=199)}
        return TaskInstance(**KEY, **tries, task=self.task, xcoms=self.xcoms)

    def start(self) -> Deferral | End:
        """Run the first worker."""
        return self._run(self.task.execute, {})

    def resume(self, deferral: Deferral, event: JsonObject) -> Deferral | End:
        """Run the worker that resumes."""
        kwargs = json.loads(json.dumps({**deferral.next_kwargs, "event": event}))
        return self._run(getattr(self.task, deferral.next_method), kwargs)

    def run_trigger(self, deferral: Deferral) -> JsonObject:
        """Load the trigger of a deferral as a triggerer does, and return its event."""
        assert deferral.classpath is not None
        module, _, name = deferral.classpath.rpartition(".")
        trigger = getattr(import_module(module), name)(**deferral.trigger_kwargs)
        is_property = isinstance(getattr(type(trigger), "task_instance", None), property)
        setattr(trigger, "_task_instance" if is_property else "task_instance", self.instance)
        return self.clock.run(only_event(trigger))

    def _run(self, method: Any, kwargs: JsonObject) -> Deferral | End:
        context = {"ti": self.instance, "task_state_store": self.state}
        try:
            return End(result=json.loads(json.dumps(method(context=context, **kwargs))))
        except TaskDeferred as deferred:
            classpath, trigger_kwargs = deferred.trigger.serialize()
            return self._deferral(classpath, trigger_kwargs, deferred.method_name, deferred.kwargs)
        except OpenAIRunError as error:
            return End(error=type(error).__name__)
        except BaseException as parked:
            # Known by its name: Airflow has it from 3.3 on.
            if type(parked).__name__ != "TaskAwaitingInput":
                raise
            arguments: Any = parked
            return self._deferral(None, {}, arguments.method_name, arguments.kwargs)

    def _deferral(
        self, classpath: str | None, trigger_kwargs: JsonObject, method: str, kwargs: JsonObject | None
    ) -> Deferral:
        stored = [trigger_kwargs, method, kwargs or {}, self.xcoms, self.state]
        return Deferral(classpath, *json.loads(json.dumps(stored)))


@contextmanager
def stored_by_airflow(xcoms: JsonObject) -> Iterator[None]:
    """Let triggers and workers set XComs, and tasks ask people, without an Airflow."""
    module = import_module("airflow.sdk.execution_time.xcom")

    class XCom:
        @staticmethod
        async def aget_one(*, key: str, **_: Any) -> Any:
            return xcoms.get(key)

        @staticmethod
        async def aset(key: str, value: Any, **_: Any) -> None:
            xcoms[key] = json.loads(json.dumps(value))

        @staticmethod
        def delete(*, key: str, **_: Any) -> None:
            xcoms.pop(key, None)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "XCom", XCom)
        if human_input.is_available():
            task_runner = import_module("airflow.sdk.execution_time.task_runner")
            patch.setattr(task_runner, "SUPERVISOR_COMMS", InputStore(replaces=True), raising=False)
        yield
