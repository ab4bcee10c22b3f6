"""
The errors of this package as exceptions that Airflow does not retry.

Each class here has the name of its counterpart in :mod:`airflow_provider_openai_run.exceptions` and is a
subclass of it, so ``except`` clauses and messages are the same. It is a subclass of one of Airflow's
exceptions too: ``AirflowSensorTimeout`` for :class:`RunWaitTimeoutError` and :class:`RunStalledError`,
``AirflowFailException`` for all others. Airflow fails a task that raises one of these without a retry.
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, AirflowSensorTimeout

from airflow_provider_openai_run import exceptions


class OpenAIRunError(exceptions.OpenAIRunError, AirflowFailException):
    """Not retried; see :class:`airflow_provider_openai_run.exceptions.OpenAIRunError`."""


class InvalidRunReferenceError(exceptions.InvalidRunReferenceError, AirflowFailException):
    """Not retried; see :class:`airflow_provider_openai_run.exceptions.InvalidRunReferenceError`."""


class RunEndedError(exceptions.RunEndedError, AirflowFailException):
    """Not retried; see :class:`airflow_provider_openai_run.exceptions.RunEndedError`."""


class RunFailedError(exceptions.RunFailedError, AirflowFailException):
    """Not retried; see :class:`airflow_provider_openai_run.exceptions.RunFailedError`."""


class RunCancelledError(exceptions.RunCancelledError, AirflowFailException):
    """Not retried; see :class:`airflow_provider_openai_run.exceptions.RunCancelledError`."""


class RunExpiredError(exceptions.RunExpiredError, AirflowFailException):
    """Not retried; see :class:`airflow_provider_openai_run.exceptions.RunExpiredError`."""


class RunIncompleteError(exceptions.RunIncompleteError, AirflowFailException):
    """Not retried; see :class:`airflow_provider_openai_run.exceptions.RunIncompleteError`."""


class RunRequiresActionError(exceptions.RunRequiresActionError, AirflowFailException):
    """Not retried; see :class:`airflow_provider_openai_run.exceptions.RunRequiresActionError`."""


class RunWaitTimeoutError(exceptions.RunWaitTimeoutError, AirflowSensorTimeout):
    """A sensor's timeout; see :class:`airflow_provider_openai_run.exceptions.RunWaitTimeoutError`."""


class RunStalledError(exceptions.RunStalledError, AirflowSensorTimeout):
    """A sensor's timeout; see :class:`airflow_provider_openai_run.exceptions.RunStalledError`."""


class ThreadBusyError(exceptions.ThreadBusyError, AirflowFailException):
    """Not retried; see :class:`airflow_provider_openai_run.exceptions.ThreadBusyError`."""


class ToolCallError(exceptions.ToolCallError, AirflowFailException):
    """Not retried; see :class:`airflow_provider_openai_run.exceptions.ToolCallError`."""


class HumanInputRequestError(exceptions.HumanInputRequestError, AirflowFailException):
    """Not retried; see :class:`airflow_provider_openai_run.exceptions.HumanInputRequestError`."""


class HumanInputAnswerError(exceptions.HumanInputAnswerError, AirflowFailException):
    """Not retried; see :class:`airflow_provider_openai_run.exceptions.HumanInputAnswerError`."""


class TokenBudgetSpentError(exceptions.TokenBudgetSpentError, AirflowFailException):
    """Not retried; see :class:`airflow_provider_openai_run.exceptions.TokenBudgetSpentError`."""


class AnswerFormatError(exceptions.AnswerFormatError, AirflowFailException):
    """Not retried; see :class:`airflow_provider_openai_run.exceptions.AnswerFormatError`."""


class BulkRequestsError(exceptions.BulkRequestsError, AirflowFailException):
    """Not retried; see :class:`airflow_provider_openai_run.exceptions.BulkRequestsError`."""


class BulkJournalError(exceptions.BulkJournalError, AirflowFailException):
    """Not retried; see :class:`airflow_provider_openai_run.exceptions.BulkJournalError`."""


class BulkFailedError(exceptions.BulkFailedError, AirflowFailException):
    """Not retried; see :class:`airflow_provider_openai_run.exceptions.BulkFailedError`."""


class RunRequestError(exceptions.RunRequestError, AirflowFailException):
    """Not retried; see :class:`airflow_provider_openai_run.exceptions.RunRequestError`."""


class RunAuthenticationError(exceptions.RunAuthenticationError, AirflowFailException):
    """Not retried; see :class:`airflow_provider_openai_run.exceptions.RunAuthenticationError`."""


class InvalidConnectionError(exceptions.InvalidConnectionError, AirflowFailException):
    """Not retried; see :class:`airflow_provider_openai_run.exceptions.InvalidConnectionError`."""


class ConnectionLookupError(exceptions.ConnectionLookupError, AirflowFailException):
    """Not retried; see :class:`airflow_provider_openai_run.exceptions.ConnectionLookupError`."""


class RunNotFoundError(exceptions.RunNotFoundError, AirflowFailException):
    """Not retried; see :class:`airflow_provider_openai_run.exceptions.RunNotFoundError`."""


class AssistantsApiEndedError(exceptions.AssistantsApiEndedError, AirflowFailException):
    """Not retried; see :class:`airflow_provider_openai_run.exceptions.AssistantsApiEndedError`."""


_BY_BASE: dict[type, type[exceptions.OpenAIRunError]] = {
    kind.__bases__[0]: kind
    for kind in (
        OpenAIRunError,
        InvalidRunReferenceError,
        RunEndedError,
        RunFailedError,
        RunCancelledError,
        RunExpiredError,
        RunIncompleteError,
        RunRequiresActionError,
        RunWaitTimeoutError,
        RunStalledError,
        ThreadBusyError,
        ToolCallError,
        HumanInputRequestError,
        HumanInputAnswerError,
        TokenBudgetSpentError,
        AnswerFormatError,
        BulkRequestsError,
        BulkJournalError,
        BulkFailedError,
        RunRequestError,
        RunAuthenticationError,
        InvalidConnectionError,
        ConnectionLookupError,
        RunNotFoundError,
        AssistantsApiEndedError,
    )
}


def fail_without_retry(error: exceptions.OpenAIRunError) -> exceptions.OpenAIRunError:
    """
    Return the same error as an exception for which Airflow does not retry the task.

    :param error: an error of this package; message, fields and ``__cause__`` are kept. One that is not
        retried already is returned as it is.
    """
    if isinstance(error, AirflowException):
        return error
    kind = next(_BY_BASE[base] for base in type(error).__mro__ if base in _BY_BASE)
    result = kind(error.message)
    result.__dict__.update(error.__dict__)
    result.__cause__ = error.__cause__
    return result
