"""Triggers that start or end the task that waits for a run, so that it occupies no worker at all."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TaskSuccessEvent, TriggerEvent

from airflow_provider_openai_run import task_xcoms
from airflow_provider_openai_run.api.registry import author_ids, run_ref
from airflow_provider_openai_run.exceptions import InvalidRunReferenceError, OpenAIRunError
from airflow_provider_openai_run.triggers._lazy_import import import_off_loop
from airflow_provider_openai_run.triggers._stored_arguments import ignore_unknown
from airflow_provider_openai_run.triggers.openai_run import OpenAIRunTrigger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping

    from airflow_provider_openai_run.polling.policy import Decision
    from airflow_provider_openai_run.types.json import Json
    from airflow_provider_openai_run.types.outcome import Outcome

#: The key of the event with which a worker starts the task that could not be started in the triggerer.
START_ON_WORKER = "start_on_worker"

_CONNECTION_POLLER = "airflow_provider_openai_run.triggerer.connection_poller"
_RETURN_KEY = "return_value"


class OpenAIRunEndTrigger(OpenAIRunTrigger):
    """
    Wait until a run has ended, and end its task if the run has ended as accepted.

    The task then succeeds without a worker. For every other outcome it resumes on a worker, which fails it
    with the error of the wait, so that retries, callbacks and ``soft_fail`` work as for any task.

    :param accepted_statuses: the terminal statuses with which the task ends; none if it always resumes.
    :param push_link: whether to push the URL of the run's page, which a worker has done otherwise.
    :param arguments: those of :class:`.OpenAIRunTrigger`. ``push_progress`` counts for all XComs.
    """

    def __init__(
        self, *, accepted_statuses: Collection[str] = (), push_link: bool = False, **arguments: Any
    ) -> None:
        super().__init__(**arguments)
        self.accepted_statuses = tuple(accepted_statuses)
        self.push_link = push_link
        self._pushes_xcoms = self.push_progress
        self.worker_follows = not self.accepted_statuses

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments as plain JSON."""
        path, arguments = super().serialize()
        own = {"accepted_statuses": list(self.accepted_statuses), "push_link": self.push_link}
        return path, {**arguments, **own}

    async def end_event(self, outcome: Outcome) -> TriggerEvent:
        """Return the event that ends the task, or the one that resumes it."""
        resuming = await super().end_event(outcome)
        try:
            outcome.raise_unless_accepted(self.accepted_statuses)
        except OpenAIRunError:
            return resuming
        value: dict[str, Json] = {**author_ids(outcome.ref), "status": outcome.status}
        return TaskSuccessEvent() if await self._push_xcom(_RETURN_KEY, value) else resuming

    async def _process(self, decision: Decision) -> Outcome | None:
        if self.push_link:
            self.push_link = False
            connection_poller = await import_off_loop(
                "airflow_provider_openai_run.triggerer.connection_poller"
            )
            if url := connection_poller.run_url_of(self.conn_id, self.ref):
                await self._push_xcom(task_xcoms.LINK_KEY, url)
        return await super()._process(decision)

    async def _push_xcom(self, key: str, value: Json) -> bool:
        """Push an XCom through Airflow's backend; return whether that is done, if it is wanted at all."""
        ti: Any = self.task_instance
        if not self._pushes_xcoms:
            return True
        xcom = await task_xcoms.async_xcom()
        if xcom is None or ti is None:
            return False
        ids = task_xcoms.own_ids(ti)
        reason = await task_xcoms.write_in_turn(lambda: xcom.aset(key, value, **ids))
        if reason is not None:
            self.logger().warning("The XCom %s could not be set: %s", key, reason)
        return reason is None


class OpenAIRunStartTrigger(BaseTrigger):
    """
    Start a task in the triggerer: wait for its run from the beginning.

    Airflow renders the first four arguments here. A task whose run cannot be named here starts on a worker.

    :param conn_id: the OpenAI connection.
    :param run_id: the run's id.
    :param thread_id: the run's thread; None for a response.
    :param api: the API's name; None infers it.
    :param xcoms: the XComs of upstream tasks that stand for arguments, as ``{"run_id": {"task_id", "key"}}``.
    :param seconds: how long the task may take, by the argument of the task that says so.
    :param deferral_seconds: how long Airflow lets the task be deferred. The deadline counts from the start of
        the deferral, which Airflow has stored: it stays over restarts of the triggerer.
    :param arguments: those of :class:`OpenAIRunEndTrigger` that no template changes.
    """

    def __init__(
        self,
        *,
        conn_id: str,
        run_id: str | None = None,
        thread_id: str | None = None,
        api: str | None = None,
        xcoms: Mapping[str, Mapping[str, str]] | None = None,
        seconds: Mapping[str, float] | None = None,
        deferral_seconds: float = 0.0,
        arguments: Mapping[str, Any] | None = None,
        **stored: Any,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's own
        ignore_unknown(type(self).__qualname__, stored)
        self.conn_id = conn_id
        self.run_id = run_id
        self.thread_id = thread_id
        self.api = api
        self.xcoms = {name: dict(source) for name, source in (xcoms or {}).items()}
        self.seconds = dict(seconds or {})
        self.deferral_seconds = deferral_seconds
        self.arguments = dict(arguments or {})

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments as plain JSON."""
        names = (
            *("conn_id", "run_id", "thread_id", "api", "xcoms", "seconds", "deferral_seconds", "arguments"),
        )
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {name: getattr(self, name) for name in names},
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait for the run, if its ids are known here."""
        try:
            await self._read_xcoms()
            trigger = self._new_trigger()
        except (InvalidRunReferenceError, ValueError, TypeError, LookupError) as error:
            yield TriggerEvent({START_ON_WORKER: str(error)})
            return
        trigger.task_instance = self.task_instance
        async for event in trigger.run():
            yield event

    async def _read_xcoms(self) -> None:
        """Read the arguments that are outputs of upstream tasks."""
        ti: Any = self.task_instance
        xcom = await task_xcoms.async_xcom()
        if self.xcoms and (xcom is None or ti is None):
            raise LookupError("the outputs of upstream tasks cannot be read in this triggerer")
        for name, source in self.xcoms.items():
            ids = {"dag_id": ti.dag_id, "run_id": ti.run_id, "map_index": -1}
            value = await xcom.aget_one(key=source["key"], task_id=source["task_id"], **ids)
            setattr(self, name, value)

    def _new_trigger(self) -> OpenAIRunEndTrigger:
        thread_id, api = (None if value == "None" else value for value in (self.thread_id, self.api))
        run_id: Any = self.run_id
        ref = run_ref(run_id, api=api, thread_id=thread_id)
        limit = min(self.seconds, key=lambda name: self.seconds[name])
        started_at = self._started_at()
        return OpenAIRunEndTrigger(
            conn_id=self.conn_id,
            **ref.ids,
            started_at=started_at,
            deadline=started_at + self.seconds[limit],
            limit=limit,
            push_link=True,
            **self.arguments,
        )

    def _started_at(self) -> float:
        timeout_after = getattr(self, "timeout_after", None)
        if timeout_after is None:
            return time.time()
        return float(timeout_after.timestamp()) - self.deferral_seconds
