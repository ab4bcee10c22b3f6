"""The hook that polls a run on a worker, without importing the OpenAI SDK where the connection allows it."""

from __future__ import annotations

import time
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_openai_run.connection.direct_client import DirectClient, is_direct
from airflow_provider_openai_run.connection.lookup import find_connection
from airflow_provider_openai_run.connection.run_url import run_url
from airflow_provider_openai_run.connection.settings import read_settings
from airflow_provider_openai_run.exceptions import RunRequestError

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_openai_run.connection.settings import ConnectionSettings
    from airflow_provider_openai_run.polling.policy import Decision, RunPoller
    from airflow_provider_openai_run.types.run_ref import RunRef


class SdkHook(Protocol):
    """The methods of :class:`.OpenAIRunHook` that take the place of those below."""

    def run_url(self, ref: RunRef) -> str | None:
        """Return the URL of a run's page."""

    def poll_once(self, poller: RunPoller) -> Decision:
        """Poll a run once."""


class RunPollHook(BaseHook):
    """
    Poll runs, and link to them; :class:`.OpenAIRunHook` does everything else.

    :param conn_id: the OpenAI connection.
    :param get_sdk_hook: returns the hook that sends with the SDK, for connections that need it. The import
        of the SDK takes half a second.
    """

    def __init__(self, conn_id: str, get_sdk_hook: Callable[[], SdkHook]) -> None:
        super().__init__()
        self.conn_id = conn_id
        self._get_sdk_hook = get_sdk_hook

    @cached_property
    def settings(self) -> ConnectionSettings:
        """
        The checked settings of the connection.

        :raises InvalidConnectionError: one sentence that names the field that is wrong.
        :raises ConnectionLookupError: if Airflow cannot look it up for two minutes.
        """
        return find_settings(self)[0]

    def run_url(self, ref: RunRef) -> str | None:
        """
        Return the URL of a run's page in the vendor's console; None without one.

        :param ref: the run.
        :raises InvalidConnectionError: if the connection is invalid.
        """
        client = self._direct_client
        if client is None:
            return self._get_sdk_hook().run_url(ref)
        return run_url(ref, client.base_url, self.settings.run_link_template)

    def poll_once(self, poller: RunPoller) -> Decision:
        """
        Poll a run once, log the poller's messages, and return its decision.

        :param poller: the wait for the run.
        :return: the outcome, or when to poll again.
        :raises InvalidConnectionError: at the first poll, if the connection is wrong.
        """
        client = self._direct_client
        if client is None:
            return self._get_sdk_hook().poll_once(poller)
        try:
            response = client.get(poller.request, poller.ref)
        except RunRequestError as error:
            decision = poller.on_error(error, time.time())
        else:
            decision = poller.on_response(response, time.time(), base_url=client.base_url)
        return report(decision, poller, self.log)

    @cached_property
    def _direct_client(self) -> DirectClient | None:
        """None if only the SDK can send over the connection."""
        settings = self.settings
        return DirectClient(settings, self.conn_id) if is_direct(settings) else None


def find_settings(hook: Any) -> tuple[ConnectionSettings, dict[str, Any]]:
    """
    Look up the connection of a hook, and return its settings and its extra, with its secrets masked in logs.

    :param hook: has a ``conn_id`` and Airflow's ``get_connection``.
    :raises InvalidConnectionError: one sentence that names the field that is wrong.
    :raises ConnectionLookupError: if Airflow cannot look it up for two minutes.
    """
    connection: Any = find_connection(hook.conn_id, hook.get_connection)
    settings = read_settings(connection, hook.conn_id)
    # Reading the extra makes Airflow mask its secrets.
    return settings, connection.extra_dejson


def report(decision: Decision, poller: RunPoller, log: Any) -> Decision:
    """
    Write what a poll has brought to the log, count a run that has stalled, and return the decision.

    :param decision: the decision after the poll.
    :param poller: the wait for the run.
    :param log: the log of the hook.
    """
    for message in decision.log_messages:
        log.log(message.level, message.text)
    if decision.has_stalled:
        from airflow_provider_openai_run.metrics import count_stalled

        count_stalled(poller.ref)
    return decision
