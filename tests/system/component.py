"""An Airflow command in its own session, so that every process it forks can be found and ended."""

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
    Return the processes of a session that are alive.

    A session outlives its leader and is kept across process groups: Airflow puts each task into a process
    group of its own, so a group is not enough to find what a scheduler has started.

    :param session_id: process id of the session's leader.
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

    :param name: its name in messages, and the stem of its log file.
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
    def process_id(self) -> int:
        """Process id of the command, and id of its session; 0 if it was never started."""
        return self._session or 0

    @property
    def is_expected(self) -> bool:
        """Whether it was started and not stopped by us. If it is not running then, it has crashed."""
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

    def request_stop(self) -> None:
        """Send SIGTERM to the command and return at once."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def wait_for_end(self, grace_seconds: float) -> None:
        """
        Wait for the command to end after `request_stop`, then kill what is left of it.

        :param grace_seconds: the longest wait before the kill, in seconds.
        """
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(grace_seconds)
        self.kill()

    def kill(self) -> None:
        """Send SIGKILL to the command and every process that it forked."""
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

    def pause(self, *, with_children: bool = True) -> None:
        """
        Stop the command, as SIGSTOP does: it keeps all it has.

        :param with_children: whether to stop every process that it forked too, such as a scheduler's workers.
        """
        if with_children:
            self._send(signal.SIGSTOP)
        elif self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let the processes that `pause` stopped continue."""
        self._send(signal.SIGCONT)

    def _send(self, number: signal.Signals) -> None:
        for process_id in self.left_over():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process_id, number)

    def left_over(self) -> list[int]:
        """Return the ids of the processes of this component that are still alive."""
        return [] if self._session is None else processes_of_session(self._session)

    def tail(self, lines: int = 40) -> str:
        """
        Return the last lines of its log.

        :param lines: how many.
        """
        if not self.log_path.exists():
            return ""
        with self.log_path.open(errors="replace") as log:
            return "".join(deque(log, maxlen=lines))
