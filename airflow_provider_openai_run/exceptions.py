"""
The errors of this provider.

::

    OpenAIRunError
    ├── InvalidRunReferenceError      a thread or run id no request can be made of (also a ValueError)
    ├── RunEndedError                 the run ended in a status that was not accepted
    │   ├── RunFailedError
    │   ├── RunCancelledError
    │   ├── RunExpiredError
    │   └── RunIncompleteError
    ├── RunRequiresActionError        the run waits for tool outputs or an approval
    ├── RunWaitTimeoutError           the wait's deadline passed first
    ├── ThreadBusyError               another run is active on the thread a run was to be made on
    ├── ToolCallError                 a tool could not be called, or gave what cannot be handed over
    ├── TokenBudgetSpentError         the tokens a task may use were spent before its run had ended
    ├── AnswerFormatError             the answer is not what the model was asked to keep to
    └── RunRequestError               the API could not be asked, or did not answer as it should
        ├── RunAuthenticationError    401, 403: the connection's credentials are refused
        │   └── InvalidConnectionError   the connection itself is wrong: nothing was sent
        ├── RunNotFoundError          404
        └── AssistantsApiEndedError   a thread was asked for at api.openai.com, which ended them on 2026-08-26

None of them derives from ``AirflowException``, so Airflow treats them alike whether they are raised by a
poking task or on resuming a deferred one. Where a sensor must not be retried, it raises them as an
``AirflowFailException`` too, see :mod:`airflow_provider_openai_run.sensors.openai_run`.
"""

from __future__ import annotations

from typing import Any

from airflow_provider_openai_run.types.status import RunState, classify_status

_FACTS = ("run_id", "thread_id", "status", "code", "request_id", "http_status")


class OpenAIRunError(Exception):
    """
    Base of all errors of this provider.

    :param message: one sentence that names what happened and the way out.
    :param run_id: the run it is about, if it is about one.
    :param thread_id: its thread; None for the Responses API.
    :param status: the last status seen of the run; None if none was seen.
    :param code: the API's own error code, such as ``rate_limit_exceeded``.
    :param request_id: the ``x-request-id`` of the API's answer, which OpenAI's support asks for.
    :param http_status: the HTTP status of the API's answer; None if there was no answer.
    """

    def __init__(
        self,
        message: str,
        *,
        run_id: str | None = None,
        thread_id: str | None = None,
        status: str | None = None,
        code: str | None = None,
        request_id: str | None = None,
        http_status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.run_id = run_id
        self.thread_id = thread_id
        self.status = status
        self.code = code
        self.request_id = request_id
        self.http_status = http_status

    def to_event(self) -> dict[str, Any]:
        """Give the error as plain JSON that :func:`error_from_event` reads back."""
        facts = {name: getattr(self, name) for name in _FACTS}
        return {"type": type(self).__name__, "message": self.message, **facts}


class InvalidRunReferenceError(OpenAIRunError, ValueError):
    """A ``thread_id`` or ``run_id`` of which no request can be made."""


class RunEndedError(OpenAIRunError):
    """The run ended in a status that was not accepted."""


class RunFailedError(RunEndedError):
    """The run ended as ``failed``."""


class RunCancelledError(RunEndedError):
    """The run ended as ``cancelled``."""


class RunExpiredError(RunEndedError):
    """The run ended as ``expired``: nobody answered its required action in time."""


class RunIncompleteError(RunEndedError):
    """The run ended as ``incomplete``: a token limit or a content filter cut it short."""


class RunRequiresActionError(OpenAIRunError):
    """The run waits for tool outputs or an approval, and the wait was told not to bear that."""


class RunWaitTimeoutError(OpenAIRunError):
    """The deadline of the wait passed before the run ended."""


class ThreadBusyError(OpenAIRunError):
    """Another run is active on the thread that a run was to be made on."""


class ToolCallError(OpenAIRunError):
    """A tool that a run asked for could not be called, or gave what cannot be handed over."""


class TokenBudgetSpentError(OpenAIRunError):
    """The tokens that a task may use were spent before its run had ended."""


class AnswerFormatError(OpenAIRunError):
    """The answer of a run is not of the format the model was asked to keep to."""


class RunRequestError(OpenAIRunError):
    """
    The API could not be asked about the run, or its answer was an error or no valid JSON.

    :param is_retryable: whether asking again later may help.
    :param retry_after: how long the API asks to be left alone, in seconds; None if it does not say.
    """

    def __init__(
        self, message: str, *, is_retryable: bool = False, retry_after: float | None = None, **facts: Any
    ) -> None:
        super().__init__(message, **facts)
        self.is_retryable = is_retryable
        self.retry_after = retry_after


class RunAuthenticationError(RunRequestError):
    """The API refused the connection's credentials (401) or their rights (403)."""


class InvalidConnectionError(RunAuthenticationError):
    """The Airflow connection is missing a field or contradicts itself; nothing was sent."""


class RunNotFoundError(RunRequestError):
    """The API knows no such run (404)."""


class AssistantsApiEndedError(RunRequestError):
    """A thread was asked for at api.openai.com, where the Assistants API ended on 2026-08-26."""


_ENDED_ERRORS: dict[RunState, type[RunEndedError]] = {
    RunState.FAILED: RunFailedError,
    RunState.CANCELLED: RunCancelledError,
    RunState.EXPIRED: RunExpiredError,
    RunState.INCOMPLETE: RunIncompleteError,
}

_ALL: tuple[type[OpenAIRunError], ...] = (
    OpenAIRunError,
    InvalidRunReferenceError,
    RunEndedError,
    *_ENDED_ERRORS.values(),
    RunRequiresActionError,
    RunWaitTimeoutError,
    ThreadBusyError,
    ToolCallError,
    TokenBudgetSpentError,
    AnswerFormatError,
    RunRequestError,
    RunAuthenticationError,
    InvalidConnectionError,
    RunNotFoundError,
    AssistantsApiEndedError,
)
_BY_NAME = {error.__name__: error for error in _ALL}


def ended_error_for(status: str | None) -> type[RunEndedError]:
    """Give the error class for a run that ended as ``status``."""
    return _ENDED_ERRORS.get(classify_status(status), RunEndedError)


def error_from_event(event: dict[str, Any]) -> OpenAIRunError:
    """
    Build the error that :meth:`OpenAIRunError.to_event` described.

    :param event: its JSON; a type this version does not know comes back as :class:`OpenAIRunError`, and keys
        it does not know are left out, so that a triggerer may be newer or older than the worker.
    """
    error = _BY_NAME.get(str(event.get("type")), OpenAIRunError)
    return error(str(event.get("message")), **{name: event.get(name) for name in _FACTS})
