"""The wire, without I/O: what to ask each API for, and what its answers mean.

One module per API, each with a class of the shape of :class:`RunApi`. Adding an API is adding a module and a
line in :func:`api_for`.
"""

from __future__ import annotations

from airflow_provider_openai_run.api.assistants import AssistantsApi
from airflow_provider_openai_run.api.base import Request, RunApi
from airflow_provider_openai_run.api.responses import ResponsesApi

__all__ = ["Request", "RunApi", "api_for"]

_ASSISTANTS = AssistantsApi()
_RESPONSES = ResponsesApi()


def api_for(thread_id: str | None) -> RunApi:
    """
    Give the API that a run belongs to.

    :param thread_id: a thread means the Assistants API, None the Responses API; ids themselves say nothing.
    """
    return _RESPONSES if thread_id is None else _ASSISTANTS
