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

_FIELDS = ("api", "run_id", "parent_id", "status", "code", "request_id", "http_status")


class OpenAIRunError(Exception):
    """
    Base of all errors of this provider.

    :param message: one sentence that names what happened and the way out.
    :param api: the API's name, if the error is about a run.
    :param run_id: the run it is about, if it is about one.
    :param parent_id: the id of what the run belongs to, such as its thread; None for a run that stands alone.
    :param status: the last status seen of the run; None if none was seen.
    :param code: the API's own error code, such as ``rate_limit_exceeded``.
    :param request_id: the ``x-request-id`` of the API's answer, which OpenAI's support asks for.
    :param http_status: the HTTP status of the API's answer; None if there was no answer.
    """

    def __init__(
        self,
        message: str,
        *,
        api: str | None = None,
        run_id: str | None = None,
        parent_id: str | None = None,
        status: str | None = None,
        code: str | None = None,
        request_id: str | None = None,
        http_status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.api = api
        self.run_id = run_id
        self.parent_id = parent_id
        self.status = status
        self.code = code
        self.request_id = request_id
        self.http_status = http_status

    @property
    def thread_id(self) -> str | None:
        """The run's thread, under the name that DAG authors pass it by; an alias of ``parent_id``."""
        return self.parent_id

    def to_event(self) -> dict[str, Any]:
        """Return the error as plain JSON that :func:`error_from_event` reads back."""
        facts = {name: getattr(self, name) for name in _FIELDS}
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


_ALL: tuple[type[OpenAIRunError], ...] = (
    OpenAIRunError,
    InvalidRunReferenceError,
    RunEndedError,
    RunFailedError,
    RunCancelledError,
    RunExpiredError,
    RunIncompleteError,
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


def error_from_event(event: dict[str, Any]) -> OpenAIRunError:
    """
    Return the error that :meth:`OpenAIRunError.to_event` described.

    :param event: its JSON; a type this version does not know becomes :class:`OpenAIRunError`, and keys
        it does not know are ignored, so that a triggerer may be newer or older than the worker.
    """
    error = _BY_NAME.get(str(event.get("type")), OpenAIRunError)
    fields = {name: event.get(name) for name in _FIELDS}
    # Version 0.1.0 called it thread_id.
    fields["parent_id"] = event.get("parent_id", event.get("thread_id"))
    return error(str(event.get("message")), **fields)
