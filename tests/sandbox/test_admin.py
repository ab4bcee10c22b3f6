"""The sandbox driven from another process."""

from __future__ import annotations

import requests

from airflow_provider_openai_run.sandbox import Sandbox
from tests.sandbox.conftest import Http


def test_the_health_check_needs_no_key(sandbox: Sandbox) -> None:
    response = requests.get(f"{sandbox.admin_url}/health", timeout=30)
    assert response.json() == {"status": "ok"}


def test_admin_requests_are_not_logged(http: Http, sandbox: Sandbox) -> None:
    http("GET", "/_sandbox/state")
    http("GET", "/v1/models")
    kept = http("GET", "/_sandbox/requests").json()
    assert kept["count"] == len(kept["requests"]) == 1
    assert kept["requests"][0]["path"] == "/v1/models"


def test_faults_do_not_affect_admin_requests(http: Http, sandbox: Sandbox) -> None:
    sandbox.faults.add("server_error")
    sandbox.limit_rate(0)
    assert http("GET", "/_sandbox/state").json()["requests_per_second"] == 0


def test_the_state_lists_runs_responses_and_threads(http: Http, sandbox: Sandbox) -> None:
    run, response = sandbox.create_run(script="instant"), sandbox.create_response()
    state = http("GET", "/_sandbox/state").json()
    assert state["runs"] == {run["id"]: "completed"}
    assert state["responses"] == {response["id"]: "queued"}
    assert state["threads"] == [run["thread_id"]]
    assert (state["speed"], state["now"], state["faults"]) == (0, sandbox.clock.now(), [])


def test_the_clock_is_advanced(http: Http, sandbox: Sandbox) -> None:
    before = sandbox.clock.now()
    assert http("POST", "/_sandbox/clock/advance", json={"seconds": 2.5}).json() == {"now": before + 2.5}
    for seconds in (-1, "1", None):
        assert http("POST", "/_sandbox/clock/advance", json={"seconds": seconds}).status_code == 400


def test_a_script_is_added_and_used(http: Http, sandbox: Sandbox) -> None:
    script = {"base": "failed", "seconds": 60}
    assert http("PUT", "/_sandbox/scripts/late_failure", json=script).json()["seconds"] == 60
    assert "late_failure" in http("GET", "/_sandbox/scripts").json()
    http("POST", "/_sandbox/default_script", json={"script": "late_failure"})
    run = sandbox.create_run()
    sandbox.clock.advance(59)
    assert sandbox.state()["runs"] == {run["id"]: "in_progress"}
    sandbox.clock.advance(1)
    assert sandbox.state()["runs"] == {run["id"]: "failed"}


def test_an_invalid_script_returns_400(http: Http, sandbox: Sandbox) -> None:
    response = http("PUT", "/_sandbox/scripts/broken", json={"phases": []})
    assert (response.status_code, response.json()["error"]["param"]) == (400, "script")
    assert http("POST", "/_sandbox/default_script", json={"script": "nope"}).status_code == 400
    assert http("POST", "/_sandbox/default_script", json={"script": 5}).status_code == 400


def test_seeded_objects_are_returned_unchanged(http: Http, sandbox: Sandbox) -> None:
    run = {"id": "r", "thread_id": "t", "status": "odd"}
    http("POST", "/_sandbox/runs", json={"run": run, "steps": [{"id": "s"}]})
    assert http("GET", "/v1/threads/t/runs/r").json() == run
    assert http("GET", "/v1/threads/t/runs/r/steps").json()["data"] == [{"id": "s"}]
    http("POST", "/_sandbox/responses", json={"response": {"id": "x"}, "input_items": [{"id": "i"}]})
    assert http("GET", "/v1/responses/x").json() == {"id": "x"}
    assert http("GET", "/v1/responses/x/input_items").json()["data"] == [{"id": "i"}]
    assert http("POST", "/_sandbox/threads", json={"id": "thread_abc"}).json()["id"] == "thread_abc"
    assert http("POST", "/_sandbox/runs", json={"run": {"id": "r"}}).status_code == 400
    assert http("POST", "/_sandbox/responses", json={}).status_code == 400


def test_faults_are_added_listed_and_removed(http: Http, sandbox: Sandbox) -> None:
    fault = http(
        "POST", "/_sandbox/faults", json={"kind": "rate_limited", "times": 1, "retry_after": 2}
    ).json()
    assert fault["kind"] == "rate_limited"
    response = http("GET", "/v1/models")
    assert (response.status_code, response.headers["retry-after"]) == (429, "2")
    assert http("GET", "/_sandbox/faults").json()[0]["hits"] == 1
    assert http("DELETE", f"/_sandbox/faults/{fault['id']}").json() == []
    http("POST", "/_sandbox/faults", json={"kind": "forbidden"})
    assert http("GET", "/v1/models").status_code == 403
    assert http("DELETE", "/_sandbox/faults").json() == []
    assert http("GET", "/v1/models").status_code == 200


def test_an_invalid_fault_returns_400(http: Http, sandbox: Sandbox) -> None:
    assert http("POST", "/_sandbox/faults", json={"kind": "nope"}).status_code == 400
    assert http("POST", "/_sandbox/faults", json={"kind": "cut", "kin": "x"}).status_code == 400
    assert http("DELETE", "/_sandbox/faults/first").status_code == 400


def test_the_rate_limit_is_set_and_removed(http: Http, sandbox: Sandbox) -> None:
    for per_second, status in ((0, 429), (1000, 200), (0, 429), (None, 200)):
        http("POST", "/_sandbox/rate_limit", json={"per_second": per_second})
        assert http("GET", "/v1/models").status_code == status
    for wrong in ("1", -1, True):
        assert http("POST", "/_sandbox/rate_limit", json={"per_second": wrong}).status_code == 400


def test_a_reset_deletes_everything(http: Http, sandbox: Sandbox) -> None:
    sandbox.create_run()
    sandbox.create_response()
    sandbox.add_script("mine", "failed")
    sandbox.set_default_script("mine")
    sandbox.faults.add("server_error")
    sandbox.limit_rate(1000)
    http("GET", "/v1/models")
    state = http("POST", "/_sandbox/reset").json()
    assert (state["runs"], state["responses"], state["threads"], state["faults"]) == ({}, {}, [], [])
    assert (state["requests"], state["requests_per_second"]) == (0, None)
    assert "mine" not in sandbox.scripts
    sandbox.create_run()
    sandbox.clock.advance(3)
    assert list(sandbox.state()["runs"].values()) == ["completed"]


def test_a_run_link_shows_a_run_with_its_steps_without_a_key(sandbox: Sandbox) -> None:
    run = sandbox.create_run(script="instant")
    page = requests.get(f"{sandbox.admin_url}/runs/{run['id']}", timeout=30).json()
    assert page["run"] == run
    assert [step["type"] for step in page["steps"]] == ["message_creation"]


def test_a_run_link_shows_a_response_with_its_input(sandbox: Sandbox) -> None:
    response = sandbox.create_response(input="Why?")
    page = requests.get(f"{sandbox.admin_url}/runs/{response['id']}", timeout=30).json()
    assert page["response"] == response
    assert page["input_items"][0]["content"][0]["text"] == "Why?"


def test_an_unknown_run_link_returns_404(sandbox: Sandbox) -> None:
    response = requests.get(f"{sandbox.admin_url}/runs/run_x", timeout=30)
    assert response.status_code == 404
    assert response.json()["error"]["message"] == "No run or response found with id 'run_x'."


def test_run_links_need_the_key_where_other_machines_reach_them() -> None:
    with Sandbox(host="0.0.0.0", allow_remote=True) as sandbox:  # noqa: S104 - it is what is tested
        run = sandbox.create_run()
        url = f"{sandbox.admin_url.replace('0.0.0.0', '127.0.0.1')}/runs/{run['id']}"  # noqa: S104
        assert requests.get(url, timeout=30).status_code == 401
        key = {"authorization": f"Bearer {sandbox.api_key}"}
        assert requests.get(url, headers=key, timeout=30).json()["run"] == run
