"""Arguments and checkpoints that other versions of the provider have stored in Airflow's database."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest

from airflow_provider_openai_run.events.checkpoint import ThreadCheckpoint
from airflow_provider_openai_run.polling.options import PollState
from airflow_provider_openai_run.triggers import _stored_arguments
from airflow_provider_openai_run.triggers.openai_run import OpenAIOwnedRunTrigger, OpenAIRunTrigger
from airflow_provider_openai_run.triggers.openai_run_event import OpenAIRunEventTrigger
from airflow_provider_openai_run.types.run_ref import RunRef

#: What version 0.1.0 stored for a run of a thread, for a response, and for an asset watcher.
RUN_OF_0_1_0 = """
["airflow_provider_openai_run.triggers.openai_run.OpenAIRunTrigger",
 {"conn_id": "openai_default", "run_id": "run_1", "thread_id": "thread_1", "started_at": 1795000000.25,
  "deadline": 1795003600.25, "poll_interval": 5.0, "max_poll_interval": null, "on_requires_action": "wait",
  "max_consecutive_failures": 20,
  "so_far": {"status": "in_progress", "failures": 2, "not_before": 1795000007.5}, "publish": false}]
"""
RESPONSE_OF_0_1_0 = """
["airflow_provider_openai_run.triggers.openai_run.OpenAIOwnedRunTrigger",
 {"conn_id": "openai_default", "run_id": "resp_1", "thread_id": null, "started_at": 1795000000.25,
  "deadline": null, "poll_interval": 0.5, "max_poll_interval": 30.0, "on_requires_action": "return",
  "max_consecutive_failures": 3, "so_far": {"status": null, "failures": 0, "not_before": 0.0},
  "publish": true}]
"""
WATCHER_OF_0_1_0 = """
["airflow_provider_openai_run.triggers.openai_run_event.OpenAIRunEventTrigger",
 {"thread_id": "thread_1", "conn_id": "openai_default", "statuses": ["expired", "failed"],
  "include_past": false, "poll_interval": 5.0, "max_poll_interval": 60.0}]
"""
CHECKPOINT_OF_0_1_0 = """
{"horizon": 1794999400, "settled": {"run_1": 1795000000, "run_2": null}, "open": ["run_3", "run_4"]}
"""


@pytest.fixture(autouse=True)
def _no_earlier_warning() -> Iterator[None]:
    """Forget which unknown arguments were logged before: each set of names is logged once per process."""
    _stored_arguments._log_ignored.cache_clear()
    yield
    _stored_arguments._log_ignored.cache_clear()


def load(stored: str, **more: Any) -> Any:
    """Create a trigger from its stored class path and arguments, as Airflow's triggerer does."""
    classpath, arguments = json.loads(stored)
    module, _, name = classpath.rpartition(".")
    return getattr(import_module(module), name)(**arguments, **more)


def test_a_run_trigger_of_0_1_0_loads() -> None:
    trigger = load(RUN_OF_0_1_0)

    assert type(trigger) is OpenAIRunTrigger
    assert trigger.ref == RunRef("assistants", "run_1", "thread_1")
    assert trigger.poll_state == PollState(status="in_progress", failures=2, not_before=1795000007.5)
    assert (trigger.options.started_at, trigger.options.deadline) == (1795000000.25, 1795003600.25)
    assert trigger.push_progress is False


def test_a_response_trigger_of_0_1_0_loads() -> None:
    trigger = load(RESPONSE_OF_0_1_0)

    assert type(trigger) is OpenAIOwnedRunTrigger
    assert trigger.ref == RunRef("responses", "resp_1")
    assert trigger.options.on_requires_action == "return"
    assert (trigger.options.poll_interval, trigger.options.max_poll_interval) == (0.5, 30.0)
    assert trigger.push_progress is True


@pytest.mark.parametrize("stored", [RUN_OF_0_1_0, RESPONSE_OF_0_1_0])
def test_a_loaded_trigger_stores_only_present_names(stored: str) -> None:
    _, arguments = load(stored).serialize()

    assert {"api", "run_id", "parent_id", "poll_state", "push_progress"} <= arguments.keys()
    assert not {"thread_id", "so_far", "publish"} & arguments.keys()


@pytest.mark.parametrize("stored", [RUN_OF_0_1_0, RESPONSE_OF_0_1_0, WATCHER_OF_0_1_0])
def test_known_stored_arguments_log_nothing(stored: str, caplog: pytest.LogCaptureFixture) -> None:
    load(stored)

    assert caplog.text == ""


def test_an_event_trigger_of_0_1_0_loads_and_keeps_its_identity() -> None:
    trigger = load(WATCHER_OF_0_1_0)

    assert type(trigger) is OpenAIRunEventTrigger
    assert list(trigger.serialize()) == json.loads(WATCHER_OF_0_1_0)
    assert trigger._state_key() == "openai_runs:thread_1:566657a4855c"


def test_a_checkpoint_of_0_1_0_is_read() -> None:
    checkpoint = ThreadCheckpoint.from_json(json.loads(CHECKPOINT_OF_0_1_0))

    assert checkpoint == ThreadCheckpoint(
        1794999400, {"run_1": 1795000000, "run_2": None}, ("run_3", "run_4")
    )
    assert ThreadCheckpoint.from_json(checkpoint.to_json()) == checkpoint


@pytest.mark.parametrize("stored", [RUN_OF_0_1_0, RESPONSE_OF_0_1_0, WATCHER_OF_0_1_0])
def test_arguments_of_a_newer_version_are_ignored_with_one_line(
    stored: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    expected = load(stored).serialize()

    for _ in range(3):
        assert load(stored, newer=60, another="x").serialize() == expected

    (record,) = caplog.records
    assert "does not know: another, newer" in record.getMessage()


def test_unknown_fields_of_the_poll_state_are_ignored(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    state = {"status": "queued", "last_output": 3}

    trigger = OpenAIRunTrigger(conn_id="c", run_id="resp_1", started_at=0.0, poll_state=state)

    assert trigger.poll_state == PollState(status="queued")
    assert "last_output" in caplog.text


@pytest.mark.parametrize(
    "arguments",
    [
        {"api": "unheard_of"},
        {"api": "assistants", "parent_id": None},
        {"run_id": "../x"},
        {"on_requires_action": "postpone"},
        {"poll_interval": -1},
        {"started_at": None},
    ],
)
def test_invalid_stored_arguments_raise_what_the_triggerer_handles(arguments: dict[str, Any]) -> None:
    valid = {"conn_id": "c", "run_id": "resp_1", "started_at": 0.0}

    # Airflow's triggerer handles a TypeError of one trigger; any other error ends the process of all.
    with pytest.raises(TypeError) as raised:
        OpenAIRunTrigger(**{**valid, **arguments})

    assert isinstance(raised.value, ValueError)


def test_an_invalid_stored_status_raises_what_the_triggerer_handles() -> None:
    with pytest.raises(TypeError, match="statuses must be some of"):
        OpenAIRunEventTrigger(thread_id="thread_1", statuses=["postponed"])


def test_a_misspelled_argument_of_an_asset_watcher_raises() -> None:
    with pytest.raises(TypeError, match="has no argument statusses"):
        OpenAIRunEventTrigger(thread_id="thread_1", statusses=["failed"])
