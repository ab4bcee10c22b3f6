"""Send a request that creates a run or submits outputs: again only where that cannot do it twice."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from airflow_provider_openai_run.api.retries import CONVERSATION_LOCKED, Operation, is_retried
from airflow_provider_openai_run.exceptions import RunRequestError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

log = logging.getLogger(__name__)

_MAX_ATTEMPTS = 4
#: Another response is being written to the conversation, which can take a while.
_MAX_ATTEMPTS_WHEN_LOCKED = 8
_MAX_DELAY = 30.0
_FIRST_DELAY = 0.5


def delay_before(attempt: int, error: RunRequestError | None = None) -> float:
    """
    Return how long to wait before a request is sent again, in seconds.

    :param attempt: how many attempts have failed, from 1.
    :param error: what the last one failed with; its ``retry_after`` counts.
    """
    return (error and error.retry_after) or min(_FIRST_DELAY * 2 ** (attempt - 1), _MAX_DELAY)


class Attempt:
    """
    A context manager for one request; it absorbs errors after which a retry is safe.

    :param operation: what the request is for, in the table of retries.
    :param number: which attempt it is, from 1.
    """

    def __init__(self, operation: Operation, number: int) -> None:
        self._operation = operation
        self._number = number
        self.must_repeat = False

    def __enter__(self) -> None:
        """Begin the attempt."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        """Wait, if the request can be sent again; else let the error pass."""
        if not isinstance(error, RunRequestError):
            return False
        is_locked = error.retry_rule == CONVERSATION_LOCKED.name
        is_last = self._number >= (_MAX_ATTEMPTS_WHEN_LOCKED if is_locked else _MAX_ATTEMPTS)
        delay = delay_before(self._number, error)
        self.must_repeat = is_retried(error, self._operation) and not is_last and delay <= _MAX_DELAY
        if self.must_repeat:
            log.warning("%s. Nothing was done; retrying in %.1f s", error.message.rstrip("."), delay)
            time.sleep(delay)
        return self.must_repeat


def attempts_for(operation: Operation) -> Iterator[Attempt]:
    """
    Yield attempts until one succeeds or raises.

    ::

        for attempt in attempts_for("create"):
            with attempt:
                run = hook.execute_call(calls.create_response(body, key), retry=False)

    :param operation: what the request is for, in the table of retries.
    """
    number = 1
    while True:
        attempt = Attempt(operation, number)
        yield attempt
        if not attempt.must_repeat:
            return
        number += 1
