"""The outcome of a wait, and the event in which the triggerer sends it to the worker."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_openai_run.exceptions import (
    OpenAIRunError,
    RunCancelledError,
    RunEndedError,
    RunExpiredError,
    RunFailedError,
    RunIncompleteError,
    RunStalledError,
    error_from_event,
)
from airflow_provider_openai_run.types.redaction import MAX_CHARACTERS, redact
from airflow_provider_openai_run.types.run import Run
from airflow_provider_openai_run.types.run_ref import RunRef
from airflow_provider_openai_run.types.status import RunState, classify_status
from airflow_provider_openai_run.types.storable import MAX_ID_CHARACTERS, MAX_WORD_CHARACTERS, bounded_text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

#: How long a line for the log, and the message of an error in an event, may be.
_MAX_MESSAGE_CHARACTERS = 4000

_ENDED_ERRORS: dict[RunState, type[RunEndedError]] = {
    RunState.FAILED: RunFailedError,
    RunState.CANCELLED: RunCancelledError,
    RunState.EXPIRED: RunExpiredError,
    RunState.INCOMPLETE: RunIncompleteError,
}


def ended_error_for(status: str | None) -> type[RunEndedError]:
    """Return the error class for a run that ended as ``status``."""
    return _ENDED_ERRORS.get(classify_status(status), RunEndedError)


@dataclass(frozen=True, slots=True)
class LogMessage:
    """
    A line for the task's log, which can be stored and is cut to 4,000 characters.

    :param level: a level of :mod:`logging`.
    :param text: the line.
    """

    level: int
    text: str

    def __post_init__(self) -> None:
        text = bounded_text(self.text, _MAX_MESSAGE_CHARACTERS)
        if text is not self.text:
            object.__setattr__(self, "text", text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """
    How a wait ended.

    :param ref: the run.
    :param status: the last known status of the run, which decides whether it was successful.
    :param reason: why the run ended unsuccessfully, in the API's words.
    :param code: the API's error code.
    :param request_id: the request id of the last response.
    :param error: why the wait ended although the run did not; None if the run ended, or is returned as it is.
    :param is_kept: whether the trigger has kept the run in XCom, see
        :mod:`airflow_provider_openai_run.kept_result`.
    :param log_messages: lines for the task's log; they are not part of the event.
    :param run: the run as it was last retrieved, if it was; it is not part of the event.
    """

    ref: RunRef
    status: str | None
    reason: str | None = None
    code: str | None = None
    request_id: str | None = None
    error: OpenAIRunError | None = None
    is_kept: bool = False
    log_messages: tuple[LogMessage, ...] = field(default=(), compare=False)
    run: Run | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("status", "reason", "code", "request_id"):
            old = getattr(self, name)
            if old is not None:
                limit = MAX_CHARACTERS if name == "reason" else MAX_WORD_CHARACTERS
                object.__setattr__(self, name, bounded_text(old, limit))

    @classmethod
    def from_run(
        cls, run: Run, ref: RunRef, request_id: str | None = None, *, secrets: Iterable[str] = ()
    ) -> Self:
        """
        Return the outcome of a wait that ended because of the run's status.

        :param run: the retrieved run.
        :param ref: the reference that it was retrieved by.
        :param request_id: the request id of the response.
        :param secrets: the credentials of the connection, to mask in the reason.
        """
        return cls(
            ref=ref,
            status=run.status,
            reason=None if run.reason is None else redact(run.reason, secrets),
            code=redact(run.last_error.code, secrets) if run.last_error and run.last_error.code else None,
            request_id=request_id,
            run=run,
        )

    @property
    def has_stalled(self) -> bool:
        """Whether the wait ended because the run did not change."""
        return isinstance(self.error, RunStalledError)

    def raise_if_wait_failed(self) -> None:
        """
        Raise the error that ended the wait, whatever the run's status.

        :raises OpenAIRunError: the error of the wait.
        """
        if self.error is not None:
            raise self.error

    def raise_unless_accepted(self, accepted_statuses: Collection[str]) -> None:
        """
        Raise the error of this outcome, unless it counts as success.

        :param accepted_statuses: the terminal statuses that count as success.
        :raises OpenAIRunError: the error of the wait, or the one for the run's final status.
        """
        self.raise_if_wait_failed()
        is_returned_unfinished = classify_status(self.status) is RunState.NEEDS_ACTION
        if not is_returned_unfinished and self.status not in accepted_statuses:
            raise self.ended_error()

    def ended_error(self, advice: str = "") -> RunEndedError:
        """
        Return the error for a run that ended in a status that is not accepted.

        :param advice: the last sentence of the message, in place of "Its status is final."
        """
        reason = self.reason.rstrip(".") if self.reason else "the API gave no reason"
        request_id = f" (request id {self.request_id})" if self.request_id else ""
        message = (
            f"{self.ref} ended as {self.status}: {reason}{request_id}. {advice or 'Its status is final.'}"
        )
        return ended_error_for(self.status)(
            message, **self.ref.ids, status=self.status, code=self.code, request_id=self.request_id
        )

    def to_event(self) -> dict[str, Any]:
        """Return the event of a trigger: a small JSON object with ids, status, reason and error."""
        event: dict[str, Any] = {**self.ref.ids, "status": self.status}
        for name in ("reason", "code", "request_id"):
            if getattr(self, name) is not None:
                event[name] = getattr(self, name)
        if self.is_kept:
            event["is_kept"] = True
        return event if self.error is None else {**event, "error": bounded_error(self.error)}

    @classmethod
    def from_event(cls, event: dict[str, Any], ref: RunRef) -> Self:
        """
        Return the outcome that :meth:`to_event` described.

        :param event: the JSON object.
        :param ref: the run that it names, see
            :func:`airflow_provider_openai_run.api.registry.ref_from_json`.
        """
        error = event.get("error")
        return cls(
            ref=ref,
            status=event.get("status"),
            reason=event.get("reason"),
            code=event.get("code"),
            request_id=event.get("request_id"),
            error=error_from_event(error) if error else None,
            is_kept=event.get("is_kept") is True,
        )


def describe_failing_step(run: Run, secrets: Iterable[str] = ()) -> str:
    """
    Return a sentence about the step because of which a run failed; empty if no step has failed.

    :param run: the run, with its steps.
    :param secrets: the credentials of the connection, to mask in the step's error.
    """
    step = run.failing_step
    if step is None:
        return ""
    reason = f": {redact(str(step.last_error), secrets)}" if step.last_error else ""
    return f"Its failing step is {bounded_text(str(step.id))} ({step.type}, {step.status}){reason}."


def bounded_error(error: OpenAIRunError) -> dict[str, Any]:
    """Return an error as plain JSON for an event, storable and cut to a length."""
    limits = {"message": _MAX_MESSAGE_CHARACTERS, "run_id": MAX_ID_CHARACTERS, "parent_id": MAX_ID_CHARACTERS}
    return {
        name: bounded_text(value, limits.get(name, MAX_WORD_CHARACTERS)) if isinstance(value, str) else value
        for name, value in error.to_event().items()
    }
