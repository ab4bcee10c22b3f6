"""What it takes to do one thing with a run: which requests, in which order.

Each operation is a generator that yields :class:`~airflow_provider_openai_run.api.Request`, is sent the JSON
object of the answer (or has the error thrown in), and returns its result. So the sync and the async hook
share everything but the await.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Callable, Generator
from typing import TypeAlias, TypeVar

from airflow_provider_openai_run.api.assistants import AssistantsApi, required_action_of
from airflow_provider_openai_run.api.base import Request
from airflow_provider_openai_run.api.parsing import list_or_none, moment
from airflow_provider_openai_run.api.registry import api_for
from airflow_provider_openai_run.types.run import Json, Run, RunStep
from airflow_provider_openai_run.types.run_ref import RunRef
from airflow_provider_openai_run.types.status import RunState

log = logging.getLogger(__name__)

T = TypeVar("T")
ApiCall: TypeAlias = Generator[Request, dict[str, Json], T]

#: Where the reading of steps ends at the latest, in pages of a hundred.
MOST_PAGES = 1000

#: The run that a task has made is among the latest of its thread.
_MOST_PAGES_OF_RUNS = 5


def get_run(ref: RunRef, *, include_steps: bool = True, include_raw: bool = False) -> ApiCall[Run]:
    """
    Retrieve a run.

    :param ref: the run.
    :param include_steps: whether to read its steps, all of them; without, ``Run.steps`` is None.
    :param include_raw: whether to keep the API's JSON as ``Run.raw``.
    """
    api = api_for(ref.thread_id)
    body = yield api.retrieve(ref)
    run = api.read_run(body)
    if run.thread_id is None:
        run = dataclasses.replace(run, thread_id=ref.thread_id)
    if not include_steps:
        run = dataclasses.replace(run, steps=None)
    elif run.steps is None:
        run = yield from _with_steps(run, ref)
    return dataclasses.replace(run, raw=body) if include_raw else run


def _with_steps(run: Run, ref: RunRef) -> ApiCall[Run]:
    api = api_for(ref.thread_id)
    raw_steps = yield from list_raw_steps(ref)
    run = dataclasses.replace(run, steps=tuple(api.read_step(step) for step in raw_steps))
    if run.state is RunState.NEEDS_ACTION and run.required_action is None:
        run = dataclasses.replace(run, required_action=required_action_of(raw_steps))
    return run


def list_steps(ref: RunRef) -> ApiCall[tuple[RunStep, ...]]:
    """
    Read the steps of a run, all of them, oldest first.

    :param ref: the run.
    """
    api = api_for(ref.thread_id)
    if api.list_steps(ref, None) is None:
        run = yield from get_run(ref)
        return run.steps or ()
    raw_steps = yield from list_raw_steps(ref)
    return tuple(api.read_step(step) for step in raw_steps)


def list_raw_steps(ref: RunRef) -> ApiCall[list[dict[str, Json]]]:
    """
    Read the steps of a run as the API sends them, all pages, oldest first, each step once.

    The reading ends, with a warning, at a cursor that does not move and at a page that brings nothing new
    though it says there is more, so that no server can keep it going for ever.

    :param ref: the run.
    """
    if api_for(ref.thread_id).list_steps(ref, None) is None:
        return []
    ask = functools.partial(_steps_page, ref)
    return _oldest_first((yield from _list_raw(f"steps of {ref}", ask)))


def _steps_page(ref: RunRef, after: str | None) -> Request:
    request = api_for(ref.thread_id).list_steps(ref, after)
    if request is None:
        msg = "this API has no list of steps"
        raise TypeError(msg)
    return request


def _list_raw(
    what: str, ask: Callable[[str | None], Request], most_pages: int = MOST_PAGES
) -> ApiCall[list[dict[str, Json]]]:
    """
    Read a list, all pages, each of its items once.

    :param what: what is in it, for the warnings.
    :param ask: gives the request for the page after an id.
    :param most_pages: where to stop.
    """
    items: dict[str, dict[str, Json]] = {}
    after: str | None = None
    for _page in range(most_pages):
        body = yield ask(after)
        data = [item for item in list_or_none(body.get("data")) or () if isinstance(item, dict)]
        known = len(items)
        for item in data:
            items.setdefault(str(item.get("id") or f"item without id {len(items)}"), item)
        last = body.get("last_id") or (data[-1].get("id") if data else None)
        if not body.get("has_more") or not data:
            break
        if last is None or last == after or len(items) == known:
            log.warning("The list of %s says it has more after %s but does not move on", what, last)
            break
        after = str(last)
    else:
        log.warning("Stopped reading the %s after %d pages", what, most_pages)
    return list(items.values())


def _oldest_first(steps: list[dict[str, Json]]) -> list[dict[str, Json]]:
    """Turn the list round where a server ignored ``order=asc``."""
    times = [time for step in steps if (time := moment(step.get("created_at"))) is not None]
    return steps[::-1] if times and times[0] > times[-1] else steps


def create_run(
    thread_id: str | None, params: dict[str, Json], idempotency_key: str | None = None
) -> ApiCall[Run]:
    """
    Create a run on a thread, or a thread and a run at once.

    :param thread_id: the thread; None makes a new one of ``params["thread"]``.
    :param params: the parameters of https://platform.openai.com/docs/api-reference/runs/createRun.
    :param idempotency_key: sent as ``Idempotency-Key``: a server that heeds it makes no second run for it.
    """
    api = AssistantsApi()
    body = yield _with_key(api.create(thread_id, params), idempotency_key)
    return api.read_run(body)


def create_thread(params: dict[str, Json]) -> ApiCall[str]:
    """
    Create a thread, and give its id.

    :param params: the parameters of https://platform.openai.com/docs/api-reference/threads/createThread.
    """
    body = yield AssistantsApi().create_thread(params)
    return str(body["id"])


def list_runs(thread_id: str) -> ApiCall[list[Run]]:
    """
    List the latest runs of a thread, newest first, without their steps.

    :param thread_id: the thread.
    """
    api = AssistantsApi()
    ask = functools.partial(api.list_runs, thread_id)
    raw = yield from _list_raw(f"runs of {thread_id}", ask, _MOST_PAGES_OF_RUNS)
    runs = [api.read_run(run) for run in raw if run.get("id")]
    return sorted(runs, key=lambda run: run.created_at or 0, reverse=True)


def list_messages(ref: RunRef) -> ApiCall[list[dict[str, Json]]]:
    """
    List the messages that a run of the Assistants API has written, as the API sends them, oldest first.

    :param ref: the run.
    """
    ask = functools.partial(AssistantsApi().list_messages, ref)
    raw = yield from _list_raw(f"messages of {ref}", ask)
    return [message for message in raw if message.get("run_id") == ref.run_id]


def create_response(params: dict[str, Json], idempotency_key: str | None = None) -> ApiCall[Run]:
    """
    Create a response, in the background unless told otherwise.

    :param params: the parameters of https://platform.openai.com/docs/api-reference/responses/create.
    :param idempotency_key: as for :func:`create_run`.
    """
    api = api_for(None)
    body = yield _with_key(api.create(None, params), idempotency_key)
    return api.read_run(body)


def _with_key(request: Request, idempotency_key: str | None) -> Request:
    if idempotency_key is None:
        return request
    return dataclasses.replace(request, headers={**request.headers, "Idempotency-Key": idempotency_key})


def submit_tool_outputs(ref: RunRef, outputs: list[Json], params: dict[str, Json]) -> ApiCall[Run]:
    """
    Hand a run the outputs it waits for.

    :param ref: the run.
    :param outputs: ``[{"tool_call_id": …, "output": …}]``.
    :param params: further parameters of the request.
    :return: the run; for the Responses API the new response that follows.
    """
    api = api_for(ref.thread_id)
    body = yield api.submit_tool_outputs(ref, outputs, params)
    return api.read_run(body)


def cancel_run(ref: RunRef) -> ApiCall[Run]:
    """
    Ask for the end of a run.

    :param ref: the run.
    """
    api = api_for(ref.thread_id)
    body = yield api.cancel(ref)
    return api.read_run(body)
