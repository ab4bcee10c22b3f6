"""A Redis server of the tests' own: its own port on loopback, its own folder, gone afterwards."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.system.loopback_port import reserve_port

PROGRAM = "redis-server"
START_SECONDS = 30.0
STOP_SECONDS = 10.0
POLL_SECONDS = 0.05


class RedisServerError(AssertionError):
    """The server did not start; the message has its output."""


def has_redis() -> bool:
    """Return whether the server is installed."""
    return shutil.which(PROGRAM) is not None


class RedisServer:
    """
    A context manager that starts an empty server, and stops it whatever happens.

    It listens on loopback only, asks for no password and writes nothing to disk.

    :raises RedisServerError: if the program is missing, or the server does not start.
    """

    def __enter__(self) -> Self:
        if not has_redis():
            raise RedisServerError(f"{PROGRAM} is missing (on Debian: apt-get install redis-server).")
        self._home = Path(tempfile.mkdtemp(prefix="redis-"))
        self._log = self._home / "server.log"
        self.port = reserve_port()
        options = {"bind": "127.0.0.1", "port": str(self.port), "save": "", "appendonly": "no"}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [PROGRAM, *(part for name, value in options.items() for part in (f"--{name}", value))],
                cwd=self._home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._wait_until_ready()
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

    @property
    def url(self) -> str:
        """URL of its first database."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def process_id(self) -> int:
        """Process id of the server."""
        return self._process.pid

    def pause(self) -> None:
        """Stop the server as SIGSTOP does: connections stay open, and nothing is answered."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let the server that `pause` stopped continue."""
        self._process.send_signal(signal.SIGCONT)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RedisServerError(f"The server does not start:\n{self._log.read_text()[-4000:]}")
            time.sleep(POLL_SECONDS)

    def _answers(self) -> bool:
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self.port), 1) as connection,
        ):
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
        return False

    def _stop(self) -> None:
        self.resume()
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_SECONDS)
        shutil.rmtree(self._home, ignore_errors=True)
