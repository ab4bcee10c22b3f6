"""The hook: asks the API about runs, over the official OpenAI connection and client."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.providers.openai.hooks.openai import OpenAIHook

from airflow_provider_openai_run.api import calls
from airflow_provider_openai_run.api.base import Request
from airflow_provider_openai_run.api.http import ApiResponse, parse_or_raise
from airflow_provider_openai_run.api.registry import api_for
from airflow_provider_openai_run.connection import check
from airflow_provider_openai_run.connection.client import aconnect, another, connect
from airflow_provider_openai_run.connection.run_url import run_link
from airflow_provider_openai_run.connection.transport import asend, send
from airflow_provider_openai_run.exceptions import RunRequestError
from airflow_provider_openai_run.polling.options import PollOptions
from airflow_provider_openai_run.polling.policy import Decision, RunPoller
from airflow_provider_openai_run.types.outcome import Outcome
from airflow_provider_openai_run.types.run import Json, Run, RunStep
from airflow_provider_openai_run.types.run_ref import RunRef
from airflow_provider_openai_run.types.status import check_accepted_statuses

if TYPE_CHECKING:
    from collections.abc import Collection

    from openai import AsyncOpenAI, OpenAI

    from airflow_provider_openai_run.connection.settings import ConnectionSettings

T = TypeVar("T")


class OpenAIRunHook(OpenAIHook):
    """
    Retrieves OpenAI runs, waits for them, makes them and ends them.

    It uses the official ``openai`` connection, its authentication and its client; for what it reads there
    beside, see :mod:`airflow_provider_openai_run.connection.settings`. A run is named by its
    ``thread_id`` and ``run_id`` (Assistants API) or by its ``run_id`` alone, which is then the id of a
    response (Responses API). Every method has an async twin whose name starts with ``a``; each call of a twin
    makes and closes a client of its own.

    :param conn_id: the OpenAI connection.
    """

    #: What the connection says, once a client has been made of it.
    settings: ConnectionSettings | None = None

    def get_conn(self) -> OpenAI:
        """Give a client; an ``InvalidConnectionError`` names the field that is wrong."""
        return connect(self)

    async def aget_conn(self) -> AsyncOpenAI:
        """Give an async client, which the caller closes; see :meth:`get_conn`."""
        return await aconnect(self)

    def test_connection(self) -> tuple[bool, str]:
        """Tell which APIs the connection's endpoint serves, and whether its credentials may use them."""
        return check.told(self)

    def run_link(self, ref: RunRef) -> str | None:
        """Give the page of a run; see :mod:`airflow_provider_openai_run.connection.run_url`."""
        base_url = str(self.conn.base_url)
        return run_link(ref, base_url, self.settings.run_link_template if self.settings else None)

    def get_run(
        self,
        thread_id: str | None = None,
        run_id: str = "",
        *,
        include_steps: bool = True,
        include_raw: bool = False,
    ) -> Run:
        """
        Retrieve a run with every documented attribute.

        https://platform.openai.com/docs/api-reference/runs/getRun,
        https://platform.openai.com/docs/api-reference/run-steps/listRunSteps and
        https://platform.openai.com/docs/api-reference/responses/get.

        :param thread_id: the thread of the run; None for a response.
        :param run_id: the run, or the response.
        :param include_steps: whether to read the steps too: all pages, oldest first.
        :param include_raw: whether to keep the API's JSON as ``Run.raw``.
        :raises InvalidRunReferenceError: for an id no request can be made of, before anything is sent.
        :raises RunRequestError: if the API refuses, or gives no valid answer.
        """
        ref = RunRef(run_id, thread_id)
        return self._do(calls.get_run(ref, include_steps=include_steps, include_raw=include_raw), ref)

    async def aget_run(
        self,
        thread_id: str | None = None,
        run_id: str = "",
        *,
        include_steps: bool = True,
        include_raw: bool = False,
    ) -> Run:
        """Retrieve a run; see :meth:`get_run`."""
        ref = RunRef(run_id, thread_id)
        return await self._ado(calls.get_run(ref, include_steps=include_steps, include_raw=include_raw), ref)

    def list_steps(self, thread_id: str | None = None, run_id: str = "") -> tuple[RunStep, ...]:
        """
        List the steps of a run, all pages, oldest first.

        https://platform.openai.com/docs/api-reference/run-steps/listRunSteps; of a response, its output
        items.

        :param thread_id: the thread of the run; None for a response.
        :param run_id: the run, or the response.
        :raises InvalidRunReferenceError: for an id no request can be made of, before anything is sent.
        :raises RunRequestError: if the API refuses, or gives no valid answer.
        """
        ref = RunRef(run_id, thread_id)
        return self._do(calls.list_steps(ref), ref)

    async def alist_steps(self, thread_id: str | None = None, run_id: str = "") -> tuple[RunStep, ...]:
        """List the steps of a run; see :meth:`list_steps`."""
        ref = RunRef(run_id, thread_id)
        return await self._ado(calls.list_steps(ref), ref)

    def create_run(self, thread_id: str | None, assistant_id: str, **params: Json) -> Run:
        """
        Create a run on a thread with an assistant; or a thread and a run at once.

        https://platform.openai.com/docs/api-reference/runs/createRun and
        https://platform.openai.com/docs/api-reference/runs/createThreadAndRun.

        :param thread_id: the thread; None makes a new one, of the parameter ``thread``.
        :param assistant_id: the assistant.
        :param params: any further parameter of the API, by its own name.
        :raises RunRequestError: if the API refuses, or gives no valid answer.
        """
        return self._do(calls.create_run(thread_id, {"assistant_id": assistant_id, **params}))

    async def acreate_run(self, thread_id: str | None, assistant_id: str, **params: Json) -> Run:
        """Create a run; see :meth:`create_run`."""
        return await self._ado(calls.create_run(thread_id, {"assistant_id": assistant_id, **params}))

    def create_response(self, **params: Json) -> Run:  # type: ignore[override]  # ours gives a Run of ours
        """
        Create a response, with ``background=True`` and ``store=True`` unless told otherwise.

        https://platform.openai.com/docs/api-reference/responses/create.

        :param params: the parameters of the API, by their own names, such as ``model`` and ``input``.
        :raises RunRequestError: if the API refuses, or gives no valid answer.
        """
        return self._do(calls.create_response(params))

    async def acreate_response(self, **params: Json) -> Run:
        """Create a response; see :meth:`create_response`."""
        return await self._ado(calls.create_response(params))

    def submit_tool_outputs(
        self, thread_id: str | None = None, run_id: str = "", *, tool_outputs: list[Json], **params: Json
    ) -> Run:
        """
        Hand a run the outputs of the tools it waits for.

        https://platform.openai.com/docs/api-reference/runs/submitToolOutputs. A response has ended when it
        asks; its outputs go into a new response that follows it.

        :param thread_id: the thread of the run; None for a response.
        :param run_id: the run, or the response.
        :param tool_outputs: ``[{"tool_call_id": …, "output": …}]``.
        :param params: for a response, the parameters of the new one, such as ``model`` and ``tools``.
        :return: the run; for a response the new one.
        :raises InvalidRunReferenceError: for an id no request can be made of, before anything is sent.
        :raises RunRequestError: if the API refuses, or gives no valid answer.
        """
        ref = RunRef(run_id, thread_id)
        return self._do(calls.submit_tool_outputs(ref, tool_outputs, params), ref)

    async def asubmit_tool_outputs(
        self, thread_id: str | None = None, run_id: str = "", *, tool_outputs: list[Json], **params: Json
    ) -> Run:
        """Hand a run its outputs; see :meth:`submit_tool_outputs`."""
        ref = RunRef(run_id, thread_id)
        return await self._ado(calls.submit_tool_outputs(ref, tool_outputs, params), ref)

    def cancel_run(self, thread_id: str | None = None, run_id: str = "") -> Run:
        """
        Ask for the end of a run.

        https://platform.openai.com/docs/api-reference/runs/cancelRun and
        https://platform.openai.com/docs/api-reference/responses/cancel.

        :param thread_id: the thread of the run; None for a response, which must be one in the background.
        :param run_id: the run, or the response.
        :return: the run, ``cancelling`` or ``cancelled``.
        :raises InvalidRunReferenceError: for an id no request can be made of, before anything is sent.
        :raises RunRequestError: if the API refuses, as some servers do for a run that has ended (400, 409).
        """
        ref = RunRef(run_id, thread_id)
        return self._do(calls.cancel_run(ref), ref)

    async def acancel_run(self, thread_id: str | None = None, run_id: str = "") -> Run:
        """Ask for the end of a run; see :meth:`cancel_run`."""
        ref = RunRef(run_id, thread_id)
        return await self._ado(calls.cancel_run(ref), ref)

    def wait_for_run(
        self,
        thread_id: str | None = None,
        run_id: str = "",
        *,
        timeout: float | None = None,
        accepted_statuses: Collection[str] = ("completed",),
        **options: Any,
    ) -> Run:
        """
        Wait until a run has ended, and retrieve it.

        :param thread_id: the thread of the run; None for a response.
        :param run_id: the run, or the response.
        :param timeout: seconds after which to give up; None waits as long as it takes. The run is not
            cancelled.
        :param accepted_statuses: the terminal statuses that count as success.
        :param options: ``poll_interval``, ``max_poll_interval`` (seconds), ``on_requires_action`` and
            ``max_consecutive_failures``, see :class:`~airflow_provider_openai_run.polling.options.PollOptions`.
        :raises RunEndedError: if it ended in a status that is not accepted.
        :raises RunWaitTimeoutError: if it did not end in time.
        :raises RunRequiresActionError: if it asks for something and ``on_requires_action`` is ``"fail"``.
        :raises RunRequestError: if the API refuses, or fails too often in a row.
        :raises InvalidRunReferenceError: for an id no request can be made of, before anything is sent.
        """
        accepted = check_accepted_statuses(accepted_statuses)
        wait = _new_wait(RunRef(run_id, thread_id), timeout, options)
        self.wait(wait).raise_unless(accepted)
        return self.get_run(thread_id, run_id)

    async def await_for_run(
        self,
        thread_id: str | None = None,
        run_id: str = "",
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - the wait's own, as in wait_for_run
        accepted_statuses: Collection[str] = ("completed",),
        **options: Any,
    ) -> Run:
        """Wait until a run has ended, and retrieve it; see :meth:`wait_for_run`."""
        accepted = check_accepted_statuses(accepted_statuses)
        wait = _new_wait(RunRef(run_id, thread_id), timeout, options)
        async with await self.aget_conn() as client:
            while not isinstance(decision := await self._apoll(wait, client), Outcome):  # noqa: ASYNC110
                await asyncio.sleep(max(0.0, decision.at - time.time()))
        decision.raise_unless(accepted)
        return await self.aget_run(thread_id, run_id)

    def wait(self, wait: RunPoller) -> Outcome:
        """Ask about the run of a wait until the wait is over."""
        while not isinstance(decision := self.poll(wait), Outcome):
            time.sleep(max(0.0, decision.at - time.time()))
        return decision

    def poll(self, wait: RunPoller) -> Decision:
        """
        Ask once about the run of a wait, log what is worth it, and give what to do next.

        :param wait: the wait; it is told what the API said.
        :raises InvalidConnectionError: for a connection that is wrong, at the first look.
        """
        request = api_for(wait.ref.thread_id).retrieve(wait.ref)
        client = self.conn
        try:
            came: ApiResponse | RunRequestError = send(client, request, wait.ref, once=True)
        except RunRequestError as error:
            came = error
        return self._decide(wait, came, client)

    async def _apoll(self, wait: RunPoller, client: AsyncOpenAI) -> Decision:
        request = api_for(wait.ref.thread_id).retrieve(wait.ref)
        try:
            came: ApiResponse | RunRequestError = await asend(client, request, wait.ref, once=True)
        except RunRequestError as error:
            came = error
        return self._decide(wait, came, client)

    def _decide(
        self, wait: RunPoller, came: ApiResponse | RunRequestError, client: OpenAI | AsyncOpenAI
    ) -> Decision:
        if isinstance(came, RunRequestError):
            decision = wait.failed(came, time.time())
        else:
            decision = wait.answered(came, time.time(), base_url=str(client.base_url))
        for note in decision.notes:
            self.log.log(note.level, note.text)
        return decision

    def do(self, operation: calls.ApiCall[T], ref: RunRef | None = None, *, once: bool = False) -> T:
        """
        Do an operation of :mod:`airflow_provider_openai_run.api.calls`.

        :param operation: the operation.
        :param ref: the run it is about, for the errors.
        :param once: whether to send nothing twice: a request that makes a run may have made it though its
            answer was lost.
        :raises RunRequestError: if the API refuses, or gives no valid answer.
        """
        return self._do(operation, ref, self.conn.with_options(max_retries=0) if once else None)

    def cancel_run_from_signal_handler(self, ref: RunRef, *, seconds: float) -> None:
        """
        Ask for the end of a run from a signal handler, over a client that no interrupted call has locked.

        :param ref: the run.
        :param seconds: how long that may take.
        :raises RunRequestError: if the API refuses, or gives no answer in time.
        """
        with another(self.conn, self.settings, seconds=seconds) as client:
            self._do(calls.cancel_run(ref), ref, client)

    def _do(self, operation: calls.ApiCall[T], ref: RunRef | None = None, client: OpenAI | None = None) -> T:
        client = client or self.conn
        try:
            request = next(operation)
            while True:
                answer = send(client, request, ref)
                request = operation.send(_object_of(answer, request, ref, client))
        except StopIteration as done:
            result: T = done.value
            return result

    async def _ado(self, operation: calls.ApiCall[T], ref: RunRef | None = None) -> T:
        async with await self.aget_conn() as client:
            try:
                request = next(operation)
                while True:
                    answer = await asend(client, request, ref)
                    request = operation.send(_object_of(answer, request, ref, client))
            except StopIteration as done:
                result: T = done.value
                return result


def _new_wait(ref: RunRef, timeout: float | None, options: dict[str, Any]) -> RunPoller:
    now = time.time()
    deadline = None if timeout is None else now + timeout
    return RunPoller(ref, PollOptions(started_at=now, deadline=deadline, **options))


def _object_of(
    answer: ApiResponse, request: Request, ref: RunRef | None, client: OpenAI | AsyncOpenAI
) -> dict[str, Json]:
    return parse_or_raise(answer, ref, key=request.answer_key, now=time.time(), base_url=str(client.base_url))
