"""Recordings: the values that tasks store, and the responses of the API that they need."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests
from airflow import __version__ as airflow_version

from airflow_provider_openai_run import __version__
from airflow_provider_openai_run.owned_runs import human_input
from airflow_provider_openai_run.sandbox import Sandbox
from tests.fake_clock import FakeClock
from tests.stored_values.event_trigger import EVENT_TRIGGER, HAS_ASSET_STATE, record_event_trigger
from tests.stored_values.scenarios import SCENARIOS, Scenario
from tests.stored_values.waiting_task import Deferral, JsonObject, WaitingTask, stored_by_airflow

#: Parts of a recording that Airflow does not store.
_NOT_STORED = ("scenario", "version", "recorded_at", "ids", "api")

_TYPES = {bool: "boolean", int: "number", float: "number", str: "text", list: "list", dict: "object"}
#: Ids that are keys, as those of runs in a checkpoint.
_ID = re.compile(r"^[a-z]+_[0-9a-f]{24}$")

FOLDER = Path(__file__).with_name("recordings")


def available_scenarios() -> list[str]:
    """Return the names of the scenarios that this Airflow can run."""
    names = [
        name
        for name, scenario in SCENARIOS.items()
        if (scenario.human_answer is None or human_input.is_available())
        and scenario.oldest_airflow <= tuple(map(int, airflow_version.split(".")[:2]))
    ]
    return [*names, EVENT_TRIGGER] if HAS_ASSET_STATE else names


def record(name: str, sandbox: Sandbox, clock: FakeClock) -> JsonObject:
    """
    Run the task of a scenario, and return what it has stored on the way.

    :param name: the scenario.
    :param sandbox: an empty sandbox on the clock.
    :param clock: the clock.
    """
    if name == EVENT_TRIGGER:
        events = record_event_trigger(sandbox, clock)
        return _as_json({**events, "scenario": name, "version": __version__})
    scenario = SCENARIOS[name]
    ids = dict(scenario.prepare(sandbox))
    task = WaitingTask(scenario.make_task(ids), clock)
    started_at = clock.time()
    deferrals = list[JsonObject]()
    with stored_by_airflow(task.xcoms):
        step = task.start()
        while isinstance(step, Deferral):
            event = event_of(scenario, task, step)
            # What the trigger has kept belongs to the deferral.
            step.xcoms = json.loads(json.dumps(task.xcoms))
            deferrals.append({**dataclasses.asdict(step), "event": event})
            if len(deferrals) == 1:
                sandbox.set_default_script({"base": "completed", "seconds": 60})
            step = task.resume(step, event)
    recorded = {
        "scenario": name,
        "version": __version__,
        "recorded_at": started_at,
        "ids": ids,
        "deferrals": deferrals,
        "end": dataclasses.asdict(step),
        "xcoms": task.xcoms,
        "state": task.state,
        "api": _responses(sandbox),
    }
    return _as_json(recorded)


def _as_json(recorded: JsonObject) -> JsonObject:
    value: JsonObject = json.loads(json.dumps(recorded))
    return value


def event_of(scenario: Scenario, task: WaitingTask, deferral: Deferral) -> JsonObject:
    """Return the event of a deferral: the trigger's, or the answer of a person."""
    if deferral.classpath is None:
        return dict(scenario.human_answer or {})
    return task.run_trigger(deferral)


def _responses(sandbox: Sandbox) -> JsonObject:
    """Return the responses of the API at the end, by path; to a POST, the run that it was about."""
    responses: JsonObject = {}
    headers = {"Authorization": f"Bearer {sandbox.api_key}"}
    posts = list[str]()
    for request in list(sandbox.requests):
        if request.method == "POST":
            posts.append(request.path)
        elif request.path not in responses:
            url = f"{sandbox.base_url.removesuffix('/v1')}{request.path}"
            responses[request.path] = requests.get(
                url, headers=headers, params={"limit": 100}, timeout=10
            ).json()
    runs = [body for path, body in responses.items() if "status" in body and not path.endswith("/steps")]
    for path in posts:
        responses.setdefault(path, runs[-1])
    return responses


def recordings() -> Iterator[tuple[str, JsonObject]]:
    """Yield all recordings, each with the name of its file."""
    for path in sorted(FOLDER.rglob("*.json")):
        yield f"{path.parent.name}/{path.stem}", json.loads(path.read_text(encoding="utf-8"))


def stored_fields(recorded: JsonObject) -> set[str]:
    """
    Return the fields that a recording has stored, each with the type of its value.

    :return: such as ``deferrals[].next_kwargs.continuation.rounds: number``.
    """
    stored = {name: value for name, value in recorded.items() if name not in _NOT_STORED}
    return set(_fields(stored, ""))


def _fields(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _fields(item, f"{path}.{_ID.sub('<id>', key)}".lstrip("."))
    elif isinstance(value, list) and value:
        for item in value:
            yield from _fields(item, f"{path}[]")
    else:
        yield f"{path}: {_TYPES.get(type(value), 'null')}"


def new_fields(recorded: JsonObject) -> list[str]:
    """Return the fields, with their types, that a task has stored and no recording has."""
    known = set().union(*(stored_fields(old) for _, old in recordings()))
    return sorted(stored_fields(recorded) - known)


def save(recorded: JsonObject) -> Path:
    """Write a recording into the folder of its version, beside older ones, and return its path."""
    folder = FOLDER / str(recorded["version"])
    folder.mkdir(parents=True, exist_ok=True)
    number = 1
    while (path := folder / f"{recorded['scenario']}_{number}.json").exists():
        number += 1
    path.write_text(json.dumps(recorded, indent=1) + "\n", encoding="utf-8")
    return path
