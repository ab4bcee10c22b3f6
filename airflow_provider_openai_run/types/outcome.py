"""What a wait came to, and how that crosses from the triggerer to the worker."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_openai_run.api.http import redact
from airflow_provider_openai_run.exceptions import (
    OpenAIRunError,
    RunEndedError,
    ended_error_for,
    error_from_event,
)
from airflow_provider_openai_run.types.run import Run
from airflow_provider_openai_run.types.run_ref import RunRef
from airflow_provider_openai_run.types.status import RunState, classify_status

if TYPE_CHECKING:
    from collections.abc import Collection


@dataclass(frozen=True, slots=True)
class LogMessage:
    """Something worth a line in the task's log."""

    level: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """
    The wait is over.

    :param ref: the run.
    :param status: the last status seen; the one that counts.
    :param reason: why the run ended without success, in the API's words.
    :param code: the API's code for that.
    :param request_id: of the answer that said so.
    :param error: why the wait ended although the run did not; None if it ended, or was to be returned as it
        is.
    :param run: the run as it was seen last, where that is known; it does not cross to the worker.
    """

    ref: RunRef
    status: str | None
    reason: str | None = None
    code: str | None = None
    request_id: str | None = None
    error: OpenAIRunError | None = None
    notes: tuple[LogMessage, ...] = field(default=(), compare=False)
    run: Run | None = field(default=None, compare=False, repr=False)

    @classmethod
    def of(cls, run: Run, ref: RunRef, request_id: str | None = None) -> Self:
        """
        Give the outcome of a wait that ended with the run as it is.

        :param run: as it was retrieved.
        :param ref: how it was asked for.
        :param request_id: of the answer.
        """
        return cls(
            ref=ref,
            status=run.status,
            reason=None if run.reason is None else redact(run.reason),
            code=redact(run.last_error.code) if run.last_error and run.last_error.code else None,
            request_id=request_id,
            run=run,
        )

    def raise_unless(self, accepted_statuses: Collection[str]) -> None:
        """
        Raise what the wait came to, unless that is what was waited for.

        :param accepted_statuses: terminal statuses that count as success.
        :raises OpenAIRunError: the error of the wait, or the one for the status the run ended in.
        """
        if self.error is not None:
            raise self.error
        returned_as_it_is = classify_status(self.status) is RunState.NEEDS_ACTION
        if not returned_as_it_is and self.status not in accepted_statuses:
            raise self.ended_error()

    def ended_error(self, more: str = "") -> RunEndedError:
        """
        Give the error for a run that ended in a status that is not accepted.

        :param more: a further sentence for its message.
        """
        why = self.reason.rstrip(".") if self.reason else "the API gave no reason"
        request_id = f" (request id {self.request_id})" if self.request_id else ""
        message = f"{self.ref} ended as {self.status}: {why}{request_id}. {more or 'It will not change.'}"
        return ended_error_for(self.status)(
            message,
            run_id=self.ref.run_id,
            thread_id=self.ref.thread_id,
            status=self.status,
            code=self.code,
            request_id=self.request_id,
        )

    def to_event(self) -> dict[str, Any]:
        """Give the outcome as the small JSON object a trigger sends: ids, status, and what went wrong."""
        event = {"run_id": self.ref.run_id, "thread_id": self.ref.thread_id, "status": self.status}
        for name in ("reason", "code", "request_id"):
            if getattr(self, name) is not None:
                event[name] = getattr(self, name)
        return event if self.error is None else {**event, "error": self.error.to_event()}

    @classmethod
    def from_event(cls, event: dict[str, Any]) -> Self:
        """Read what :meth:`to_event` gave."""
        error = event.get("error")
        return cls(
            ref=RunRef(event["run_id"], event.get("thread_id")),
            status=event.get("status"),
            reason=event.get("reason"),
            code=event.get("code"),
            request_id=event.get("request_id"),
            error=error_from_event(error) if error else None,
        )
