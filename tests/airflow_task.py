"""
Run a task with Airflow's own task runner, and its trigger as the triggerer does, in the test process.

Airflow's code decides the state of the task and the messages to the supervisor. A stand-in for the supervisor
records them.
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

from airflow_provider_openai_run.polling.options import MIN_RESUME_DELAY
from tests.fake_clock import FakeClock

with warnings.catch_warnings():
    # In Airflow 3.1 these modules use what its own providers have deprecated.
    warnings.simplefilter("ignore")
    from airflow.models.trigger import TRIGGER_FAIL_REPR, Trigger, TriggerFailureReason

__all__ = ["AirflowTask", "TaskAttempt", "Trigger", "TriggerFailureReason", "load_trigger", "only_event"]

RUN_ID = "manual__1"

#: Seconds between the time a task is rescheduled to and its next execution.
_SCHEDULING_DELAY = 0.01

#: Creates the task, as each process does that parses the DAG's file.
MakeTask = Callable[[], BaseOperator]


@dataclass
class TaskAttempt:
    """
    The result of one process that ran a try of a task.

    :param state: Airflow's state of the task instance: ``success``, ``failed`` (not retried),
        ``up_for_retry``, ``skipped``, ``deferred`` or ``up_for_reschedule``.
    :param error: the exception that Airflow takes for a failure, if any.
    :param message: the last message to the supervisor, such as ``DeferTask``.
    :param xcoms: the XComs that were pushed.
    """

    state: str
    error: BaseException | None
    message: Any
    xcoms: dict[str, Any]


@dataclass
class Supervisor:
    """Record the messages of a task; answer those about XComs and about the first start of a sensor."""

    first_start: dt.datetime
    stored_xcoms: dict[str, Any]
    messages: list[Any] = field(default_factory=list)

    def send(self, msg: Any) -> Any:
        self.messages.append(msg)
        if isinstance(msg, comms.GetTaskRescheduleStartDate):
            return comms.TaskRescheduleStartDate(start_date=self.first_start)
        if isinstance(msg, comms.GetXCom):
            return comms.XComResult(key=msg.key, value=self.stored_xcoms.get(msg.key))
        if isinstance(msg, comms.SetXCom):
            self.stored_xcoms[msg.key] = msg.value
        return None

    async def asend(self, msg: Any) -> Any:
        return self.send(msg)

    @property
    def xcoms(self) -> dict[str, Any]:
        return {msg.key: msg.value for msg in self.messages if isinstance(msg, comms.SetXCom)}


class AirflowTask:
    """
    One try of a task, over all the processes that run it.

    :param make_task: creates the task.
    :param clock: the clock of the test.
    :param params: the DAG's parameters.
    :param map_index: the index of a mapped task instance; -1 for any other.
    :param with_links: whether Airflow pushes the task's links when a worker ends, as it does for real.
    """

    def __init__(
        self,
        make_task: MakeTask,
        clock: FakeClock,
        *,
        params: dict[str, Any] | None = None,
        map_index: int = -1,
        with_links: bool = False,
    ) -> None:
        self._with_links = with_links
        self._make_task = make_task
        self._clock = clock
        self._params = params or {}
        self._map_index = map_index
        self._reschedules = 0
        self._released_at = 0.0
        self._first_start = clock.utcnow()
        self._xcoms: dict[str, Any] = {}

    def begin(self) -> TaskAttempt:
        """Execute the task on a worker."""
        return self._run_worker(None, None)

    def run_to_end(self) -> TaskAttempt:
        """Let worker and triggerer run the task until the try is over."""
        attempt = self.begin()
        while attempt.state in {"deferred", "up_for_reschedule"}:
            attempt = self.advance(attempt)
        return attempt

    def advance(self, attempt: TaskAttempt) -> TaskAttempt:
        """Let pass what a deferred or rescheduled task waits for, and run it on a worker again."""
        if attempt.state == "deferred":
            next_step = self._run_trigger(attempt)
            self._check_resume_delay()
            return self.resume(attempt, *next_step)
        wait = attempt.message.reschedule_date - self._clock.utcnow()
        self._clock.sleep(max(0.0, wait.total_seconds()) + _SCHEDULING_DELAY)
        self._check_resume_delay()
        self._reschedules += 1
        return self.begin()

    def _check_resume_delay(self) -> None:
        """Fail where a loaded scheduler may not have read yet that the first worker has ended."""
        delay = self._clock.time() - self._released_at
        assert delay >= MIN_RESUME_DELAY - 0.1, f"the task may resume {delay:.1f} s after its release"

    def resume(self, attempt: TaskAttempt, next_method: str, next_kwargs: dict[str, Any]) -> TaskAttempt:
        """Resume a deferred task on a worker."""
        assert attempt.state == "deferred"
        return self._run_worker(next_method, json.loads(json.dumps(_serialized(next_kwargs))))

    def time_out(self, attempt: TaskAttempt) -> TaskAttempt:
        """Let the scheduler end a deferral that has lasted too long."""
        return self.resume(attempt, TRIGGER_FAIL_REPR, {"error": TriggerFailureReason.TRIGGER_TIMEOUT})

    def _run_trigger(self, attempt: TaskAttempt) -> tuple[str, dict[str, Any]]:
        try:
            event = self._clock.run(only_event(load_trigger(attempt)))
        except Exception as error:  # noqa: BLE001 - the triggerer fails the task for any exception
            lines = traceback.format_exception(error)
            return TRIGGER_FAIL_REPR, {"error": TriggerFailureReason.TRIGGER_FAILURE, "traceback": lines}
        return attempt.message.next_method, {**attempt.message.next_kwargs, "event": event}

    def _run_worker(self, next_method: str | None, next_kwargs: dict[str, Any] | None) -> TaskAttempt:
        supervisor = Supervisor(self._first_start, self._xcoms)
        ti = self._task_instance(next_method, next_kwargs)
        with _worker_process(supervisor):
            context = ti.get_template_context()
            log = structlog.get_logger("task")
            state, message, error = task_runner.run(ti, context, log)
            if self._with_links:
                task_runner.finalize(ti, state, context, log, error)
        self._released_at = self._clock.time()
        return TaskAttempt(state.value, error, message, supervisor.xcoms)

    def _task_instance(self, next_method: str | None, next_kwargs: dict[str, Any] | None) -> Any:
        now = self._clock.utcnow()
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


def load_trigger(attempt: TaskAttempt) -> BaseTrigger:
    """Return the trigger of a deferred task, as the triggerer loads it from the database."""
    message = attempt.message
    arguments = Trigger._decrypt_kwargs(Trigger.encrypt_kwargs(message.trigger_kwargs))
    module, _, name = message.classpath.rpartition(".")
    trigger: BaseTrigger = getattr(import_module(module), name)(**arguments)
    return trigger


async def only_event(trigger: BaseTrigger) -> dict[str, Any]:
    """Return the only event of a trigger, as the worker reads it from the database."""
    payloads = [event.payload async for event in trigger.run()]
    assert len(payloads) == 1
    payload: dict[str, Any] = json.loads(json.dumps(payloads[0]))
    return payload


def _serialized(next_kwargs: dict[str, Any]) -> Any:
    """Return arguments in the form in which this Airflow's API server passes them to the task runner."""
    try:
        from airflow.sdk.serde import serialize
    except ImportError:  # Airflow 3.1
        from airflow.serialization.serialized_objects import BaseSerialization

        return BaseSerialization.serialize(next_kwargs)
    return serialize(next_kwargs)


def _dag_run(dag: DAG, now: dt.datetime) -> DagRun:
    fields: dict[str, Any] = {
        "dag_id": dag.dag_id,
        "run_id": RUN_ID,
        "run_after": now,
        "start_date": now,
        "run_type": DagRunType.MANUAL,
        "state": DagRunState.RUNNING,
        "consumed_asset_events": [],
    }
    required: Any = (name for name, item in DagRun.model_fields.items() if item.is_required())
    return DagRun(**{**dict.fromkeys(required), **fields})


@contextmanager
def _worker_process(supervisor: Supervisor) -> Iterator[None]:
    """Set the supervisor of the task runner, and undo what the runner changes in the process."""
    on_terminate = signal.getsignal(signal.SIGTERM)
    with (
        mock.patch.object(task_runner, "SUPERVISOR_COMMS", supervisor, create=True),
        mock.patch.object(task_runner, "get_hostname", return_value="worker"),
        mock.patch.dict(os.environ),
        warnings.catch_warnings(),
    ):
        # Airflow 3.1 raises this warning itself when a worker looks up a connection, and would fail by it.
        warnings.filterwarnings("ignore", "Using Connection", DeprecationWarning)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, on_terminate)
