"""Hook that retrieves OpenAI runs, waits for them, creates them and cancels them."""

from __future__ import annotations

import asyncio
import functools
import time
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.providers.common.compat.connection import get_async_connection, get_async_extra_dejson
from airflow.providers.openai.hooks.openai import OpenAIHook

from airflow_provider_openai_run.api import calls
from airflow_provider_openai_run.api.calls import ApiCall, execute_call, execute_call_async
from airflow_provider_openai_run.api.http import parse_or_raise
from airflow_provider_openai_run.api.registry import run_ref
from airflow_provider_openai_run.connection.check import check_connection
from airflow_provider_openai_run.connection.client import (
    build_async_client,
    build_client,
    dedicated_client,
)
from airflow_provider_openai_run.connection.lookup import find_connection_async
from airflow_provider_openai_run.connection.run_url import run_url
from airflow_provider_openai_run.connection.settings import read_settings
from airflow_provider_openai_run.connection.transport import asend, send
from airflow_provider_openai_run.exceptions import RunRequestError
from airflow_provider_openai_run.hooks._batches import BatchMethods
from airflow_provider_openai_run.hooks._run_poll import find_settings, report
from airflow_provider_openai_run.polling.options import (
    PollOptions,
    check_unowned_policy,
    included_names,
    to_seconds,
)
from airflow_provider_openai_run.polling.policy import Decision, RunPoller
from airflow_provider_openai_run.types.outcome import Outcome
from airflow_provider_openai_run.types.status import check_accepted_statuses
from airflow_provider_openai_run.types.storable import unstorable_paths

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from openai import AsyncOpenAI, OpenAI

    from airflow_provider_openai_run.api.base import Request
    from airflow_provider_openai_run.connection.client import WorkloadIdentity
    from airflow_provider_openai_run.connection.settings import ConnectionSettings
    from airflow_provider_openai_run.types.json import Json
    from airflow_provider_openai_run.types.run import Run, RunStep
    from airflow_provider_openai_run.types.run_ref import RunRef

T = TypeVar("T")

#: How many values that cannot be stored are named in the log, or a few more.
_MAX_UNSTORABLE_PATHS = 20
_UNSTORABLE = (
    "The API sent values that cannot be stored: %s. Such characters are replaced by U+FFFD, integers beyond "
    "64 bits by text, or by None in times; the details of steps have all of them escaped"
)


class OpenAIRunHook(BatchMethods, OpenAIHook):  # type: ignore[misc]  # create_batch returns a Run
    """
    Retrieve OpenAI runs, wait for them, create them and cancel them; upload and download files of batches.

    It uses the official ``openai`` connection, its authentication and its client;
    :mod:`airflow_provider_openai_run.connection.settings` lists the extras it reads in addition. A ``run_id``
    alone is the id of a response (Responses API); ``run_id`` and ``thread_id`` name a run of a thread
    (Assistants API); ``api`` names any other, such as ``"batches"``, see
    :data:`airflow_provider_openai_run.api.registry.APIS`. An invalid id raises ``InvalidRunReferenceError``
    before anything is sent.

    Every method that sends requests has an async version whose name starts with ``a``; each call of it opens
    and closes a client of its own. The SDK retries requests up to the connection's ``max_retries`` times, but
    sends a request that creates a run only once: a lost response may belong to a run that exists.

    :param conn_id: the OpenAI connection.
    """

    @cached_property
    def _unstorable_paths(self) -> set[str]:
        return set()

    @cached_property
    def settings(self) -> ConnectionSettings:
        """
        The checked settings of the connection.

        :raises InvalidConnectionError: one sentence that names the field that is wrong.
        :raises ConnectionLookupError: if Airflow cannot look it up for two minutes.
        """
        return find_settings(self)[0]

    def get_conn(self) -> OpenAI:
        """
        Return a client; the hook's ``conn`` keeps one.

        :raises InvalidConnectionError: one sentence that names the field that is wrong.
        :raises ConnectionLookupError: if Airflow cannot look it up for two minutes.
        """

        def build_workload_identity() -> WorkloadIdentity:
            # The connection is not kept, since its repr has the key.
            return self._build_workload_identity(find_settings(self)[1])

        return build_client(self.settings, self.conn_id, build_workload_identity)

    async def aget_conn(self) -> AsyncOpenAI:
        """
        Return an async client, which the caller must close; see :meth:`get_conn`.

        :raises InvalidConnectionError: one sentence that names the field that is wrong.
        :raises ConnectionLookupError: if Airflow does not find the connection, which it looks up only once.
        """
        connection = await find_connection_async(
            self.conn_id, lambda name: get_async_connection(name, hook=self)
        )
        self.settings = settings = read_settings(connection, self.conn_id)
        extra = await get_async_extra_dejson(connection)
        return await build_async_client(settings, self.conn_id, lambda: self._build_workload_identity(extra))

    def test_connection(self) -> tuple[bool, str]:
        """
        Report which APIs the connection's endpoint serves, and whether it accepts the credentials.

        :return: whether any API can be used, and sentences for a person, without secrets.
        """
        return check_connection(self.conn_id, lambda: (self.conn, self.settings))

    @property
    def secrets(self) -> tuple[str, ...]:
        """The credentials of the connection, to mask in messages: see ``types.redaction.redact``."""
        # A token, or a key of the environment, is known to the client only.
        return (self.conn.api_key, *self.settings.secrets)

    def run_url(self, ref: RunRef) -> str | None:
        """
        Return the URL of a run's page in the vendor's console; None without one.

        :param ref: the run.
        """
        return run_url(ref, str(self.conn.base_url), self.settings.run_link_template)

    def get_run(
        self,
        run_id: str,
        *,
        thread_id: str | None = None,
        api: str | None = None,
        include_steps: bool = True,
        include_raw: bool = False,
        include: Sequence[str] = (),
    ) -> Run:
        """
        Retrieve a run with every documented attribute.

        https://platform.openai.com/docs/api-reference/runs/getRun,
        https://platform.openai.com/docs/api-reference/run-steps/listRunSteps and
        https://platform.openai.com/docs/api-reference/responses/get.

        :param run_id: the run, or the response.
        :param thread_id: the thread of the run; None for a response.
        :param api: the API's name, where ``thread_id`` does not decide it.
        :param include_steps: whether to read all its steps, oldest first; else ``Run.steps`` is None.
        :param include_raw: whether to keep the API's JSON as ``Run.raw``.
        :param include: names of further output to retrieve with the steps, in the API's words, such as
            ``code_interpreter_call.outputs``.
        :raises ValueError: if ``include`` is not a list.
        :raises RunRequestError: if the API refuses, or sends no valid response.
        """
        ref = run_ref(run_id, thread_id=thread_id, api=api)
        call = calls.get_run(
            ref, include_steps=include_steps, include_raw=include_raw, include=included_names(include)
        )
        return self.execute_call(call, ref)

    async def aget_run(
        self,
        run_id: str,
        *,
        thread_id: str | None = None,
        api: str | None = None,
        include_steps: bool = True,
        include_raw: bool = False,
        include: Sequence[str] = (),
    ) -> Run:
        """Retrieve a run; see :meth:`get_run`."""
        ref = run_ref(run_id, thread_id=thread_id, api=api)
        call = calls.get_run(
            ref, include_steps=include_steps, include_raw=include_raw, include=included_names(include)
        )
        return await self.execute_call_async(call, ref)

    def list_steps(
        self,
        run_id: str,
        *,
        thread_id: str | None = None,
        api: str | None = None,
        include: Sequence[str] = (),
    ) -> tuple[RunStep, ...]:
        """
        List all steps of a run, oldest first; of a response, its output items.

        https://platform.openai.com/docs/api-reference/run-steps/listRunSteps.

        :param run_id: the run, or the response.
        :param thread_id: the thread of the run; None for a response.
        :param api: the API's name, as for :meth:`get_run`.
        :param include: names of further output, as for :meth:`get_run`.
        :raises RunRequestError: if the API refuses, or sends no valid response.
        """
        ref = run_ref(run_id, thread_id=thread_id, api=api)
        return self.execute_call(calls.list_steps(ref, include=included_names(include)), ref)

    async def alist_steps(
        self,
        run_id: str,
        *,
        thread_id: str | None = None,
        api: str | None = None,
        include: Sequence[str] = (),
    ) -> tuple[RunStep, ...]:
        """List the steps of a run; see :meth:`list_steps`."""
        ref = run_ref(run_id, thread_id=thread_id, api=api)
        return await self.execute_call_async(calls.list_steps(ref, include=included_names(include)), ref)

    def create_run(self, *, assistant_id: str, thread_id: str | None = None, **params: Any) -> Run:
        """
        Create a run on a thread, or a thread and a run at once.

        https://platform.openai.com/docs/api-reference/runs/createRun and
        https://platform.openai.com/docs/api-reference/runs/createThreadAndRun.

        :param assistant_id: the assistant.
        :param thread_id: the thread; None creates one from the parameter ``thread``.
        :param params: any further parameter of the API, by its own name.
        :raises RunRequestError: if the API refuses, or sends no valid response.
        """
        call = calls.create_run(thread_id, {"assistant_id": assistant_id, **params})
        return self.execute_call(call, retry=False)

    async def acreate_run(self, *, assistant_id: str, thread_id: str | None = None, **params: Any) -> Run:
        """Create a run; see :meth:`create_run`."""
        call = calls.create_run(thread_id, {"assistant_id": assistant_id, **params})
        return await self.execute_call_async(call, retry=False)

    def create_response(self, **params: Any) -> Run:  # type: ignore[override]  # ours returns a Run
        """
        Create a response; ``background`` and ``store`` are True by default.

        https://platform.openai.com/docs/api-reference/responses/create.

        :param params: the parameters of the API, by their own names, such as ``model`` and ``input``.
        :raises RunRequestError: if the API refuses, or sends no valid response.
        """
        return self.execute_call(calls.create_response(params), retry=False)

    async def acreate_response(self, **params: Any) -> Run:
        """Create a response; see :meth:`create_response`."""
        return await self.execute_call_async(calls.create_response(params), retry=False)

    def submit_tool_outputs(
        self,
        run_id: str,
        *,
        tool_outputs: list[dict[str, Any]],
        thread_id: str | None = None,
        api: str | None = None,
        **params: Any,
    ) -> Run:
        """
        Submit the tool outputs that a run waits for.

        https://platform.openai.com/docs/api-reference/runs/submitToolOutputs. A response that calls tools has
        completed; their outputs go into a new response that follows it.

        :param run_id: the run, or the response.
        :param tool_outputs: ``[{"tool_call_id": …, "output": …}]``.
        :param thread_id: the thread of the run; None for a response.
        :param api: the API's name, as for :meth:`get_run`.
        :param params: for a response, the parameters of the new one, such as ``model`` and ``tools``.
        :return: the run; for a response the new one.
        :raises RunRequestError: if the API refuses, or sends no valid response.
        """
        ref = run_ref(run_id, thread_id=thread_id, api=api)
        call = calls.submit_tool_outputs(ref, tool_outputs, params)
        return self.execute_call(call, ref, retry=False)

    async def asubmit_tool_outputs(
        self,
        run_id: str,
        *,
        tool_outputs: list[dict[str, Any]],
        thread_id: str | None = None,
        api: str | None = None,
        **params: Any,
    ) -> Run:
        """Submit tool outputs; see :meth:`submit_tool_outputs`."""
        ref = run_ref(run_id, thread_id=thread_id, api=api)
        call = calls.submit_tool_outputs(ref, tool_outputs, params)
        return await self.execute_call_async(call, ref, retry=False)

    def cancel_run(self, run_id: str, *, thread_id: str | None = None, api: str | None = None) -> Run:
        """
        Cancel a run.

        https://platform.openai.com/docs/api-reference/runs/cancelRun and
        https://platform.openai.com/docs/api-reference/responses/cancel.

        :param run_id: the run, or the response, which must be one in the background.
        :param thread_id: the thread of the run; None for a response.
        :param api: the API's name, as for :meth:`get_run`.
        :return: the run, ``cancelling`` or ``cancelled``.
        :raises RunRequestError: if the API refuses; some servers do for a run that has ended.
        """
        ref = run_ref(run_id, thread_id=thread_id, api=api)
        return self.execute_call(calls.cancel_run(ref), ref)

    async def acancel_run(self, run_id: str, *, thread_id: str | None = None, api: str | None = None) -> Run:
        """Cancel a run; see :meth:`cancel_run`."""
        ref = run_ref(run_id, thread_id=thread_id, api=api)
        return await self.execute_call_async(calls.cancel_run(ref), ref)

    def wait_for_run(
        self,
        run_id: str,
        *,
        thread_id: str | None = None,
        api: str | None = None,
        timeout: timedelta | float | None = None,
        accepted_statuses: Collection[str] = ("completed",),
        **options: Any,
    ) -> Run:
        """
        Wait until a run has ended, and retrieve it.

        :param run_id: the run, or the response.
        :param thread_id: the thread of the run; None for a response.
        :param api: the API's name, as for :meth:`get_run`.
        :param timeout: how long to wait, in seconds or as a timedelta; None sets no limit. A timeout does not
            cancel the run.
        :param accepted_statuses: the terminal statuses that count as success.
        :param options: ``poll_interval``, ``max_poll_interval``, ``on_requires_action``,
            ``max_consecutive_failures``, ``stalled_after`` and ``on_stalled``; see
            :class:`~airflow_provider_openai_run.polling.options.PollOptions`.
        :raises RunEndedError: if it ended in a status that is not accepted.
        :raises RunWaitTimeoutError: if it did not end in time; as a ``RunStalledError``, if it did not change
            for ``stalled_after`` and ``on_stalled`` is ``"fail"``.
        :raises RunRequiresActionError: if it requires action and ``on_requires_action`` is ``"fail"``.
        :raises RunRequestError: if the API refuses, or fails too often in a row.
        """
        accepted = check_accepted_statuses(accepted_statuses)
        poller = _new_poller(run_ref(run_id, thread_id=thread_id, api=api), timeout, options)
        self.poll_until_done(poller).raise_unless_accepted(accepted)
        return self.execute_call(calls.get_run(poller.ref), poller.ref)

    async def await_for_run(
        self,
        run_id: str,
        *,
        thread_id: str | None = None,
        api: str | None = None,
        timeout: timedelta | float | None = None,  # noqa: ASYNC109 - the wait's own, as in wait_for_run
        accepted_statuses: Collection[str] = ("completed",),
        **options: Any,
    ) -> Run:
        """Wait until a run has ended, and retrieve it; see :meth:`wait_for_run`."""
        accepted = check_accepted_statuses(accepted_statuses)
        poller = _new_poller(run_ref(run_id, thread_id=thread_id, api=api), timeout, options)
        async with await self.aget_conn() as client:
            while not isinstance(decision := await self._apoll_once(poller, client), Outcome):  # noqa: ASYNC110
                await asyncio.sleep(max(0.0, decision.at - time.time()))
        decision.raise_unless_accepted(accepted)
        return await self.execute_call_async(calls.get_run(poller.ref), poller.ref)

    def poll_until_done(self, poller: RunPoller) -> Outcome:
        """Poll a run until its wait is over, sleeping in between; see :meth:`poll_once`."""
        while not isinstance(decision := self.poll_once(poller), Outcome):
            time.sleep(max(0.0, decision.at - time.time()))
        return decision

    def poll_once(self, poller: RunPoller) -> Decision:
        """
        Poll a run once, log the poller's messages, and return its decision.

        :param poller: the wait for the run.
        :return: the outcome, or when to poll again.
        :raises InvalidConnectionError: at the first poll, if the connection is wrong.
        """
        client = self.conn
        try:
            response = send(client, poller.request, poller.ref, retry=False, quiet=True)
        except RunRequestError as error:
            return report(poller.on_error(error, time.time()), poller, self.log)
        base_url = str(client.base_url)
        return report(poller.on_response(response, time.time(), base_url=base_url), poller, self.log)

    async def _apoll_once(self, poller: RunPoller, client: AsyncOpenAI) -> Decision:
        try:
            response = await asend(client, poller.request, poller.ref, retry=False, quiet=True)
        except RunRequestError as error:
            return report(poller.on_error(error, time.time()), poller, self.log)
        base_url = str(client.base_url)
        return report(poller.on_response(response, time.time(), base_url=base_url), poller, self.log)

    def execute_call(self, call: ApiCall[T], ref: RunRef | None = None, *, retry: bool = True) -> T:
        """
        Carry out a call of :mod:`airflow_provider_openai_run.api.calls`.

        :param call: the call.
        :param ref: the run it is about, for the errors; None before the run has an id.
        :param retry: whether the SDK may send a request again.
        :raises RunRequestError: if the API refuses, or sends no valid response.
        """
        return execute_call(call, functools.partial(self._send, self.conn, ref, retry=retry))

    def _send(self, client: OpenAI, ref: RunRef | None, request: Request, *, retry: bool) -> dict[str, Json]:
        response = send(client, request, ref, retry=retry)
        body = parse_or_raise(response, request, ref, now=time.time(), base_url=str(client.base_url))
        self._warn_about_unstorable(body)
        return body

    def _warn_about_unstorable(self, body: dict[str, Json]) -> None:
        """Log once which values of a response could not be stored as they are."""
        paths = [path for path in unstorable_paths(body) if path not in self._unstorable_paths]
        if paths and len(self._unstorable_paths) < _MAX_UNSTORABLE_PATHS:
            self._unstorable_paths.update(paths)
            self.log.warning(_UNSTORABLE, ", ".join(paths))

    async def execute_call_async(
        self, call: ApiCall[T], ref: RunRef | None = None, *, retry: bool = True
    ) -> T:
        """Carry out a call with a client of its own; see :meth:`execute_call`."""
        async with await self.aget_conn() as client:
            return await execute_call_async(call, functools.partial(_asend, client, ref, retry=retry))

    def cancel_run_from_signal_handler(self, ref: RunRef, *, timeout: float) -> Run:
        """
        Cancel a run from a signal handler, over a connection pool that no interrupted call has locked.

        :param ref: the run.
        :param timeout: how long it may take, in seconds.
        :return: the run, which is being cancelled or has ended.
        :raises RunRequestError: if the API refuses, or sends no response in time.
        """
        deadline = time.monotonic() + timeout
        with dedicated_client(self.conn, self.settings.proxy, timeout=timeout) as client:

            def send_in_time(request: Request) -> dict[str, Json]:
                seconds_left = max(0.1, deadline - time.monotonic())
                return self._send(client.with_options(timeout=seconds_left), ref, request, retry=False)

            return execute_call(calls.cancel_unless_ended(ref), send_in_time)


def _new_poller(ref: RunRef, timeout: timedelta | float | None, options: dict[str, Any]) -> RunPoller:
    check_unowned_policy(options.get("on_requires_action", "wait"))
    now, seconds = time.time(), to_seconds("timeout", timeout)
    deadline = None if seconds is None else now + seconds
    return RunPoller(ref, PollOptions(started_at=now, deadline=deadline, **options))


async def _asend(
    client: AsyncOpenAI, ref: RunRef | None, request: Request, *, retry: bool
) -> dict[str, Json]:
    response = await asend(client, request, ref, retry=retry)
    return parse_or_raise(response, request, ref, now=time.time(), base_url=str(client.base_url))
