"""One Airflow command, run in a session of its own so that everything it forks can be found and ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path

import psutil

KILL_GRACE_SECONDS = 5.0
CHECK_SECONDS = 0.05


def processes_of_session(session_id: int) -> list[int]:
    """
    The living processes of a session.

    A session outlives its leader and is kept across process groups: Airflow puts each task into a process
    group of its own, so a group is not enough to find what a scheduler has started.

    :param session_id: process id of the leader the session was made for.
    """
    return [process_id for process_id in psutil.pids() if _belongs(process_id, session_id)]


def _belongs(process_id: int, session_id: int) -> bool:
    try:
        return (
            os.getsid(process_id) == session_id
            and psutil.Process(process_id).status() != psutil.STATUS_ZOMBIE
        )
    except (ProcessLookupError, PermissionError, psutil.NoSuchProcess):
        return False


class Component:
    """
    A long-running Airflow command.

    :param name: what it is called in messages and what its log file is named after.
    :param arguments: arguments of the ``airflow`` command.
    :param env: its whole environment.
    :param home: working directory and home of the log file.
    """

    def __init__(self, *, name: str, arguments: list[str], env: Mapping[str, str], home: Path) -> None:
        self.name = name
        self.log_path = home / f"{name}.log"
        self._command = [sys.executable, "-m", "airflow", *arguments]
        self._env = dict(env)
        self._home = home
        self._process: subprocess.Popen[bytes] | None = None
        self._session: int | None = None

    @property
    def is_running(self) -> bool:
        """Whether the command itself is alive."""
        return self._process is not None and self._process.poll() is None

    @property
    def is_expected(self) -> bool:
        """Whether it was started and not ended by us: when it is not running then, it has died."""
        return self._process is not None

    def start(self) -> None:
        """Start the command; its output is appended to its log file."""
        if self.left_over():
            raise RuntimeError(f"{self.name} is running already")
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._env,
                cwd=self._home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._session = self._process.pid

    def ask_to_stop(self) -> None:
        """Send SIGTERM to the command and return at once."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def wait_for_end(self, grace_seconds: float) -> None:
        """
        Give the command time to end after `ask_to_stop`, then kill what is left of it.

        :param grace_seconds: how much time.
        """
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(grace_seconds)
        self.kill()

    def kill(self) -> None:
        """Kill the command and all it has forked, the ``kill -9`` way."""
        deadline = time.monotonic() + KILL_GRACE_SECONDS
        while left := self.left_over():
            for process_id in left:
                try:
                    os.kill(process_id, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.name}: processes {left} outlive kill -9")
            time.sleep(CHECK_SECONDS)
        if self._process is not None:
            self._process.wait(KILL_GRACE_SECONDS)
            self._process = None

    def left_over(self) -> list[int]:
        """Process ids of everything this component has started that still lives."""
        return [] if self._session is None else processes_of_session(self._session)

    def tail(self, lines: int = 40) -> str:
        """
        The last lines of its log.

        :param lines: how many.
        """
        if not self.log_path.exists():
            return ""
        with self.log_path.open(errors="replace") as log:
            return "".join(deque(log, maxlen=lines))
