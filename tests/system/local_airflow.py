"""A real Airflow on this machine; each component is a process that can be killed."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

import requests

from tests.command import run_command
from tests.system.airflow_configuration import configuration
from tests.system.airflow_rest import AirflowRest, AirflowRestError
from tests.system.component import Component
from tests.system.loopback_port import reserve_port

MIGRATE_SECONDS = 240.0
READY_SECONDS = 240.0
WAIT_SECONDS = 240.0
POLL_SECONDS = 0.25
STOP_GRACE_SECONDS = 2.0
USERNAME = "admin"
FINAL_TASK_STATES = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})
FINAL_RUN_STATES = frozenset({"success", "failed"})

# The caller's own Airflow, account and proxies must not reach the one started here.
FOREIGN_PREFIXES = ("AIRFLOW", "OPENAI_", "AZURE_OPENAI_", "_AIRFLOW")
PROXY_VARIABLES = frozenset({"http_proxy", "https_proxy", "all_proxy", "ftp_proxy"})

JsonObject = dict[str, Any]


#: Why a component of Airflow on SQLite may end on a busy machine.
SQLITE_LOCKED = "database is locked"


class LocalAirflowError(AssertionError):
    """A condition was not met in time; the message ends with the logs of the components."""


class LocalAirflow:
    """
    A context manager that starts Airflow, and stops it whatever happens.

    :param dag_folders: folders with DAG files.
    :param connections: connections by id, in Airflow's JSON form.
    :param config: further configuration as ``{"section": {"option": value}}``.
    :param more_components: arguments of the ``airflow`` command of further components, by name.
    :param environment: further environment variables of the components.
    :param announce: called with one line for each step of the start.
    """

    def __init__(
        self,
        *,
        dag_folders: Sequence[Path],
        connections: Mapping[str, JsonObject] | None = None,
        config: Mapping[str, Mapping[str, str]] | None = None,
        more_components: Mapping[str, list[str]] | None = None,
        environment: Mapping[str, str] | None = None,
        announce: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._dag_folders = list(dag_folders)
        self._connections = dict(connections or {})
        self._config = {section: dict(options) for section, options in (config or {}).items()}
        self._more_components = dict(more_components or {})
        self._more_environment = dict(environment or {})
        self._announce = announce
        self._previous_handlers: dict[int, Any] = {}
        self.password = secrets.token_urlsafe(9)

    def __enter__(self) -> Self:
        self.home = Path(tempfile.mkdtemp(prefix="local-airflow-"))
        self.url = f"http://127.0.0.1:{reserve_port()}"
        self.rest = AirflowRest(base_url=self.url, username=USERNAME, password=self.password)
        env = self._environment()
        self.components = {
            name: Component(name=name, arguments=arguments, env=env, home=self.home)
            for name, arguments in self._commands().items()
        }
        self._end_on_signals()
        try:
            self._migrate(env)
            for component in self.components.values():
                component.start()
            self._announce(f"{', '.join(self.components)} started")
            self.wait_until("all components are healthy", self._is_healthy, READY_SECONDS)
            self._announce(f"Airflow {self.rest.version()} is healthy at {self.url}")
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def kill(self, name: str) -> None:
        """
        Send SIGKILL to a component and every process that it forked.

        :param name: ``scheduler``, ``dag-processor``, ``triggerer`` or ``api-server``.
        """
        self.components[name].kill()

    def start(self, name: str) -> None:
        """
        Start a component that was killed.

        :param name: as for `kill`.
        """
        self.components[name].start()

    def start_second_triggerer(self) -> Component:
        """Start another triggerer beside the first; kill it before the test ends."""
        triggerer = Component(
            name="triggerer-2",
            arguments=self._commands()["triggerer"],
            env=self._environment(),
            home=self.home,
        )
        self.components[triggerer.name] = triggerer
        triggerer.start()
        return triggerer

    def left_over(self) -> dict[str, list[int]]:
        """Return the ids of processes that are still alive, by component."""
        alive = {name: component.left_over() for name, component in self.components.items()}
        return {name: process_ids for name, process_ids in alive.items() if process_ids}

    def wait_for_dags(self, dag_ids: Collection[str], timeout: float = WAIT_SECONDS) -> None:
        """
        Wait until these DAGs are parsed; fail at once when a DAG file cannot be imported.

        :param dag_ids: the DAGs.
        :param timeout: seconds.
        """

        def all_read() -> bool:
            if errors := self.rest.import_errors():
                raise LocalAirflowError("DAG files that can't be imported:\n" + "\n".join(errors))
            return set(dag_ids) <= self.rest.dag_ids()

        self.wait_until(f"the DAGs {sorted(dag_ids)} are read", all_read, timeout)

    def wait_for_run(self, dag_id: str, run_id: str, timeout: float = WAIT_SECONDS) -> str:
        """
        Wait until a DAG run has ended.

        :param dag_id: the DAG.
        :param run_id: the DAG run.
        :param timeout: seconds.
        :return: its state.
        """
        found = ""

        def ended() -> bool:
            nonlocal found
            found = self.rest.dag_run(dag_id, run_id)["state"]
            return found in FINAL_RUN_STATES

        self.wait_until(f"{dag_id} {run_id} ends", ended, timeout, lambda: self.states(dag_id, run_id))
        return found

    def wait_for_task(
        self,
        dag_id: str,
        run_id: str,
        task_id: str,
        states: Collection[str] = FINAL_TASK_STATES,
        *,
        map_index: int = -1,
        timeout: float = WAIT_SECONDS,
    ) -> JsonObject:
        """
        Wait until a task instance is in one of some states; fail at once when it ends in another.

        :param dag_id: the DAG.
        :param run_id: the DAG run.
        :param task_id: the task.
        :param states: the states to wait for.
        :param map_index: index of a mapped task instance; -1 if the task is not mapped.
        :param timeout: seconds.
        :return: the task instance.
        """
        found: JsonObject = {}

        def reached() -> bool:
            nonlocal found
            for instance in self.rest.task_instances(dag_id, run_id):
                if instance["task_id"] == task_id and instance["map_index"] == map_index:
                    found = instance
            if found.get("state") in FINAL_TASK_STATES - set(states):
                raise LocalAirflowError(
                    f"{task_id} of {dag_id} {run_id} ended as {found['state']}, not {sorted(states)}"
                    f"\n{self.rest.log(dag_id, run_id, task_id, max(found['try_number'], 1), map_index)}"
                )
            return found.get("state") in states

        what = f"{task_id} of {dag_id} {run_id} is one of {sorted(states)}"
        self.wait_until(what, reached, timeout, lambda: self.states(dag_id, run_id))
        return found

    def states(self, dag_id: str, run_id: str) -> dict[str, str | None]:
        """Return the state of each task instance of a DAG run; mapped ones as ``task[index]``."""
        return {task_name(task): task["state"] for task in self.rest.task_instances(dag_id, run_id)}

    def log_files(self, dag_id: str, run_id: str, task_id: str = "*") -> dict[str, str]:
        """
        Return the text of the log files of a task's tries and triggers, by their paths.

        The API has no log of a try that ended before Airflow has stored it.

        :param dag_id: the DAG.
        :param run_id: the DAG run.
        :param task_id: the task; all by default.
        """
        folder = self.home / "logs" / f"dag_id={dag_id}" / f"run_id={run_id}"
        paths = sorted(folder.glob(f"task_id={task_id}/**/attempt=*"))
        return {str(path.relative_to(folder)): path.read_text(encoding="utf-8") for path in paths}

    def wait_until(
        self,
        what: str,
        reached: Callable[[], bool],
        timeout: float = WAIT_SECONDS,
        detail: Callable[[], object] = lambda: "",
    ) -> None:
        """
        Poll until a condition holds; fail when a component has died or the time is up.

        :param what: the condition in words, for the message.
        :param reached: the condition; an API server that does not respond counts as false.
        :param timeout: seconds.
        :param detail: returns more for the message when the time is up.
        """
        deadline = time.monotonic() + timeout
        while True:
            self._restart_or_fail_after_a_crash()
            try:
                if reached():
                    return
            except (requests.ConnectionError, requests.Timeout):
                pass
            if time.monotonic() > deadline:
                raise LocalAirflowError(
                    f"Not within {timeout:g} s: {what}. {detail()}\n{self.component_logs()}"
                )
            time.sleep(POLL_SECONDS)

    def component_logs(self, lines: int = 40) -> str:
        """
        Return the last lines of every component's log.

        :param lines: number of lines of each.
        """
        return "\n".join(f"--- {name}\n{one.tail(lines)}" for name, one in self.components.items())

    def _restart_or_fail_after_a_crash(self) -> None:
        for name, component in self.components.items():
            if not component.is_expected or component.is_running:
                continue
            if SQLITE_LOCKED not in component.tail():
                raise LocalAirflowError(f"The {name} has crashed:\n{component.tail()}")
            # A component of Airflow ends if another one writes to SQLite between its own read and write; what
            # runs it in production starts it again.
            component.kill()
            component.start()

    def _is_healthy(self) -> bool:
        try:
            self.rest.log_in()
            self.rest.build_task_api()
        except AirflowRestError as error:
            raise LocalAirflowError(f"The API server is up but refuses: {error}") from error
        health = self.rest.health()
        return all(health.get(name) == "healthy" for name in ("scheduler", "dag_processor", "triggerer"))

    def _migrate(self, env: Mapping[str, str]) -> None:
        self._announce("creating the database")
        command = [sys.executable, "-m", "airflow", "db", "migrate"]
        done = run_command(command, env=env, cwd=self.home, timeout=MIGRATE_SECONDS)
        if done.returncode:
            raise LocalAirflowError(
                f"airflow db migrate ended with {done.returncode}:\n{done.stdout[-8000:]}"
            )

    def _commands(self) -> dict[str, list[str]]:
        host, port = self.url.removeprefix("http://").split(":")
        return {
            "api-server": ["api-server", "--host", host, "--port", port],
            # The log servers would use fixed ports; on one machine the API server reads the files.
            "scheduler": ["scheduler", "--skip-serve-logs"],
            "dag-processor": ["dag-processor"],
            "triggerer": ["triggerer", "--skip-serve-logs"],
            **self._more_components,
        }

    def _environment(self) -> dict[str, str]:
        env = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(FOREIGN_PREFIXES) and name.lower() not in PROXY_VARIABLES
        }
        env |= {"AIRFLOW_HOME": str(self.home), "NO_PROXY": "*", "DO_NOT_TRACK": "1", "NO_COLOR": "1"}
        passwords = self.home / "passwords.json"
        passwords.write_text(json.dumps({USERNAME: self.password}))
        settings = configuration(home=self.home, url=self.url, dag_folders=self._dag_folders)
        settings["core"]["simple_auth_manager_passwords_file"] = str(passwords)
        for section, options in [*settings.items(), *self._config.items()]:
            env |= {f"AIRFLOW__{section}__{option}".upper(): value for option, value in options.items()}
        for conn_id, connection in self._connections.items():
            env[f"AIRFLOW_CONN_{conn_id.upper()}"] = json.dumps(connection)
        return env | self._more_environment

    def _end_on_signals(self) -> None:
        def end(number: int, frame: FrameType | None) -> None:
            sys.exit(128 + number)

        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGHUP):
                self._previous_handlers[number] = signal.signal(number, end)

    def _stop(self) -> None:
        with _signals_ignored():
            # The API server waits until its connections are closed.
            self.rest.close()
            for component in self.components.values():
                component.request_stop()
            deadline = time.monotonic() + STOP_GRACE_SECONDS
            for component in self.components.values():
                component.wait_for_end(max(deadline - time.monotonic(), 0.0))
            shutil.rmtree(self.home, ignore_errors=True)
        while self._previous_handlers:
            signal.signal(*self._previous_handlers.popitem())
        if alive := self.left_over():
            raise LocalAirflowError(f"Processes left over: {alive}")


def task_name(instance: JsonObject) -> str:
    """
    Return the name of a task instance for messages: ``task``, or ``task[index]`` for a mapped one.

    :param instance: the task instance as the REST API returns it.
    """
    index = instance["map_index"]
    return str(instance["task_id"]) if index < 0 else f"{instance['task_id']}[{index}]"


@contextmanager
def _signals_ignored() -> Iterator[None]:
    """Ignore the signals that would interrupt the clean-up."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    previous = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
