"""The calls: which requests an operation on a run takes, in which order.

Each call is a generator. It yields a :class:`~airflow_provider_openai_run.api.base.Request`, is sent the JSON
object of the response or has the error thrown in, and returns its result. :func:`execute_call` drives it, so
the sync and the async hook share everything but the await.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import TypeAlias, TypeVar

from airflow_provider_openai_run.api.assistants import AssistantsApi
from airflow_provider_openai_run.api.base import Request
from airflow_provider_openai_run.api.batches import BatchesApi
from airflow_provider_openai_run.api.parsing import list_or_none, text_or_none, unix_time
from airflow_provider_openai_run.api.registry import api_of
from airflow_provider_openai_run.api.responses import ResponsesApi
from airflow_provider_openai_run.api.retries import may_have_ended
from airflow_provider_openai_run.exceptions import RunRequestError
from airflow_provider_openai_run.types.json import Json
from airflow_provider_openai_run.types.run import Run, RunStep
from airflow_provider_openai_run.types.run_ref import RunRef
from airflow_provider_openai_run.types.status import RunState
from airflow_provider_openai_run.types.storable import MAX_ID_CHARACTERS, bounded_text

log = logging.getLogger(__name__)

T = TypeVar("T")
ApiCall: TypeAlias = Generator[Request, dict[str, Json], T]

#: How many pages of a list are read at most; a page has up to 100 items.
MAX_PAGES = 1000

#: A run that a task has created is among the latest of its thread.
_MAX_PAGES_OF_RUNS = 5


async def execute_call_async(call: ApiCall[T], send: Callable[[Request], Awaitable[dict[str, Json]]]) -> T:
    """
    Carry out a call with an async ``send``, and return its result.

    :param call: the call.
    :param send: sends one request and returns the JSON object of the response.
    :raises RunRequestError: what ``send`` raises, unless the call handles it.
    """
    try:
        request = next(call)
        while True:
            try:
                body = await send(request)
            except RunRequestError as error:
                request = call.throw(error)
            else:
                request = call.send(body)
    except StopIteration as stop:
        result: T = stop.value
        return result


def execute_call(call: ApiCall[T], send: Callable[[Request], dict[str, Json]]) -> T:
    """Carry out a call with a blocking ``send``; see :func:`execute_call_async`."""

    async def send_at_once(request: Request) -> dict[str, Json]:
        return send(request)

    # It awaits nothing that suspends, so its first step is its last.
    try:
        execute_call_async(call, send_at_once).send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    raise RuntimeError("a blocking send cannot suspend")


def get_run(
    ref: RunRef, *, include_steps: bool = True, include_raw: bool = False, include: Sequence[str] = ()
) -> ApiCall[Run]:
    """
    Retrieve a run.

    :param ref: the run.
    :param include_steps: whether to read all its steps; else ``Run.steps`` is None.
    :param include_raw: whether to keep the API's JSON as ``Run.raw``.
    :param include: names of further output, in the API's words.
    """
    api = api_of(ref)
    api.check_include(include)
    body = yield api.retrieve(ref, include)
    run = api.with_ref(api.read_run(body), ref)
    if not include_steps:
        run = dataclasses.replace(run, steps=None)
    elif api.capabilities.lists_steps:
        run = yield from _with_steps(run, ref, include)
    return dataclasses.replace(run, raw=body) if include_raw else run


def _with_steps(run: Run, ref: RunRef, include: Sequence[str]) -> ApiCall[Run]:
    api = api_of(ref)
    raw_steps = yield from list_raw_steps(ref, run_exists=True, include=include)
    run = dataclasses.replace(run, steps=tuple(api.read_step(step) for step in raw_steps))
    if run.state is RunState.NEEDS_ACTION and run.required_action is None:
        run = dataclasses.replace(run, required_action=api.required_action_of(raw_steps))
    return run


def list_steps(ref: RunRef, *, include: Sequence[str] = ()) -> ApiCall[tuple[RunStep, ...]]:
    """
    Read all steps of a run, oldest first.

    :param ref: the run.
    :param include: names of further output, in the API's words.
    """
    api = api_of(ref)
    api.check_include(include)
    if not api.capabilities.lists_steps:
        run = yield from get_run(ref, include=include)
        return run.steps or ()
    raw_steps = yield from list_raw_steps(ref, include=include)
    return tuple(api.read_step(step) for step in raw_steps)


def list_raw_steps(
    ref: RunRef, *, run_exists: bool = False, include: Sequence[str] = ()
) -> ApiCall[list[dict[str, Json]]]:
    """
    Read the steps of a run as the API sends them: all pages, oldest first, each step once.

    Reading stops with a warning if the cursor does not advance, or if a page adds nothing but says that there
    is more, so that no server can keep it from ending.

    :param ref: the run.
    :param run_exists: whether the run has just been retrieved; the error for a 404 depends on it.
    :param include: names of further output, in the API's words.
    """
    api = api_of(ref)
    if not api.capabilities.lists_steps:
        return []

    def request_page(after: str | None) -> Request:
        return dataclasses.replace(api.list_steps(ref, after, include), run_exists=run_exists)

    return _oldest_first((yield from _list_raw(f"steps of {ref}", request_page)))


def _list_raw(
    what: str,
    request_page: Callable[[str | None], Request],
    max_pages: int = MAX_PAGES,
    is_last: Callable[[dict[str, Json]], bool] = lambda item: False,  # noqa: ARG005 - no item is
) -> ApiCall[list[dict[str, Json]]]:
    """
    Read all pages of a list, each of its items once.

    :param what: what the list has, for the warnings.
    :param request_page: returns the request for the page after an id.
    :param max_pages: after how many pages to stop.
    :param is_last: whether no page after the one with this item is wanted.
    """
    items: dict[str, dict[str, Json]] = {}
    after: str | None = None
    for _page in range(max_pages):
        body = yield request_page(after)
        data = [item for item in list_or_none(body.get("data")) or () if isinstance(item, dict)]
        known = len(items)
        for item in data:
            items.setdefault(text_or_none(item.get("id")) or f"item without id {len(items)}", item)
        last = text_or_none(body.get("last_id") or (data[-1].get("id") if data else None))
        if not body.get("has_more") or not data or any(is_last(item) for item in data):
            break
        cursor = None if last is None else bounded_text(last, MAX_ID_CHARACTERS)
        if cursor is None or cursor in (after, "") or cursor != last or len(items) == known:
            log.warning("The list of %s says it has more after %s but does not advance", what, cursor)
            break
        after = cursor
    else:
        log.warning("Stopped reading the %s after %d pages", what, max_pages)
    return list(items.values())


def _oldest_first(steps: list[dict[str, Json]]) -> list[dict[str, Json]]:
    """Return the steps in order, where a server ignored ``order=asc``."""
    times = [time for step in steps if (time := unix_time(step.get("created_at"))) is not None]
    return steps[::-1] if times and times[0] > times[-1] else steps


def create_run(
    thread_id: str | None, params: dict[str, Json], idempotency_key: str | None = None
) -> ApiCall[Run]:
    """
    Create a run on a thread, or a thread and a run at once.

    :param thread_id: the thread; None creates one from ``params["thread"]``.
    :param params: the parameters of https://platform.openai.com/docs/api-reference/runs/createRun.
    :param idempotency_key: sent as ``Idempotency-Key``; a server that honours it creates one run for a key.
    """
    api = AssistantsApi()
    body = yield _with_key(api.create(thread_id, params), idempotency_key)
    return api.read_run(body)


def create_thread(params: dict[str, Json]) -> ApiCall[str]:
    """
    Create a thread, and return its id.

    :param params: the parameters of https://platform.openai.com/docs/api-reference/threads/createThread.
    """
    body = yield AssistantsApi().create_thread(params)
    return str(body["id"])


def list_runs(api: str, parent_id: str) -> ApiCall[list[Run]]:
    """
    List the latest runs of a parent, newest first, without their steps.

    :param api: the name of an API that lists runs.
    :param parent_id: the id of what the runs belong to, such as a thread.
    """
    chosen = api_of(RunRef(api, "-", parent_id))
    request_page = functools.partial(chosen.list_runs, parent_id)
    raw = yield from _list_raw(f"runs of {parent_id}", request_page, _MAX_PAGES_OF_RUNS)
    runs = [chosen.read_run(run) for run in raw if run.get("id")]
    return sorted(runs, key=lambda run: run.created_at or 0, reverse=True)


def create_batch(params: dict[str, Json]) -> ApiCall[Run]:
    """
    Create a batch.

    :param params: the parameters of https://platform.openai.com/docs/api-reference/batch/create.
    """
    api = BatchesApi()
    body = yield api.create(None, params)
    return api.read_run(body)


def list_batches(created_after: float | None = None) -> ApiCall[list[Run]]:
    """
    List the batches of the project, newest first.

    :param created_after: the batches that were created before this time, in epoch seconds, are left out.
    """
    api, earliest = BatchesApi(), created_after or 0.0

    def is_older(item: dict[str, Json]) -> bool:
        # The API gives whole seconds.
        return (unix_time(item.get("created_at")) or 0.0) < int(earliest)

    raw = yield from _list_raw("batches", api.list_all, is_last=is_older)
    runs = [api.read_run(item) for item in raw if item.get("id") and not is_older(item)]
    return sorted(runs, key=lambda run: run.created_at or 0, reverse=True)


def list_messages(ref: RunRef) -> ApiCall[list[dict[str, Json]]]:
    """
    List the messages that a run of the Assistants API wrote, as the API sends them, oldest first.

    :param ref: the run.
    """
    request_page = functools.partial(AssistantsApi().list_messages, ref)
    raw = yield from _list_raw(f"messages of {ref}", request_page)
    return [message for message in raw if message.get("run_id") == ref.run_id]


def create_response(params: dict[str, Json], idempotency_key: str | None = None) -> ApiCall[Run]:
    """
    Create a response, in the background and stored unless ``params`` says otherwise.

    :param params: the parameters of https://platform.openai.com/docs/api-reference/responses/create.
    :param idempotency_key: as for :func:`create_run`.
    """
    api = ResponsesApi()
    body = yield _with_key(api.create(None, params), idempotency_key)
    return api.read_run(body)


def _with_key(request: Request, idempotency_key: str | None) -> Request:
    if idempotency_key is None:
        return request
    return dataclasses.replace(request, headers={**request.headers, "Idempotency-Key": idempotency_key})


def submit_tool_outputs(ref: RunRef, outputs: Sequence[Json], params: dict[str, Json]) -> ApiCall[Run]:
    """
    Submit the tool outputs that a run waits for.

    :param ref: the run.
    :param outputs: ``[{"tool_call_id": …, "output": …}]``.
    :param params: further parameters of the request.
    :return: the run; for an API whose outputs go into a successor, the new run that follows.
    """
    api = api_of(ref)
    body = yield api.submit_tool_outputs(ref, outputs, params)
    run = api.read_run(body)
    return run if api.capabilities.answers_in_successor else api.with_ref(run, ref)


def cancel_run(ref: RunRef) -> ApiCall[Run]:
    """
    Cancel a run.

    :param ref: the run.
    """
    api = api_of(ref)
    body = yield api.cancel(ref)
    return api.with_ref(api.read_run(body), ref)


def cancel_unless_ended(ref: RunRef) -> ApiCall[Run]:
    """
    Cancel a run; if the API refuses, retrieve it, because servers differ in how they refuse for an ended run.

    :param ref: the run.
    :return: the run, which is being cancelled or has ended.
    :raises RunRequestError: the refusal, if the run has not ended, or if that is not known.
    """
    try:
        return (yield from cancel_run(ref))
    except RunRequestError as error:
        if not may_have_ended(error):
            raise
        refusal = error
    try:
        run = yield from get_run(ref, include_steps=False)
    except RunRequestError:
        raise refusal from None
    if not run.is_terminal and run.status != "cancelling":
        raise refusal
    return run
