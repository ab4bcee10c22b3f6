"""Runs a task as Airflow's own task runner does, and its trigger as the triggerer does, without a supervisor.

What a try came to (its state, what it would tell the supervisor, its XComs) is decided by Airflow's code. In
place of the supervisor stands an object that writes down what it is told.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any
from unittest import mock
from uuid import uuid4

import structlog
from airflow.sdk import DAG, BaseOperator
from airflow.sdk.api.datamodels._generated import DagRun, DagRunState, DagRunType, TIRunContext
from airflow.sdk.execution_time import comms, task_runner
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
from airflow.triggers.base import BaseTrigger

from tests.fake_clock import FakeClock

with warnings.catch_warnings():
    # In Airflow 3.1 these modules use what its own providers have deprecated.
    warnings.simplefilter("ignore")
    from airflow.models.trigger import TRIGGER_FAIL_REPR, Trigger, TriggerFailureReason

__all__ = ["AirflowTask", "Trigger", "TriggerFailureReason", "Try", "event_of", "rebuilt_trigger"]

RUN_ID = "manual__1"

#: How long it takes until a task is run again after its time has come, in seconds.
_SCHEDULING = 0.01

#: Makes the task anew, as every process does that parses the DAG's file.
MakeTask = Callable[[], BaseOperator]


@dataclass
class Try:
    """
    What a try of a task came to, so far.

    :param state: Airflow's word for it: ``success``, ``failed`` (and not retried), ``up_for_retry``,
        ``skipped``, ``deferred``, ``up_for_reschedule``.
    :param error: what it raised, if Airflow takes that for a failure.
    :param told: what the supervisor was told last.
    :param xcoms: what it pushed.
    """

    state: str
    error: BaseException | None
    told: Any
    xcoms: dict[str, Any]


@dataclass
class Supervisor:
    """Takes the messages of a task, and answers it: about XComs, and the one question that a sensor has."""

    first_start: dt.datetime
    kept: dict[str, Any]
    messages: list[Any] = field(default_factory=list)

    def send(self, msg: Any) -> Any:
        self.messages.append(msg)
        if isinstance(msg, comms.GetTaskRescheduleStartDate):
            return comms.TaskRescheduleStartDate(start_date=self.first_start)
        if isinstance(msg, comms.GetXCom):
            return comms.XComResult(key=msg.key, value=self.kept.get(msg.key))
        if isinstance(msg, comms.SetXCom):
            self.kept[msg.key] = msg.value
        return None

    async def asend(self, msg: Any) -> Any:
        return self.send(msg)

    @property
    def xcoms(self) -> dict[str, Any]:
        return {msg.key: msg.value for msg in self.messages if isinstance(msg, comms.SetXCom)}


class AirflowTask:
    """
    One try of a task, over all the processes that it takes.

    :param make_task: makes the task.
    :param stopped: the time.
    :param params: the DAG's parameters.
    :param map_index: which of a mapped task's it is.
    """

    def __init__(
        self,
        make_task: MakeTask,
        stopped: FakeClock,
        *,
        params: dict[str, Any] | None = None,
        map_index: int = -1,
    ) -> None:
        self._make_task = make_task
        self._stopped = stopped
        self._params = params or {}
        self._map_index = map_index
        self._reschedules = 0
        self._first_start = stopped.utcnow()
        self._xcoms: dict[str, Any] = {}

    def begin(self) -> Try:
        """Let a worker execute the task."""
        return self._work(None, None)

    def to_its_end(self) -> Try:
        """Let worker and triggerer do what it takes until the try is over."""
        attempt = self.begin()
        while attempt.state in {"deferred", "up_for_reschedule"}:
            attempt = self.go_on(attempt)
        return attempt

    def go_on(self, attempt: Try) -> Try:
        """Let happen what a deferred or rescheduled task waits for, and let a worker go on with it."""
        if attempt.state == "deferred":
            return self.resume(attempt, *self._triggered(attempt))
        wait = attempt.told.reschedule_date - self._stopped.utcnow()
        self._stopped.sleep(max(0.0, wait.total_seconds()) + _SCHEDULING)
        self._reschedules += 1
        return self.begin()

    def resume(self, attempt: Try, next_method: str, next_kwargs: dict[str, Any]) -> Try:
        """Let a worker go on with a task that was deferred."""
        assert attempt.state == "deferred"
        return self._work(next_method, json.loads(json.dumps(_serialized(next_kwargs))))

    def time_out(self, attempt: Try) -> Try:
        """Let the scheduler find that the trigger took too long."""
        return self.resume(attempt, TRIGGER_FAIL_REPR, {"error": TriggerFailureReason.TRIGGER_TIMEOUT})

    def _triggered(self, attempt: Try) -> tuple[str, dict[str, Any]]:
        try:
            event = self._stopped.run(event_of(rebuilt_trigger(attempt)))
        except Exception as error:  # noqa: BLE001 - the triggerer fails the task for any
            told = traceback.format_exception(error)
            return TRIGGER_FAIL_REPR, {"error": TriggerFailureReason.TRIGGER_FAILURE, "traceback": told}
        return attempt.told.next_method, {**attempt.told.next_kwargs, "event": event}

    def _work(self, next_method: str | None, next_kwargs: dict[str, Any] | None) -> Try:
        supervisor = Supervisor(self._first_start, self._xcoms)
        ti = self._task_instance(next_method, next_kwargs)
        with _in_the_place_of_a_worker(supervisor):
            state, told, error = task_runner.run(ti, ti.get_template_context(), structlog.get_logger("task"))
        return Try(state.value, error, told, supervisor.xcoms)

    def _task_instance(self, next_method: str | None, next_kwargs: dict[str, Any] | None) -> Any:
        now = self._stopped.utcnow()
        with DAG("runs", schedule=None, params=self._params) as dag:
            task = self._make_task()
        server = TIRunContext(
            dag_run=_dag_run(dag, now),
            max_tries=task.retries or 0,
            should_retry=True,
            task_reschedule_count=self._reschedules,
            next_method=next_method,
            next_kwargs=next_kwargs,
        )
        return RuntimeTaskInstance.model_construct(
            id=uuid4(),
            task_id=task.task_id,
            dag_id=dag.dag_id,
            run_id=RUN_ID,
            try_number=1,
            map_index=self._map_index,
            dag_version_id=uuid4(),
            task=task,
            bundle_instance=None,
            _ti_context_from_server=server,
            max_tries=task.retries,
            start_date=now,
        )


def rebuilt_trigger(attempt: Try) -> BaseTrigger:
    """The trigger of a deferred task, as the triggerer makes it from what the database holds."""
    told = attempt.told
    arguments = Trigger._decrypt_kwargs(Trigger.encrypt_kwargs(told.trigger_kwargs))
    module, _, name = told.classpath.rpartition(".")
    trigger: BaseTrigger = getattr(import_module(module), name)(**arguments)
    return trigger


async def event_of(trigger: BaseTrigger) -> dict[str, Any]:
    """The one event of a trigger, as it comes out of the database."""
    payloads = [event.payload async for event in trigger.run()]
    assert len(payloads) == 1
    payload: dict[str, Any] = json.loads(json.dumps(payloads[0]))
    return payload


def _serialized(next_kwargs: dict[str, Any]) -> Any:
    """Arguments in the form in which the API server of this Airflow hands them to the task runner."""
    try:
        from airflow.sdk.serde import serialize
    except ImportError:  # Airflow 3.1
        from airflow.serialization.serialized_objects import BaseSerialization

        return BaseSerialization.serialize(next_kwargs)
    return serialize(next_kwargs)


def _dag_run(dag: DAG, now: dt.datetime) -> DagRun:
    facts: dict[str, Any] = {
        "dag_id": dag.dag_id,
        "run_id": RUN_ID,
        "run_after": now,
        "start_date": now,
        "run_type": DagRunType.MANUAL,
        "state": DagRunState.RUNNING,
        "consumed_asset_events": [],
    }
    required: Any = (name for name, item in DagRun.model_fields.items() if item.is_required())
    return DagRun(**{**dict.fromkeys(required), **facts})


@contextmanager
def _in_the_place_of_a_worker(supervisor: Supervisor) -> Iterator[None]:
    """Give the task runner its supervisor, and undo what it does to the process."""
    on_terminate = signal.getsignal(signal.SIGTERM)
    with (
        mock.patch.object(task_runner, "SUPERVISOR_COMMS", supervisor, create=True),
        mock.patch.object(task_runner, "get_hostname", return_value="worker"),
        mock.patch.dict(os.environ),
        warnings.catch_warnings(),
    ):
        # Airflow 3.1 warns of itself when a worker looks up a connection, and takes that for a failure.
        warnings.filterwarnings("ignore", "Using Connection", DeprecationWarning)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, on_terminate)
