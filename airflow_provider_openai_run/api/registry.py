"""All APIs by name, and how a reference to a run is made from arguments or from stored JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_openai_run.api.assistants import AssistantsApi
from airflow_provider_openai_run.api.batches import BatchesApi
from airflow_provider_openai_run.api.responses import ResponsesApi
from airflow_provider_openai_run.exceptions import InvalidRunReferenceError
from airflow_provider_openai_run.types.run_ref import RunRef, check_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_openai_run.api.base import RunApi
    from airflow_provider_openai_run.types.run import Run

#: The API of a run that is named by ``run_id`` alone.
_DEFAULT = ResponsesApi()

#: All APIs, by name. To add one, add it here.
APIS: dict[str, RunApi] = {api.name: api for api in (_DEFAULT, AssistantsApi(), BatchesApi())}


def get_api(name: str) -> RunApi:
    """
    Return an API by its name.

    :param name: a key of :data:`APIS`.
    :raises InvalidRunReferenceError: for any other name, listing the known ones.
    """
    try:
        return APIS[name]
    except (KeyError, TypeError):
        known = ", ".join(map(repr, APIS))
        raise InvalidRunReferenceError(f"api must be one of {known}, not {name!r}") from None


def api_of(ref: RunRef) -> RunApi:
    """Return the API that a run belongs to."""
    return get_api(ref.api)


def run_ref(
    run_id: str, *, api: str | None = None, parent_id: str | None = None, **parents: str | None
) -> RunRef:
    """
    Return the reference to a run, from the arguments of DAG authors.

    :param run_id: the run's id.
    :param api: the API's name. None infers it from the parent's argument: ``thread_id`` means a run of a
        thread, ``run_id`` alone a response. The ids themselves say nothing.
    :param parent_id: the id of what the run belongs to, where ``api`` is given.
    :param parents: the same id by an API's own argument, such as ``thread_id="thread_1"``; None counts as not
        given.
    :raises InvalidRunReferenceError: for an id that cannot be used in a request, an unknown API, or a
        parent that is missing or does not belong to the API.
    """
    given = {name: value for name, value in parents.items() if value is not None}
    chosen = _choose_api(given) if api is None else get_api(api)
    argument = chosen.parent_argument
    parent = given.pop(argument, parent_id) if argument else parent_id
    if given or (parent is not None and argument is None):
        name = next(iter(given), "parent_id")
        raise InvalidRunReferenceError(
            f"{name} is set, but runs of the {chosen.title} (api={chosen.name!r}) have no {name}; omit it"
        )
    if argument is not None and parent is None:
        raise InvalidRunReferenceError(
            f"{argument} is missing: runs of the {chosen.title} (api={chosen.name!r}) need it"
        )
    check_id("run_id", run_id)
    if argument is not None:
        check_id(argument, parent)
    return RunRef(chosen.name, run_id, parent)


def ref_from_json(value: Mapping[str, Any]) -> RunRef:
    """
    Return the reference in stored JSON, as ``RunRef.ids`` returned it, or of version 0.1.0, without ``api``.

    :param value: an event, an XCom or trigger arguments; further keys are ignored.
    """
    api, parent_id = value.get("api"), value.get("parent_id")
    if api is None:
        return run_ref(value["run_id"], thread_id=value.get("thread_id"))
    return run_ref(value["run_id"], api=api, parent_id=parent_id)


def ref_of(run: Run) -> RunRef:
    """Return the reference to a run that was retrieved or created."""
    if run.api is None:
        return run_ref(run.id, thread_id=run.thread_id)
    argument = get_api(run.api).parent_argument
    return run_ref(run.id, api=run.api, parent_id=getattr(run, argument) if argument else None)


def author_ids(ref: RunRef) -> dict[str, str | None]:
    """
    Return a reference under the argument names of DAG authors, as in the XComs of tasks.

    ``run_id``, ``thread_id`` and ``api`` are always there; ``thread_id`` is None where the API has none.
    """
    argument = api_of(ref).parent_argument
    ids = {"run_id": ref.run_id, "thread_id": None, "api": ref.api}
    return {**ids, argument: ref.parent_id} if argument else ids


def _choose_api(parents: Mapping[str, str | None]) -> RunApi:
    if not parents:
        return _DEFAULT
    for api in APIS.values():
        if api.parent_argument in parents:
            return api
    name = next(iter(parents))
    raise InvalidRunReferenceError(f"{name} belongs to no API; there are {', '.join(map(repr, APIS))}")
