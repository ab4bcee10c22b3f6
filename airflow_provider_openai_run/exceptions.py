"""
The errors of this provider.

::

    OpenAIRunError
    ├── InvalidRunReferenceError      an id that cannot be used in a request (also a ValueError)
    ├── RunEndedError                 the run ended in a status that was not accepted
    │   ├── RunFailedError
    │   ├── RunCancelledError
    │   ├── RunExpiredError
    │   └── RunIncompleteError
    ├── RunRequiresActionError        the run needs tool outputs or an approval
    ├── RunWaitTimeoutError           the deadline passed before the run ended
    │   └── RunStalledError           the run did not change for ``stalled_after`` seconds
    ├── ThreadBusyError               the thread has an active run, so no run was created on it
    ├── ToolCallError                 a tool could not be called, or returned what cannot be submitted
    ├── HumanInputRequestError        Airflow cannot show a person what the run waits for
    ├── HumanInputAnswerError         the answers of a person did not fit the calls of the run
    ├── TokenBudgetSpentError         the task's token budget was used up before its run ended
    ├── AnswerFormatError             the answer does not match the requested format
    ├── BulkRequestsError             the requests of a bulk task cannot be sent (also a ValueError)
    ├── BulkJournalError              the journal of a bulk task is missing, or is another task's
    ├── BulkFailedError               more requests of a bulk task failed than ``max_failed`` allows
    └── RunRequestError               a request failed: no response, an error response or an invalid one
        ├── RunAuthenticationError    401 or 403: the API refused the connection's credentials
        │   └── InvalidConnectionError   the connection itself is wrong; nothing was sent
        ├── ConnectionLookupError     Airflow could not look up the connection at this time; nothing was sent
        ├── RunNotFoundError          404
        └── AssistantsApiEndedError   a thread at api.openai.com, where the Assistants API ended on 2026-08-26

None of them derives from ``AirflowException``, so Airflow treats them the same way whether a poking task
raises them or a deferred task that resumes. Where a sensor must not be retried, it raises an error that is an
``AirflowFailException`` too, see :mod:`airflow_provider_openai_run.sensors.openai_run`.
"""

from __future__ import annotations

from typing import Any

_FIELDS = ("api", "run_id", "parent_id", "status", "code", "request_id", "http_status", "run_left_running")
_LEFT_RUNNING = "The run itself was left as it is: it may still be running and use tokens."


class OpenAIRunError(Exception):
    """
    Base class of all errors of this provider.

    :param message: what happened and what to do about it.
    :param api: the API's name, if the error is about a run.
    :param run_id: the run's id, if the error is about a run.
    :param parent_id: the id of what the run belongs to, such as its thread; None for a run that stands alone.
    :param status: the last known status of the run; None if none is known.
    :param code: the API's own error code, such as ``rate_limit_exceeded``.
    :param request_id: the ``x-request-id`` of the API's response, which OpenAI's support needs.
    :param http_status: the HTTP status of the API's response; None if there was no response.
    :param run_left_running: whether the run was active and was not cancelled; None if that is not known, or
        the error is not about a run. If true, ``message`` ends with a sentence that says so, and ``summary``
        is the message without it.
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
        run_left_running: bool | None = None,
    ) -> None:
        self.summary = message
        self.message = f"{message} {_LEFT_RUNNING}" if run_left_running is True else message
        super().__init__(self.message)
        self.api = api
        self.run_id = run_id
        self.parent_id = parent_id
        self.status = status
        self.code = code
        self.request_id = request_id
        self.http_status = http_status
        self.run_left_running = run_left_running

    @property
    def thread_id(self) -> str | None:
        """The run's thread, under the name that DAG authors use; an alias of ``parent_id``."""
        return self.parent_id

    def to_event(self) -> dict[str, Any]:
        """Return the error as plain JSON that :func:`error_from_event` reads back."""
        fields = {name: getattr(self, name) for name in _FIELDS}
        return {"type": type(self).__name__, "message": self.summary, **fields}


class InvalidRunReferenceError(OpenAIRunError, ValueError):
    """A run id or thread id that cannot be used in a request."""


class RunEndedError(OpenAIRunError):
    """The run ended in a status that was not accepted."""


class RunFailedError(RunEndedError):
    """The run ended as ``failed``."""


class RunCancelledError(RunEndedError):
    """The run ended as ``cancelled``."""


class RunExpiredError(RunEndedError):
    """The run ended as ``expired``: its required action was not answered in time."""


class RunIncompleteError(RunEndedError):
    """The run ended as ``incomplete``: a token limit or a content filter cut it short."""


class RunRequiresActionError(OpenAIRunError):
    """The run needs tool outputs or an approval, and ``on_requires_action`` is ``"fail"``."""


class RunWaitTimeoutError(OpenAIRunError):
    """The deadline passed before the run ended."""


class RunStalledError(RunWaitTimeoutError):
    """
    The run did not change for ``stalled_after`` seconds, and ``on_stalled`` is ``"fail"``.

    It is a limit of the wait, so tasks treat it as one: a sensor is not retried, the get operator is, and a
    task that created the run cancels it, so that its retry creates another.
    """


class ThreadBusyError(OpenAIRunError):
    """The thread has an active run, so no run was created on it."""


class ToolCallError(OpenAIRunError):
    """A tool could not be called, or returned what cannot be submitted."""


class HumanInputRequestError(OpenAIRunError):
    """Airflow cannot show a person what the run waits for."""


class HumanInputAnswerError(OpenAIRunError):
    """The answers of a person did not fit the calls of the run."""


class TokenBudgetSpentError(OpenAIRunError):
    """The task's token budget was used up before its run ended."""


class AnswerFormatError(OpenAIRunError):
    """The answer of a run does not match the requested format."""


class BulkRequestsError(OpenAIRunError, ValueError):
    """The requests of a bulk task cannot be sent; nothing was. The message names the first bad line."""


class BulkJournalError(OpenAIRunError):
    """
    The journal of a bulk task is missing, is another task's, or is continued by another process.

    Without it the task cannot know which responses were created, so it creates none.
    """


class BulkFailedError(OpenAIRunError):
    """More requests of a bulk task failed than its ``max_failed`` allows."""


class RunRequestError(OpenAIRunError):
    """
    A request failed: there was no response, an error response, or one that is not the expected JSON.

    :param is_retryable: whether the same request may succeed later.
    :param retry_after: how many seconds the API wants no further request; None if it does not say.
    :param should_retry: the ``x-should-retry`` header of the response; None if it has none.
    :param retry_rule: the name of the rule in :mod:`airflow_provider_openai_run.api.retries` that the
        response matched; None without a response.
    """

    def __init__(
        self,
        message: str,
        *,
        is_retryable: bool = False,
        retry_after: float | None = None,
        should_retry: bool | None = None,
        retry_rule: str | None = None,
        **fields: Any,
    ) -> None:
        super().__init__(message, **fields)
        self.is_retryable = is_retryable
        self.retry_after = retry_after
        self.should_retry = should_retry
        self.retry_rule = retry_rule


class RunAuthenticationError(RunRequestError):
    """The API refused the connection's credentials (401) or their rights (403)."""


class InvalidConnectionError(RunAuthenticationError):
    """The Airflow connection is missing a field or contradicts itself; nothing was sent."""


class ConnectionLookupError(RunRequestError):
    """
    Airflow could not look up the connection at this time; nothing was sent.

    Airflow reports a lookup that fails, as while its database is down, like a connection that does not exist.
    A worker finds out which of the two it is, and raises :class:`InvalidConnectionError` for the latter. A
    triggerer takes both for an outage that ends, for five minutes.
    """


class RunNotFoundError(RunRequestError):
    """The API does not know the run (404)."""


class AssistantsApiEndedError(RunRequestError):
    """The request names a thread at api.openai.com, where the Assistants API ended on 2026-08-26."""


def _with_subclasses(error: type[OpenAIRunError]) -> list[type[OpenAIRunError]]:
    return [error, *(sub for direct in error.__subclasses__() for sub in _with_subclasses(direct))]


_BY_NAME = {error.__name__: error for error in _with_subclasses(OpenAIRunError)}


def error_from_event(event: dict[str, Any]) -> OpenAIRunError:
    """
    Return the error that :meth:`OpenAIRunError.to_event` described.

    :param event: its JSON. A type that this version does not know becomes :class:`OpenAIRunError`, and
        unknown keys are ignored, so the triggerer may be newer or older than the worker.
    """
    error = _BY_NAME.get(str(event.get("type")), OpenAIRunError)
    fields = {name: event.get(name) for name in _FIELDS}
    # Version 0.1.0 called it thread_id.
    fields["parent_id"] = event.get("parent_id", event.get("thread_id"))
    return error(str(event.get("message")), **fields)
