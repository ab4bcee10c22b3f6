"""What it takes to do one thing with a run: which requests, in which order.

Each operation is a generator that yields :class:`~airflow_provider_openai_run.apis.Request`, is sent the JSON
object of the answer (or has the error thrown in), and returns its result. So the sync and the async hook
share everything but the await.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Generator
from typing import TypeAlias, TypeVar

from airflow_provider_openai_run.apis import Request, api_for
from airflow_provider_openai_run.apis.assistants import AssistantsApi, required_action_of
from airflow_provider_openai_run.apis.values import list_or_none, seconds
from airflow_provider_openai_run.run import Json, Run, RunStep
from airflow_provider_openai_run.run_ref import RunRef
from airflow_provider_openai_run.status import Meaning

log = logging.getLogger(__name__)

T = TypeVar("T")
Operation: TypeAlias = Generator[Request, dict[str, Json], T]

#: Where the reading of steps ends at the latest, in pages of a hundred.
MOST_PAGES = 200


def get_run(ref: RunRef, *, include_steps: bool = True, include_raw: bool = False) -> Operation[Run]:
    """
    Retrieve a run.

    :param ref: the run.
    :param include_steps: whether to read its steps, all of them; without, ``Run.steps`` is None.
    :param include_raw: whether to keep the API's JSON as ``Run.raw``.
    """
    api = api_for(ref.thread_id)
    body = yield api.retrieve(ref)
    run = api.read_run(body)
    if not include_steps:
        run = dataclasses.replace(run, steps=None)
    elif run.steps is None:
        run = yield from _with_steps(run, ref)
    return dataclasses.replace(run, raw=body) if include_raw else run


def _with_steps(run: Run, ref: RunRef) -> Operation[Run]:
    api = api_for(ref.thread_id)
    raw_steps = yield from list_raw_steps(ref)
    run = dataclasses.replace(run, steps=tuple(api.read_step(step) for step in raw_steps))
    if run.meaning is Meaning.NEEDS_ACTION and run.required_action is None:
        run = dataclasses.replace(run, required_action=required_action_of(raw_steps))
    return run


def list_steps(ref: RunRef) -> Operation[tuple[RunStep, ...]]:
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


def list_raw_steps(ref: RunRef) -> Operation[list[dict[str, Json]]]:
    """
    Read the steps of a run as the API sends them, all pages, oldest first, each step once.

    The reading ends, with a warning, at a cursor that does not move and at a page that brings nothing new
    though it says there is more, so that no server can keep it going for ever.

    :param ref: the run.
    """
    steps: dict[str, dict[str, Json]] = {}
    after: str | None = None
    for _page in range(MOST_PAGES):
        request = api_for(ref.thread_id).list_steps(ref, after)
        if request is None:
            return []
        body = yield request
        data = [step for step in list_or_none(body.get("data")) or () if isinstance(step, dict)]
        known = len(steps)
        for step in data:
            steps.setdefault(str(step.get("id") or f"step without id {len(steps)}"), step)
        last = body.get("last_id") or (data[-1].get("id") if data else None)
        if not body.get("has_more") or not data:
            break
        if last is None or last == after or len(steps) == known:
            log.warning("The list of steps of %s says it has more after %s but does not move on", ref, last)
            break
        after = str(last)
    else:
        log.warning("Stopped reading the steps of %s after %d pages", ref, MOST_PAGES)
    return _oldest_first(list(steps.values()))


def _oldest_first(steps: list[dict[str, Json]]) -> list[dict[str, Json]]:
    """Turn the list round where a server ignored ``order=asc``."""
    first, last = (
        (seconds(step.get("created_at")) for step in (steps[0], steps[-1])) if steps else (None, None)
    )
    newest_first = first is not None and last is not None and first > last
    return steps[::-1] if newest_first else steps


def create_run(thread_id: str | None, params: dict[str, Json]) -> Operation[Run]:
    """
    Create a run on a thread, or a thread and a run at once.

    :param thread_id: the thread; None makes a new one of ``params["thread"]``.
    :param params: the parameters of https://platform.openai.com/docs/api-reference/runs/createRun.
    """
    api = AssistantsApi()
    body = yield api.create(thread_id, params)
    return api.read_run(body)


def create_response(params: dict[str, Json]) -> Operation[Run]:
    """
    Create a response, in the background unless told otherwise.

    :param params: the parameters of https://platform.openai.com/docs/api-reference/responses/create.
    """
    api = api_for(None)
    body = yield api.create(None, params)
    return api.read_run(body)


def submit_tool_outputs(ref: RunRef, outputs: list[Json], params: dict[str, Json]) -> Operation[Run]:
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


def cancel_run(ref: RunRef) -> Operation[Run]:
    """
    Ask for the end of a run.

    :param ref: the run.
    """
    api = api_for(ref.thread_id)
    body = yield api.cancel(ref)
    return api.read_run(body)
