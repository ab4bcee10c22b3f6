"""A wait goes on for a limited time without its connection, whatever ``max_consecutive_failures`` is."""

from __future__ import annotations

from airflow_provider_openai_run.exceptions import ConnectionLookupError, RunWaitTimeoutError
from airflow_provider_openai_run.polling.policy import LOOKUP_PATIENCE
from airflow_provider_openai_run.types.outcome import Outcome
from tests.polling.decisions import START, MakePoller, error_of, logged, poll_again, retryable_error, run


def lookup_error() -> ConnectionLookupError:
    return ConnectionLookupError("Airflow does not find connection 'conn'", is_retryable=True)


def test_a_wait_outlasts_a_missing_connection(make_poller: MakePoller) -> None:
    poller = make_poller(max_consecutive_failures=1)
    now, lines = START, list[str]()
    while now < START + LOOKUP_PATIENCE:
        decision = poll_again(poller.on_error(lookup_error(), now))
        lines += logged(decision)
        now = decision.at
    assert lines == ["Airflow does not find connection 'conn'. Looking it up again for 5 minutes"]
    # A failure of the API is another matter, and the next missing connection has its own five minutes.
    (line, _) = logged(poller.on_run(run("queued"), now))
    assert "Airflow returned the connection" in line
    assert isinstance(poller.on_error(lookup_error(), now), type(decision))


def test_a_connection_that_stays_away_ends_the_wait(make_poller: MakePoller) -> None:
    poller = make_poller()
    poller.on_run(run("in_progress"), START)
    decision, now = poller.on_error(lookup_error(), START), START
    while not isinstance(decision, Outcome):
        now = decision.at
        decision = poller.on_error(lookup_error(), now)
    error = error_of(decision)
    assert isinstance(error, ConnectionLookupError)
    assert error.run_left_running
    assert "5 minutes without its connection" in str(error)
    assert "in_progress" in str(error)
    assert now - START <= LOOKUP_PATIENCE + 15


def test_the_deadline_holds_without_a_connection(make_poller: MakePoller) -> None:
    poller = make_poller(deadline=20)
    assert poll_again(poller.on_error(lookup_error(), START)).at <= START + 20
    error = error_of(poller.on_error(lookup_error(), START + 20))
    assert isinstance(error, RunWaitTimeoutError)
    assert "'conn'" in str(error)


def test_failed_lookups_are_not_counted_as_failed_requests(make_poller: MakePoller) -> None:
    poller = make_poller(max_consecutive_failures=2)
    for _ in range(5):
        poll_again(poller.on_error(lookup_error(), START))
    poll_again(poller.on_error(retryable_error(), START))
    assert poller.poll_state.failures == 1
