"""
Show the main use: a sensor defers until a run has ended, an operator pushes the run to XCom.

``python -m tests.system.demo`` starts the sandbox and a real Airflow, runs example DAGs, reads the XComs with
Airflow's REST API, shows and checks them, and stops everything. It exits with 0 only if every check passed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from airflow_provider_openai_run.sandbox import Clock, Sandbox
from airflow_provider_openai_run.types.run import DOCUMENTED_ATTRIBUTES
from tests.system.attribute_table import attribute_table
from tests.system.local_airflow import USERNAME, LocalAirflow, LocalAirflowError

EXAMPLE_DAGS = Path(__file__).parents[2] / "example_dags"
STEPS = 45
RUN_SECONDS = 12
SCRIPT = {"sandbox_script": json.dumps({"base": "many_steps", "steps": STEPS, "seconds": RUN_SECONDS})}
PLAY_SECONDS = 180.0
REQUEST_TIMEOUT_SECONDS = 10
ASSISTANT = {
    "model": "gpt-4o",
    "instructions": "You are a patient teacher. Compute with the code interpreter, then explain the result.",
    "tools": [{"type": "code_interpreter"}],
}

JsonObject = dict[str, Any]


class DemoError(AssertionError):
    """A check of the demo failed."""


@dataclass
class Scene:
    """
    An example DAG and its observed states.

    :param api: name of the API that it uses.
    :param dag_id: the DAG.
    :param conf: params of the DAG run.
    :param dag_run_id: id of its DAG run; empty until it is triggered.
    :param states: the last observed state of each task.
    :param statuses: the observed statuses of the run, in order.
    :param was_deferred: whether the sensor was observed in the state deferred.
    """

    api: str
    dag_id: str
    conf: JsonObject
    dag_run_id: str = ""
    states: dict[str, str | None] = field(default_factory=dict)
    statuses: list[str] = field(default_factory=list)
    was_deferred: bool = False


SCENES = {
    "assistants": Scene(
        api="Assistants",
        dag_id="openai_run_create_and_retrieve",
        conf={
            "question": "What are the first squares? Compute them.",
            "metadata": SCRIPT,
        },
    ),
    "responses": Scene(
        api="Responses",
        dag_id="openai_response_background",
        conf={"question": "What are the first squares? Compute them.", "metadata": SCRIPT},
    ),
}


class Demo:
    """
    Plays scenes and prints what happens.

    :param sandbox: the running sandbox.
    :param scenes: the scenes to play.
    """

    def __init__(self, sandbox: Sandbox, scenes: Sequence[Scene]) -> None:
        self._sandbox = sandbox
        self._scenes = scenes
        self._began = time.monotonic()

    def say(self, line: str) -> None:
        """
        Print a line with the time since the start.

        :param line: the line.
        """
        show(f"{time.monotonic() - self._began:6.1f} s  {line}")

    def play(self, airflow: LocalAirflow) -> None:
        """
        Run the DAGs, show their results and check them.

        :param airflow: a running Airflow.
        """
        airflow.wait_for_dags([scene.dag_id for scene in self._scenes])
        assistant = self._request("POST", "/assistants", ASSISTANT)
        for scene in self._scenes:
            if scene.api == "Assistants":
                scene.conf["assistant_id"] = assistant["id"]
            scene.dag_run_id = airflow.rest.trigger(scene.dag_id, scene.conf)
            self.say(f"{scene.api:<10}  DAG  {scene.dag_id} is triggered")
        airflow.wait_until(
            "the DAG runs have ended",
            lambda: self._watch(airflow),
            PLAY_SECONDS,
            lambda: [scene.states for scene in self._scenes],
        )
        for scene in self._scenes:
            self._check_states(scene, airflow)
            self._show(scene, airflow.rest.xcoms(scene.dag_id, scene.dag_run_id, "attributes"))

    def _watch(self, airflow: LocalAirflow) -> bool:
        for scene in self._scenes:
            self._print_task_states(scene, airflow.states(scene.dag_id, scene.dag_run_id))
            self._print_run_status(scene)
        self._start_clock()
        return all(
            airflow.rest.dag_run(scene.dag_id, scene.dag_run_id)["state"] in {"success", "failed"}
            for scene in self._scenes
        )

    def _start_clock(self) -> None:
        """Start the sandbox's clock when all sensors are deferred, so that a slow machine shows it too."""
        clock = self._sandbox.clock
        if clock.speed == 0 and all(scene.was_deferred for scene in self._scenes):
            clock.now()
            clock.speed = 1
            self.say(f"The sandbox's clock starts: a run takes {RUN_SECONDS} s")

    def _print_task_states(self, scene: Scene, states: Mapping[str, str | None]) -> None:
        for task, state in states.items():
            if state == scene.states.get(task):
                continue
            note = ""
            if state == "deferred":
                scene.was_deferred = True
                note = "  <- the triggerer waits, no worker is occupied"
            self.say(f"{scene.api:<10}  task {task:<8} {state}{note}")
        scene.states = dict(states)

    def _print_run_status(self, scene: Scene) -> None:
        known = self._sandbox.state()
        for run_id, status in known["runs" if scene.api == "Assistants" else "responses"].items():
            if scene.statuses[-1:] != [status]:
                scene.statuses.append(status)
                self.say(f"{scene.api:<10}  run  {run_id} is {status}")

    def _check_states(self, scene: Scene, airflow: LocalAirflow) -> None:
        if not scene.was_deferred:
            raise DemoError(
                f"The sensor of {scene.dag_id} was not observed in the state deferred: {scene.states}."
            )
        for task, state in airflow.states(scene.dag_id, scene.dag_run_id).items():
            if state != "success":
                log = airflow.rest.log(scene.dag_id, scene.dag_run_id, task) if state == "failed" else ""
                raise DemoError(f"The task {task} of {scene.dag_id} is {state}, not success.\n{log}")

    def _show(self, scene: Scene, xcoms: Mapping[str, Any]) -> None:
        if missing := [name for name in DOCUMENTED_ATTRIBUTES if name not in xcoms]:
            raise DemoError(f"{scene.dag_id} has no XCom for {', '.join(missing)}; it has {sorted(xcoms)}.")
        show(f"\n{scene.api}: the XComs of {scene.dag_id}, read with Airflow's REST API\n")
        show("\n".join(attribute_table(xcoms, DOCUMENTED_ATTRIBUTES)))
        show(f"\n{len(xcoms['steps'])} steps\n")
        self._check_values(scene, xcoms)

    def _check_values(self, scene: Scene, xcoms: Mapping[str, Any]) -> None:
        steps = xcoms["steps"]
        sent = self._sent_details(xcoms["thread_id"], xcoms["id"])
        if len(steps) != STEPS or len(sent) != STEPS:
            raise DemoError(f"{STEPS} steps were expected, {len(sent)} sent, {len(steps)} are in XCom.")
        if [json.loads(step["details"]) for step in steps] != sent:
            raise DemoError(f"The details of {scene.dag_id}'s steps differ from those that the API sent.")
        whole = xcoms["return_value"]
        if different := [name for name in DOCUMENTED_ATTRIBUTES if whole.get(name) != xcoms[name]]:
            raise DemoError(f"The return value differs from the XComs in {', '.join(different)}.")
        if xcoms["status"] != "completed":
            raise DemoError(f"The run of {scene.dag_id} is {xcoms['status']}, not completed.")

    def _sent_details(self, thread_id: str | None, run_id: str) -> list[JsonObject]:
        """Return the details of the steps, requested without this provider's code."""
        if thread_id is None:
            items: list[JsonObject] = self._request("GET", f"/responses/{run_id}")["output"]
            return items
        steps = self._request("GET", f"/threads/{thread_id}/runs/{run_id}/steps?order=asc&limit=100")
        return [step["step_details"] for step in steps["data"]]

    def _request(self, method: str, path: str, body: JsonObject | None = None) -> JsonObject:
        response = requests.request(
            method,
            f"{self._sandbox.base_url}{path}",
            json=body,
            headers={"Authorization": f"Bearer {self._sandbox.api_key}"},
            timeout=REQUEST_TIMEOUT_SECONDS,
        )
        response.raise_for_status()
        body_of_response: JsonObject = response.json()
        return body_of_response


def show(text: str) -> None:
    """
    Print text at once, also into a pipe.

    :param text: the text.
    """
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def run(scenes: Sequence[Scene], *, keep: bool) -> None:
    """
    Start everything, play the scenes, stop everything.

    :param scenes: the scenes to play.
    :param keep: whether to keep everything running until Ctrl-C.
    """
    with Sandbox(clock=Clock.manual()) as sandbox:
        demo = Demo(sandbox, scenes)
        demo.say(f"The sandbox listens at {sandbox.base_url}")
        connections = {"openai_default": json.loads(sandbox.connection_json())}
        with LocalAirflow(dag_folders=[EXAMPLE_DAGS], connections=connections, announce=demo.say) as airflow:
            demo.play(airflow)
            demo.say("Every check passed.")
            if keep:
                stay(airflow, scenes)
        demo.say("Everything is stopped.")


def stay(airflow: LocalAirflow, scenes: Sequence[Scene]) -> None:
    """
    Print the URLs and wait for Ctrl-C.

    :param airflow: a running Airflow.
    :param scenes: the scenes that were played.
    """
    show(f"\nAirflow's UI: {airflow.url}    user: {USERNAME}    password: {airflow.password}")
    for scene in scenes:
        show(f"  {airflow.url}/dags/{scene.dag_id}/runs/{scene.dag_run_id}")
    show("Ctrl-C stops everything.")
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run the demo.

    :param arguments: the command line, without the program's name.
    :return: the exit code: 0 only if every check passed.
    """
    parser = argparse.ArgumentParser(prog="demo", description=(__doc__ or "").strip().partition("\n")[0])
    parser.add_argument("--api", choices=[*SCENES, "both"], default="both", help="which API (%(default)s)")
    parser.add_argument("--keep", action="store_true", help="keep everything running, and print the URLs")
    options = parser.parse_args(arguments)
    scenes = list(SCENES.values()) if options.api == "both" else [SCENES[options.api]]
    try:
        run(scenes, keep=options.keep)
    except KeyboardInterrupt:
        show("\nInterrupted; everything is stopped.")
        return 130
    except (DemoError, LocalAirflowError) as error:
        show(f"\nFailed: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
