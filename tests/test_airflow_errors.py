from __future__ import annotations

import pickle

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSensorTimeout

from airflow_provider_openai_run import airflow_errors, exceptions
from airflow_provider_openai_run.airflow_errors import fail_without_retry

KINDS = [
    value
    for value in vars(exceptions).values()
    if isinstance(value, type) and issubclass(value, exceptions.OpenAIRunError)
]


def error_of(kind: type[exceptions.OpenAIRunError]) -> exceptions.OpenAIRunError:
    return kind(
        "It failed.",
        api="assistants",
        run_id="run_1",
        parent_id="thread_1",
        status="failed",
        code="server_error",
        request_id="req_1",
        http_status=500,
    )


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_has_a_counterpart_that_is_not_retried(kind: type[exceptions.OpenAIRunError]) -> None:
    error = fail_without_retry(error_of(kind))
    is_timeout = issubclass(kind, exceptions.RunWaitTimeoutError)
    assert type(error) is getattr(airflow_errors, kind.__name__)
    assert isinstance(error, kind)
    assert isinstance(error, AirflowSensorTimeout if is_timeout else AirflowFailException)


@pytest.mark.parametrize("kind", KINDS)
def test_message_and_fields_are_kept(kind: type[exceptions.OpenAIRunError]) -> None:
    error = error_of(kind)
    assert str(fail_without_retry(error)) == "It failed."
    assert fail_without_retry(error).to_event() == error.to_event()


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_that_is_not_retried_can_be_pickled(kind: type[exceptions.OpenAIRunError]) -> None:
    error = fail_without_retry(error_of(kind))
    loaded = pickle.loads(pickle.dumps(error))  # noqa: S301 - what this test has written
    assert type(loaded) is type(error)
    assert loaded.args == error.args
    assert vars(loaded) == vars(error)


def test_fields_of_a_request_error_and_its_cause_are_kept() -> None:
    error = exceptions.RunRequestError("Slow down.", is_retryable=True, retry_after=7.0, http_status=429)
    error.__cause__ = OSError("reset")
    final = fail_without_retry(error)
    assert isinstance(final, airflow_errors.RunRequestError)
    assert (final.is_retryable, final.retry_after, final.http_status) == (True, 7.0, 429)
    assert final.__cause__ is error.__cause__


def test_a_subclass_without_a_counterpart_uses_that_of_its_base() -> None:
    class PausedError(exceptions.RunEndedError):
        pass

    assert type(fail_without_retry(PausedError("It is paused."))) is airflow_errors.RunEndedError


def test_an_error_that_is_not_retried_already_is_returned_as_it_is() -> None:
    error = airflow_errors.ToolCallError("It failed.")
    assert fail_without_retry(error) is error


def test_an_event_does_not_distinguish_the_two_kinds() -> None:
    error = fail_without_retry(error_of(exceptions.RunExpiredError))
    assert type(exceptions.error_from_event(error.to_event())) is exceptions.RunExpiredError
