"""Starting, stopping, and where it listens."""

from __future__ import annotations

import json
import socket
import threading
import urllib.parse

import pytest
import requests

from airflow_provider_openai_run.sandbox import Sandbox
from airflow_provider_openai_run.sandbox.server import is_loopback

KEY = {"authorization": "Bearer sandbox-key"}


def test_a_stopped_sandbox_leaves_no_thread_and_no_socket() -> None:
    before = set(threading.enumerate())
    with Sandbox() as sandbox:
        url = f"{sandbox.base_url}/models"
        assert requests.get(url, headers=KEY, timeout=30).status_code == 200
        assert set(threading.enumerate()) > before
    assert set(threading.enumerate()) == before
    with pytest.raises(requests.ConnectionError):
        requests.get(url, headers=KEY, timeout=30)


def test_an_idle_connection_does_not_delay_the_shutdown() -> None:
    before = set(threading.enumerate())
    with Sandbox() as sandbox, requests.Session() as session:
        session.get(f"{sandbox.base_url}/models", headers=KEY, timeout=30)
        stopping = threading.Thread(target=sandbox.stop)
        stopping.start()
        stopping.join(20)
        assert not stopping.is_alive()
    assert set(threading.enumerate()) == before


def test_the_data_outlives_a_restart_of_the_server() -> None:
    sandbox = Sandbox()
    run = sandbox.create_run(script="queued")
    for _ in range(2):
        with sandbox:
            path = f"{sandbox.base_url}/threads/{run['thread_id']}/runs/{run['id']}"
            assert requests.get(path, headers=KEY, timeout=30).json()["id"] == run["id"]


def test_several_sandboxes_can_run_at_once() -> None:
    with Sandbox() as first, Sandbox(api_key="another") as second:
        assert first.base_url != second.base_url
        first.create_run()
        assert (len(first.state()["runs"]), len(second.state()["runs"])) == (1, 0)
        assert requests.get(f"{second.base_url}/models", headers=KEY, timeout=30).status_code == 401


def test_stopping_twice_is_allowed() -> None:
    sandbox = Sandbox()
    sandbox.start()
    sandbox.stop()
    sandbox.stop()


def test_a_port_in_use_raises_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        sandbox = Sandbox(port=taken.getsockname()[1])
        with pytest.raises(OSError, match="in use"):
            sandbox.start()


def test_the_url_is_unknown_before_the_socket_is_bound() -> None:
    with pytest.raises(RuntimeError, match="no port before"):
        _ = Sandbox().base_url


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "::1", "localhost"])
def test_loopback_addresses_are_accepted(host: str) -> None:
    assert is_loopback(host)
    Sandbox(host=host)


EVERYWHERE = "0.0.0.0"  # noqa: S104 - it is what must be refused


@pytest.mark.parametrize(
    "host", [EVERYWHERE, "::", "192.168.1.5", "example.com", "", "127.0.0.1.example.com"]
)
def test_other_addresses_are_rejected(host: str) -> None:
    with pytest.raises(ValueError, match="is not a loopback address"):
        Sandbox(host=host)


def test_allow_remote_accepts_other_addresses() -> None:
    sandbox = Sandbox(host="192.168.1.5", allow_remote=True)
    assert sandbox.api_key == "sandbox-key"


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_it_listens_on_ipv6_too() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine's loopback has no IPv6")
    with Sandbox(host="::1") as sandbox:
        assert sandbox.base_url.startswith("http://[::1]:")
        assert requests.get(f"{sandbox.base_url}/models", headers=KEY, timeout=30).status_code == 200


def test_the_connection_is_available_as_json_and_as_uri() -> None:
    with Sandbox(api_key="k/e:y@") as sandbox:
        assert json.loads(sandbox.connection_json()) == {
            "conn_type": "openai",
            "host": sandbox.base_url,
            "password": "k/e:y@",
        }
        extra = json.loads(sandbox.connection_json(run_links=True))["extra"]
        assert extra == {"run_link_template": f"{sandbox.admin_url}/runs/{{run_id}}"}
        parsed = urllib.parse.urlsplit(sandbox.airflow_connection_uri)
        assert parsed.scheme == "openai"
        assert urllib.parse.unquote(parsed.password or "") == "k/e:y@"
        assert urllib.parse.unquote(parsed.netloc.rpartition("@")[2]) == sandbox.base_url


def test_the_api_key_can_be_changed_while_the_server_runs() -> None:
    with Sandbox() as sandbox:
        sandbox.api_key = "rotated"
        url = f"{sandbox.base_url}/models"
        assert requests.get(url, headers=KEY, timeout=30).status_code == 401
        assert requests.get(url, headers={"authorization": "Bearer rotated"}, timeout=30).status_code == 200


def test_runs_and_responses_are_listed_oldest_first() -> None:
    sandbox = Sandbox()
    first, second = sandbox.create_run(script="instant"), sandbox.create_run(script="instant")
    response = sandbox.create_response(script="instant")
    assert sandbox.list_runs() == [first, second]
    assert sandbox.list_runs(second["thread_id"]) == [second]
    assert sandbox.list_responses() == [response]


def test_an_unknown_default_script_raises_an_error() -> None:
    with pytest.raises(ValueError, match="there is no script 'nope'"):
        Sandbox(default_script="nope")
