"""A server whose responses have another id at each retrieve: a run keeps the id it was created under."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from airflow.sdk import BaseOperator
from pydantic import BaseModel

from airflow_provider_openai_run.exceptions import AnswerFormatError
from airflow_provider_openai_run.operators.openai_run import (
    OpenAICancelRunOperator,
    OpenAICreateResponseOperator,
    OpenAIGetRunOperator,
)
from airflow_provider_openai_run.sensors.openai_run import OpenAIRunSensor
from tests.airflow_task import AirflowTask
from tests.fake_clock import FakeClock
from tests.fake_http_server import FakeHttpServer, ReceivedRequest, Reply
from tests.hooks.transports import CONN_ID, connect
from tests.hooks.transports import server as server  # noqa: PLC0414 - a fixture
from tests.owned_runs.task_attempts import TaskAttempts, watched
from tests.sandbox_fixtures import KEY

#: How many times a run is retrieved before it has ended.
_ACTIVE_POLLS = 3


class Colour(BaseModel):
    name: str


class Gateway:
    """Knows a run by the id that its creation returned, and calls it by another one in each response."""

    def __init__(self, answer: str = "Hi") -> None:
        self.answer = answer
        self.polls = {"resp_0": 0}
        self._other_ids = itertools.count(1)

    def reply(self, request: ReceivedRequest) -> Reply:
        parts = request.path.removesuffix("/cancel").split("/")
        if parts[-1] == "responses":
            run_id = f"resp_{len(self.polls)}"
            self.polls[run_id] = 0
            return 200, {"id": run_id, "status": "queued"}
        run_id = parts[-1]
        if run_id not in self.polls:
            return 404, {"error": {"message": f"No response {run_id}"}}
        self.polls[run_id] += 1
        has_ended = self.polls[run_id] > _ACTIVE_POLLS
        content = [{"type": "output_text", "text": self.answer}]
        return 200, {
            "id": f"resp_other_{next(self._other_ids)}",
            "status": "completed" if has_ended else "in_progress",
            "output": [{"id": "msg_1", "type": "message", "content": content}],
        }


@pytest.fixture
def gateway(server: FakeHttpServer, monkeypatch: pytest.MonkeyPatch) -> Gateway:
    gateway = Gateway()
    server.reply = gateway.reply
    connect(monkeypatch, host=f"{server.url}/v1", password=KEY)
    return gateway


def run_to_end(make_task: type[BaseOperator], clock: FakeClock, **arguments: Any) -> Any:
    end = AirflowTask(lambda: make_task(task_id="task", conn_id=CONN_ID, **arguments), clock).run_to_end()
    assert (end.state, end.error) == ("success", None)
    return end.xcoms


@pytest.mark.parametrize("options", [{"deferrable": True}, {"deferrable": False, "mode": "reschedule"}])
def test_a_sensor_waits_under_the_id_it_was_given(
    gateway: Gateway, fake_clock: FakeClock, options: dict[str, Any]
) -> None:
    xcoms = run_to_end(OpenAIRunSensor, fake_clock, run_id="resp_0", timeout=1000, **options)
    assert gateway.polls["resp_0"] == _ACTIVE_POLLS + 1
    assert "resp_other" not in json.dumps(xcoms)


@pytest.mark.parametrize("deferrable", [False, True])
def test_the_id_in_xcom_is_the_one_of_the_request(
    gateway: Gateway, fake_clock: FakeClock, deferrable: bool
) -> None:
    xcoms = run_to_end(
        OpenAIGetRunOperator, fake_clock, run_id="resp_0", deferrable=deferrable, wait_for_completion=True
    )
    assert (xcoms["id"], xcoms["return_value"]["id"]) == ("resp_0", "resp_0")
    assert gateway.polls["resp_0"] > _ACTIVE_POLLS


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_created_run_keeps_the_id_of_its_creation(
    gateway: Gateway, fake_clock: FakeClock, deferrable: bool
) -> None:
    xcoms = run_to_end(
        OpenAICreateResponseOperator, fake_clock, model="gpt-5.2", input="Hi", deferrable=deferrable
    )
    assert (xcoms["id"], xcoms["return_value"]["id"]) == ("resp_1", "resp_1")
    assert xcoms["token_usage"]["run_ids"] == ["resp_1"]
    assert gateway.polls["resp_1"] > _ACTIVE_POLLS


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_cancelled_run_keeps_its_id(gateway: Gateway, fake_clock: FakeClock, deferrable: bool) -> None:
    xcoms = run_to_end(
        OpenAICancelRunOperator, fake_clock, run_id="resp_0", deferrable=deferrable, wait_for_completion=True
    )
    assert xcoms["return_value"] == {
        "run_id": "resp_0",
        "thread_id": None,
        "api": "responses",
        "status": "completed",
    }
    assert gateway.polls["resp_0"] > 1


def test_a_retry_after_a_bad_answer_creates_another_run(gateway: Gateway, fake_clock: FakeClock) -> None:
    task = OpenAICreateResponseOperator(
        task_id="task",
        conn_id=CONN_ID,
        model="gpt-5.2",
        input="Hi",
        text_format=Colour,
        deferrable=False,
    )
    attempts = TaskAttempts(task)
    with pytest.raises(AnswerFormatError):
        attempts.begin()
    gateway.answer = '{"name": "red"}'
    assert attempts.begin()["id"] == "resp_2"
    assert set(gateway.polls) == {"resp_0", "resp_1", "resp_2"}


def test_a_retry_continues_the_run_that_was_created(gateway: Gateway, fake_clock: FakeClock) -> None:
    task = OpenAICreateResponseOperator(
        task_id="task", conn_id=CONN_ID, model="gpt-5.2", input="Hi", deferrable=True
    )
    attempts = TaskAttempts(task)
    assert watched(attempts.begin()).ref.run_id == "resp_1"
    assert watched(attempts.begin()).ref.run_id == "resp_1"
    assert set(gateway.polls) == {"resp_0", "resp_1"}
