"""A further API needs one module and one entry in the registry; nothing else knows it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from airflow_provider_openai_run.api import registry
from airflow_provider_openai_run.exceptions import InvalidRunReferenceError, RunFailedError
from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook
from airflow_provider_openai_run.operators.openai_run import OpenAICancelRunOperator, OpenAIGetRunOperator
from airflow_provider_openai_run.sensors.openai_run import OpenAIRunSensor
from airflow_provider_openai_run.types.run_ref import RunRef
from tests.airflow_task import AirflowTask, TaskAttempt
from tests.api.toy_api import ToyApi
from tests.fake_clock import FakeClock
from tests.fake_http_server import FakeHttpServer, ReceivedRequest, Reply, fake_http_server
from tests.run_page.pages import ParsedPage, make_view
from tests.sandbox_fixtures import Connect

TOY: dict[str, Any] = {"run_id": "job_1", "api": "toy"}
MODES: dict[str, dict[str, Any]] = {"poke": {"deferrable": False}, "deferred": {"deferrable": True}}


@dataclass
class ToyServer:
    """
    A server with one job.

    :param final_state: the state after ``working_polls`` polls.
    """

    http: FakeHttpServer
    final_state: str = "done"
    working_polls: int = 2
    polls: int = 0
    events: list[dict[str, str]] = field(
        default_factory=lambda: [{"id": "event_1", "what": "wheels on"}, {"id": "event_2", "what": "painted"}]
    )

    def reply(self, request: ReceivedRequest) -> Reply:
        if request.path.endswith("/stop"):
            return 200, {"id": "job_1", "state": "stopped"}
        if request.path.endswith("/events"):
            return 200, {"data": self.events}
        assert request.path.endswith("/jobs/job_1")
        self.polls += 1
        state = "working" if self.polls <= self.working_polls else self.final_state
        problem = "A wheel fell off." if state == "broken" else None
        return 200, {"id": "job_1", "state": state, "robot": "r2", "problem": problem}


@pytest.fixture
def toy_server(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> Iterator[ToyServer]:
    monkeypatch.setitem(registry.APIS, "toy", ToyApi())
    with fake_http_server() as http:
        server = ToyServer(http)
        http.reply = server.reply
        extra = {
            "run_link_template": "https://toys.example/{run_id}",
            # The clients of the tasks are never closed; this way they keep no open socket.
            "openai_client_kwargs": {"default_headers": {"Connection": "close"}},
        }
        connect(host=f"{http.url}/v1", extra=extra)
        yield server


@pytest.mark.usefixtures("toy_server")
def test_the_hook_waits_for_a_run_of_a_further_api(fake_clock: FakeClock) -> None:
    run = OpenAIRunHook().wait_for_run("job_1", api="toy")
    assert (run.api, run.id, run.thread_id, run.status, run.model) == (
        "toy",
        "job_1",
        None,
        "completed",
        "r2",
    )
    assert [step.id for step in run.steps or ()] == ["event_1", "event_2"]
    assert fake_clock.slept


@pytest.mark.usefixtures("toy_server")
def test_the_hook_lists_the_steps_of_a_further_api() -> None:
    assert [step.details for step in OpenAIRunHook().list_steps("job_1", api="toy")] == [
        '"wheels on"',
        '"painted"',
    ]


@pytest.mark.parametrize("mode", MODES)
def test_the_sensor_waits_for_a_run_of_a_further_api(
    toy_server: ToyServer, fake_clock: FakeClock, mode: str
) -> None:
    task = AirflowTask(lambda: OpenAIRunSensor(task_id="wait", **TOY, **MODES[mode]), fake_clock)
    result = task.run_to_end()
    assert (result.state, result.error) == ("success", None)
    assert result.xcoms["return_value"] == {
        "run_id": "job_1",
        "thread_id": None,
        "api": "toy",
        "status": "completed",
    }
    assert toy_server.polls == 3


@pytest.mark.parametrize("mode", MODES)
def test_a_failed_run_of_a_further_api_fails_the_sensor(
    toy_server: ToyServer, fake_clock: FakeClock, mode: str
) -> None:
    toy_server.final_state = "broken"
    task = AirflowTask(lambda: OpenAIRunSensor(task_id="wait", **TOY, **MODES[mode]), fake_clock)
    result = task.run_to_end()
    assert isinstance(result.error, RunFailedError)
    assert "A wheel fell off" in str(result.error)
    assert (result.error.api, result.error.run_id, result.error.parent_id) == ("toy", "job_1", None)


@pytest.mark.usefixtures("toy_server")
def test_the_cancel_operator_cancels_a_run_of_a_further_api(fake_clock: FakeClock) -> None:
    result = AirflowTask(lambda: OpenAICancelRunOperator(task_id="stop", **TOY), fake_clock).run_to_end()
    assert result.xcoms["return_value"]["status"] == "cancelled"


def retrieve(fake_clock: FakeClock, mode: str) -> TaskAttempt:
    """Let the get operator wait for the run and retrieve it."""
    arguments = {**TOY, **MODES[mode], "wait_for_completion": True}
    return AirflowTask(lambda: OpenAIGetRunOperator(task_id="get", **arguments), fake_clock).run_to_end()


@pytest.mark.usefixtures("toy_server")
@pytest.mark.parametrize("mode", MODES)
def test_the_get_operator_retrieves_a_run_of_a_further_api(fake_clock: FakeClock, mode: str) -> None:
    result = retrieve(fake_clock, mode)
    assert (result.state, result.error) == ("success", None)
    assert (result.xcoms["id"], result.xcoms["api"], result.xcoms["status"]) == ("job_1", "toy", "completed")
    assert [step["id"] for step in result.xcoms["steps"]] == ["event_1", "event_2"]


@pytest.mark.usefixtures("toy_server")
def test_the_page_shows_a_run_of_a_further_api(fake_clock: FakeClock) -> None:
    page = ParsedPage(make_view(retrieve(fake_clock, "poke").xcoms))
    for text in ("job_1", "Toy API", "completed", "r2", "painted"):
        assert text in page.text


@pytest.mark.usefixtures("toy_server")
def test_a_run_of_a_further_api_has_a_link(fake_clock: FakeClock) -> None:
    assert "https://toys.example/job_1" in retrieve(fake_clock, "poke").xcoms.values()


@pytest.mark.usefixtures("toy_server")
def test_a_further_api_is_named_in_the_error_for_an_unknown_api() -> None:
    with pytest.raises(InvalidRunReferenceError, match="'toy'"):
        registry.get_api("train")


@pytest.mark.usefixtures("toy_server")
def test_a_stored_reference_to_a_further_api_is_read_back() -> None:
    ref = registry.run_ref("job_1", api="toy")
    assert ref == RunRef("toy", "job_1")
    assert registry.ref_from_json(ref.ids) == ref
    assert registry.author_ids(ref) == {"run_id": "job_1", "thread_id": None, "api": "toy"}
