"""The stored XComs of a task, read through the XCom backend that Airflow is configured with."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from functools import cache
from typing import TYPE_CHECKING, Any

from airflow_provider_openai_run.run_page.xcom_data import ATTRIBUTES, RETURN_VALUE, has_all_attributes
from airflow_provider_openai_run.types.json import Json

if TYPE_CHECKING:
    from airflow_provider_openai_run.run_page.queries import XComQueries

log = logging.getLogger(__name__)

#: How long a page waits for all values, in seconds.
TIMEOUT = 10.0
#: How many values are read at once, over all requests: a store that hangs keeps no other thread busy.
_MAX_THREADS = 8


def read_values(
    queries: XComQueries, *, include_large: bool = False
) -> tuple[dict[str, Json], dict[str, str]]:
    """
    Return the XComs that can describe a run, by key, and why others cannot be read, by key.

    It blocks while a backend reads from its store, so it must not be called on an event loop.

    :param queries: the task instance's.
    :param include_large: whether to read the attributes that only the raw JSON shows.
    """
    backend = custom_backend()
    if backend is None:
        rows = queries.rows(include_large=include_large)
        return {key: row.value for key, row in rows.items()}, {}
    return _resolve(backend, queries.rows(include_large=include_large, with_return_value=True))


def custom_backend() -> Any:  # noqa: ANN401 - a class of Airflow's or of the deployment's own
    """Return the XCom backend; None for Airflow's own, which stores values as they are."""
    from airflow.sdk.bases.xcom import BaseXCom
    from airflow.sdk.execution_time import xcom

    backend = xcom.XCom
    return None if backend.deserialize_value is BaseXCom.deserialize_value else backend


def _resolve(
    backend: Any,  # noqa: ANN401
    rows: Mapping[str, Any],
) -> tuple[dict[str, Json], dict[str, str]]:
    deadline = time.monotonic() + TIMEOUT
    returned, failures = _read(backend, {key: rows[key] for key in rows if key == RETURN_VALUE}, deadline)
    value = returned.get(RETURN_VALUE)
    if isinstance(value, dict) and has_all_attributes(value):
        # One read in place of one for each attribute.
        rows = {key: row for key, row in rows.items() if key not in ATTRIBUTES}
    rest = {key: row for key, row in rows.items() if key != RETURN_VALUE}
    values, more_failures = _read(backend, rest, deadline)
    return {**returned, **values}, {**failures, **more_failures}


def _read(
    backend: Any,  # noqa: ANN401
    rows: Mapping[str, Any],
    deadline: float,
) -> tuple[dict[str, Json], dict[str, str]]:
    futures = {key: _threads().submit(backend.deserialize_value, row) for key, row in rows.items()}
    values: dict[str, Json] = {}
    failures: dict[str, str] = {}
    for key, future in futures.items():
        try:
            values[key] = _plain(future.result(timeout=max(deadline - time.monotonic(), 0.0)))
        except FutureTimeoutError:
            future.cancel()
            failures[key] = f"no reply within {TIMEOUT:g} s"
        except Exception as error:  # a backend and its store may raise anything
            log.warning("The XCom backend could not read %s for the run's page", key, exc_info=True)
            failures[key] = type(error).__name__
    return values, failures


def _plain(value: object) -> Json:
    """Return what a backend has read as plain JSON."""
    plain: Json = json.loads(json.dumps(value, default=str))
    return plain


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_MAX_THREADS, thread_name_prefix="openai-run-page-xcom")
