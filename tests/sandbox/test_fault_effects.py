"""The effects of faults on real requests, through plain HTTP and through the real SDK."""

from __future__ import annotations

import datetime as dt
import email.utils
import threading
import time
from typing import Any

import openai
import pytest
import requests

from airflow_provider_openai_run.sandbox import Sandbox
from tests.sandbox.conftest import Http

pytestmark = pytest.mark.filterwarnings("ignore:The Assistants API is deprecated:DeprecationWarning")


KEY = {"authorization": "Bearer sandbox-key"}


@pytest.fixture
def run(sandbox: Sandbox) -> dict[str, Any]:
    run = sandbox.create_run(script="many_steps")
    sandbox.clock.advance(3)
    return run


@pytest.fixture
def path(run: dict[str, Any]) -> str:
    return f"/v1/threads/{run['thread_id']}/runs/{run['id']}"


ERRORS: dict[str, tuple[type[openai.APIStatusError], int]] = {
    "rate_limited": (openai.RateLimitError, 429),
    "server_error": (openai.InternalServerError, 500),
    "bad_gateway": (openai.InternalServerError, 502),
    "unavailable": (openai.InternalServerError, 503),
    "wrong_key": (openai.AuthenticationError, 401),
    "forbidden": (openai.PermissionDeniedError, 403),
    "not_found": (openai.NotFoundError, 404),
}


@pytest.mark.parametrize("kind", ERRORS)
def test_the_sdk_raises_the_error_of_each_status(
    client: openai.OpenAI, sandbox: Sandbox, run: dict[str, Any], kind: str
) -> None:
    error, status = ERRORS[kind]
    sandbox.faults.add(kind, path="/runs/", times=1)
    with pytest.raises(error) as caught:
        client.beta.threads.runs.retrieve(run["id"], thread_id=run["thread_id"])
    assert caught.value.status_code == status
    assert caught.value.request_id is not None
    assert client.beta.threads.runs.retrieve(run["id"], thread_id=run["thread_id"]).id == run["id"]
    assert [request.status for request in sandbox.requests] == [status, 200]


def test_retry_after_can_be_in_seconds(http: Http, sandbox: Sandbox, path: str) -> None:
    sandbox.faults.add("rate_limited", retry_after=2)
    response = http("GET", path)
    assert response.headers["retry-after"] == "2"
    assert response.headers["x-ratelimit-limit-requests"] == "500"
    assert response.headers["x-ratelimit-remaining-requests"] == "0"
    assert response.headers["x-ratelimit-reset-requests"] == "2s"
    assert response.json()["error"]["code"] == "rate_limit_exceeded"


def test_retry_after_can_be_a_date(http: Http, sandbox: Sandbox, path: str) -> None:
    sandbox.faults.add("rate_limited", retry_after=120, form="date")
    time_sent = email.utils.parsedate_to_datetime(http("GET", path).headers["retry-after"])
    assert 100 < (time_sent - dt.datetime.now(dt.UTC)).total_seconds() <= 120


def test_retry_after_can_be_in_milliseconds(http: Http, sandbox: Sandbox, path: str) -> None:
    sandbox.faults.add("rate_limited", retry_after=0.25, form="ms")
    headers = http("GET", path).headers
    assert headers["retry-after-ms"] == "250"
    assert "retry-after" not in headers


def test_retry_after_can_be_omitted(http: Http, sandbox: Sandbox, path: str) -> None:
    sandbox.faults.add("rate_limited", retry_after=None)
    assert "retry-after" not in http("GET", path).headers
    sandbox.faults.clear()
    sandbox.faults.add("unavailable", retry_after=3)
    assert http("GET", path).headers["retry-after"] == "3"


def test_the_sdk_retries_a_failed_request(sandbox: Sandbox, run: dict[str, Any]) -> None:
    sandbox.faults.add("rate_limited", retry_after=0.01, times=2)
    with openai.OpenAI(base_url=sandbox.base_url, api_key=sandbox.api_key) as client:
        client.beta.threads.runs.retrieve(run["id"], thread_id=run["thread_id"])
    assert [request.status for request in sandbox.requests] == [429, 429, 200]


def test_a_bad_gateway_sends_html(http: Http, sandbox: Sandbox, path: str) -> None:
    sandbox.faults.add("bad_gateway")
    response = http("GET", path)
    assert response.headers["content-type"] == "text/html"
    assert "<h1>502 Bad Gateway</h1>" in response.text


def test_the_api_handles_a_request_whose_connection_is_closed(
    client: openai.OpenAI, sandbox: Sandbox
) -> None:
    sandbox.faults.add("cut", times=1)
    with pytest.raises(openai.APIConnectionError):
        client.responses.create(model="gpt-4o", input="x", background=True)
    assert len(sandbox.state()["responses"]) == 1


def test_a_stalled_response_times_out(client: openai.OpenAI, sandbox: Sandbox, run: dict[str, Any]) -> None:
    sandbox.faults.add("stalled", times=1)
    hasty = client.with_options(timeout=0.2)
    with pytest.raises(openai.APITimeoutError):
        hasty.beta.threads.runs.retrieve(run["id"], thread_id=run["thread_id"])
    assert [request.status for request in sandbox.requests] == [None]


def test_a_stall_ends_after_its_seconds(http: Http, sandbox: Sandbox, path: str) -> None:
    sandbox.faults.add("stalled", seconds=0.1)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        http("GET", path)


def test_a_stall_does_not_delay_the_shutdown() -> None:
    with Sandbox() as sandbox:
        sandbox.faults.add("stalled")
        outcome: list[type[Exception]] = []

        def send() -> None:
            try:
                requests.get(f"{sandbox.base_url}/models", headers=KEY, timeout=60)
            except requests.RequestException as error:
                outcome.append(type(error))

        thread = threading.Thread(target=send)
        thread.start()
        deadline = time.monotonic() + 20
        while not sandbox.requests and time.monotonic() < deadline:
            threading.Event().wait(0.01)
    thread.join(20)
    assert not thread.is_alive()
    assert outcome == [requests.exceptions.ChunkedEncodingError]


@pytest.mark.parametrize(("kind", "text"), [("malformed", '{"id": "run_'), ("empty", "")])
def test_a_body_can_be_corrupt(http: Http, sandbox: Sandbox, path: str, kind: str, text: str) -> None:
    sandbox.faults.add(kind)
    response = http("GET", path)
    assert (response.status_code, response.headers["content-type"], response.text) == (
        200,
        "application/json",
        text,
    )


def test_a_slow_response_is_delayed(http: Http, sandbox: Sandbox, path: str) -> None:
    sandbox.faults.add("slow", seconds=0.15)
    began = time.monotonic()
    assert http("GET", path).status_code == 200
    assert time.monotonic() - began >= 0.15


def test_a_run_can_return_404_at_first(client: openai.OpenAI, sandbox: Sandbox, run: dict[str, Any]) -> None:
    sandbox.faults.add("not_found_at_first", path="/runs/", times=2)
    for _ in range(2):
        with pytest.raises(openai.NotFoundError):
            client.beta.threads.runs.retrieve(run["id"], thread_id=run["thread_id"])
    client.beta.threads.runs.retrieve(run["id"], thread_id=run["thread_id"])


def test_poll_after_sets_a_header(http: Http, sandbox: Sandbox, path: str) -> None:
    sandbox.faults.add("poll_after", milliseconds=750)
    assert http("GET", path).headers["openai-poll-after-ms"] == "750"


def test_a_reply_has_any_status_body_and_headers(http: Http, sandbox: Sandbox, path: str) -> None:
    sandbox.faults.add("reply", status=409, body={"detail": "busy"}, headers={"x-a": "b"}, times=1)
    response = http("GET", path)
    assert (response.status_code, response.json(), response.headers["x-a"]) == (409, {"detail": "busy"}, "b")
    sandbox.faults.add("reply", status=418, body="teapot", times=1)
    assert (http("GET", path).text, http("GET", path).status_code) == ("teapot", 200)
    sandbox.faults.add("reply", status=425, times=1)
    assert http("GET", path).json()["error"]["type"] == "server_error"


def pages(http: Http, path: str, most: int = 8) -> list[dict[str, Any]]:
    read: list[dict[str, Any]] = []
    after = None
    while len(read) < most and (not read or read[-1]["has_more"]):
        read.append(http("GET", f"{path}/steps", params={"limit": 20, "order": "asc", "after": after}).json())
        after = read[-1]["last_id"] or after
    return read


def ids(read: list[dict[str, Any]]) -> list[str]:
    return [step["id"] for page in read for step in page["data"]]


def test_has_more_can_be_true_on_every_page(http: Http, sandbox: Sandbox, path: str) -> None:
    sandbox.faults.add("endless_has_more", path="/steps")
    read = pages(http, path)
    assert [len(page["data"]) for page in read] == [20, 20, 5, 0, 0, 0, 0, 0]
    assert all(page["has_more"] for page in read)


def test_a_stuck_cursor_returns_the_first_page_again(http: Http, sandbox: Sandbox, path: str) -> None:
    sandbox.faults.add("stuck_cursor", path="/steps")
    read = pages(http, path)
    assert len(read) == 8
    assert len(set(ids(read))) == 20


def test_endless_pages_have_new_ids(http: Http, sandbox: Sandbox, path: str) -> None:
    sandbox.faults.add("endless_pages", path="/steps")
    read = pages(http, path)
    assert len(set(ids(read))) == 8 * 20
    assert all(page["first_id"] == page["data"][0]["id"] for page in read)


def test_a_page_can_repeat_the_last_step(http: Http, sandbox: Sandbox, path: str) -> None:
    sandbox.faults.add("duplicate_steps", path="/steps")
    read = pages(http, path)
    assert [len(page["data"]) for page in read] == [20, 21, 6]
    assert len(set(ids(read))) == 45


def test_page_faults_leave_other_responses_unchanged(http: Http, sandbox: Sandbox, path: str) -> None:
    for kind in ("endless_has_more", "stuck_cursor", "endless_pages", "duplicate_steps"):
        sandbox.faults.add(kind)
    assert http("GET", path).json()["object"] == "thread.run"
    assert http("GET", path + "x/steps").status_code == 404


def test_the_rate_limit_returns_429(http: Http, sandbox: Sandbox, path: str) -> None:
    sandbox.limit_rate(0)
    response = http("GET", path)
    assert (response.status_code, response.headers["retry-after"]) == (429, "1")
    for unreached in (1000, None):
        sandbox.limit_rate(unreached)
        assert http("GET", path).status_code == 200
