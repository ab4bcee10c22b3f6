"""Example runs and responses in every status, under fixed IDs."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from airflow_provider_openai_run.sandbox.assistants import create_run, get_run
from airflow_provider_openai_run.sandbox.responses import create_response, get_response
from airflow_provider_openai_run.sandbox.store import Store
from airflow_provider_openai_run.sandbox.threads import create_thread

#: Scripts of the examples of both APIs. A response never expires: ``resp_expired`` has failed.
STATUSES = ("completed", "failed", "requires_action", "in_progress", "incomplete", "cancelled", "expired")
#: Scripts of which there is an example of the Responses API only.
FEATURES = ("reasoning", "web_search", "mcp", "image_generation", "citations", "refusal")
_PROMPT = "What is the answer?"
_LIFETIME_SECONDS = 30 * 86_400.0


@dataclass(frozen=True, kw_only=True)
class Example:
    """
    An example run or response.

    :param script: name of its script.
    :param status: its status.
    :param run_id: ID of the run or response.
    :param thread_id: ID of the run's thread; None for a response.
    """

    script: str
    status: str
    run_id: str
    thread_id: str | None = None


def seed_examples(store: Store) -> list[Example]:
    """
    Create one run and one response for each status, and one response for each kind of output.

    The time of their scripts is over; those without an end stay active for 30 days.

    :param store: the sandbox's data.
    """
    runs = [_run(store, name) for name in STATUSES]
    return runs + [_response(store, name) for name in (*STATUSES, *FEATURES)]


def _run(store: Store, name: str) -> Example:
    thread_id, run_id = f"thread_{name}", f"run_{name}"
    script = store.scripts[name]
    if name in {"requires_action", "in_progress"}:
        script = dataclasses.replace(script, expires_after=_LIFETIME_SECONDS)
    with store.set_back(script.seconds):
        messages = [{"role": "user", "content": _PROMPT}]
        create_thread(store, {"messages": messages}, thread_id=thread_id)
        create_run(store, thread_id, {"assistant_id": "asst_example"}, script=script, run_id=run_id)
    status = get_run(store, thread_id, run_id)["status"]
    return Example(script=name, status=status, run_id=run_id, thread_id=thread_id)


def _response(store: Store, name: str) -> Example:
    response_id = f"resp_{name}"
    script = store.scripts[name]
    body = {"model": "gpt-4o-mini", "background": True, "input": _PROMPT}
    with store.set_back(script.seconds):
        create_response(store, body, script=script, response_id=response_id)
    status = get_response(store, response_id)["status"]
    return Example(script=name, status=status, run_id=response_id)
