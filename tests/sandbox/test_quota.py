"""The limits per minute, and what a bulk of responses needs of the sandbox."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from airflow_provider_openai_run.sandbox import Sandbox
from airflow_provider_openai_run.sandbox.quota import Quota
from tests.sandbox.conftest import Http


def create(client: openai.OpenAI, **params: Any) -> Any:
    return client.responses.with_raw_response.create(
        **{"model": "gpt-5.2", "input": "Hi", "background": True, **params}
    )


def test_each_response_has_the_headers_of_the_limits(client: openai.OpenAI, sandbox: Sandbox) -> None:
    sandbox.limit_responses(requests_per_minute=60, tokens_per_minute=6000)
    headers = create(client, max_output_tokens=500).headers
    assert (headers["x-ratelimit-limit-requests"], headers["x-ratelimit-limit-tokens"]) == ("60", "6000")
    assert headers["x-ratelimit-remaining-requests"] == "59"
    assert headers["x-ratelimit-reset-requests"] == "1s"
    assert 5400 < int(headers["x-ratelimit-remaining-tokens"]) < 5500
    assert headers["x-ratelimit-reset-tokens"].endswith("s")


def test_requests_beyond_the_limit_are_refused_until_it_refills(
    client: openai.OpenAI, sandbox: Sandbox
) -> None:
    sandbox.limit_responses(requests_per_minute=60, burst_seconds=2)
    create(client)
    create(client)
    with pytest.raises(openai.RateLimitError, match="Rate limit reached on requests per min") as caught:
        create(client)
    assert caught.value.response.headers["retry-after-ms"] == "1000"
    assert caught.value.response.headers["x-ratelimit-remaining-requests"] == "0"
    assert (sandbox.refused_responses, len(sandbox.created_responses)) == (1, 2)
    sandbox.clock.advance(1)
    create(client)
    with pytest.raises(openai.RateLimitError):
        create(client)


def test_tokens_beyond_the_limit_are_refused(client: openai.OpenAI, sandbox: Sandbox) -> None:
    sandbox.limit_responses(tokens_per_minute=1000)
    create(client, max_output_tokens=900)
    with pytest.raises(openai.RateLimitError, match="Rate limit reached on tokens per min: Limit 1000"):
        create(client, max_output_tokens=900)
    sandbox.clock.advance(60)
    # More than the limit itself passes when nothing else does.
    create(client, max_output_tokens=5000)


def test_requests_that_create_nothing_are_not_counted(client: openai.OpenAI, sandbox: Sandbox) -> None:
    response = sandbox.create_response()
    sandbox.limit_responses(requests_per_minute=1)
    for _ in range(3):
        raw = client.responses.with_raw_response.retrieve(response["id"])
        assert "x-ratelimit-limit-requests" not in raw.headers
    client.responses.cancel(response["id"])


def test_the_limits_can_be_set_over_http_and_removed(
    client: openai.OpenAI, sandbox: Sandbox, http: Http
) -> None:
    assert http("POST", "/_sandbox/response_limits", json={"requests_per_minute": 1}).status_code == 200
    create(client)
    with pytest.raises(openai.RateLimitError):
        create(client)
    assert sandbox.state()["refused_responses"] == 1
    assert http("POST", "/_sandbox/response_limits", json={}).status_code == 200
    assert "x-ratelimit-limit-requests" not in create(client).headers


@pytest.mark.parametrize("limits", [{"requests_per_minute": 0}, {"tokens_per_minute": -1}, {"speed": 3}])
def test_limits_that_are_none_are_refused(http: Http, limits: dict[str, Any]) -> None:
    assert http("POST", "/_sandbox/response_limits", json=limits).status_code == 400


def test_the_limits_of_a_clock_that_runs_are_in_real_time() -> None:
    assert Sandbox(clock=None)._server_state.quota._now is Quota()._now


def test_every_nth_response_gets_another_script(client: openai.OpenAI, sandbox: Sandbox) -> None:
    sandbox.faults.add("script", method="POST", path="/v1/responses$", every=3, script="failed_at_once")
    statuses = [create(client).parse().status for _ in range(6)]
    assert statuses == ["queued", "queued", "failed"] * 2


def test_a_fault_of_a_path_that_ends_so_leaves_longer_paths_alone(
    client: openai.OpenAI, sandbox: Sandbox
) -> None:
    response = sandbox.create_response()
    sandbox.faults.add("server_error", method="POST", path="/responses$")
    client.responses.cancel(response["id"])
    with pytest.raises(openai.InternalServerError):
        create(client)


def test_one_response_is_created_for_a_key_if_keys_are_honoured(
    client: openai.OpenAI, sandbox: Sandbox, http: Http
) -> None:
    headers = {"Idempotency-Key": "question-1"}
    first, second = (create(client, extra_headers=headers).parse().id for _ in range(2))
    assert first != second
    assert http("POST", "/_sandbox/idempotency_keys", json={"honoured": True}).status_code == 200
    third, fourth = (create(client, extra_headers=headers).parse().id for _ in range(2))
    assert third == fourth
    assert create(client, extra_headers={"Idempotency-Key": "question-2"}).parse().id != third


def test_all_responses_that_were_created_are_listed_with_their_metadata(
    client: openai.OpenAI, sandbox: Sandbox, http: Http
) -> None:
    response = create(client, metadata={"custom_id": "a"}, extra_headers={"Idempotency-Key": "k"}).parse()
    client.responses.delete(response.id)
    created = http("GET", "/_sandbox/created_responses").json()
    assert created == sandbox.created_responses
    assert [(each["id"], each["metadata"], each["idempotency_key"]) for each in created] == [
        (response.id, {"custom_id": "a"}, "k")
    ]


@pytest.mark.parametrize("window", ["soonest", "2h", "8h"])
def test_the_completion_window_of_a_response_is_returned(client: openai.OpenAI, window: str) -> None:
    body = {"background_options": {"completion_window": window}}
    response = create(client, extra_body=body).parse().to_dict()
    assert response["background_options"]["completion_window"] == window


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"background_options": {"completion_window": "3h"}}, "Supported values are: 'soonest', '2h', '8h'"),
        ({"background_options": {"completion_window": "2h"}, "background": False}, "needs 'background'"),
    ],
)
def test_an_invalid_completion_window_is_refused(
    client: openai.OpenAI, params: dict[str, Any], message: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=message):
        create(client, extra_body=params)
