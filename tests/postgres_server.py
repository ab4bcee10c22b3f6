"""A PostgreSQL server of the tests' own: its own port on loopback, its own folder, gone afterwards."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from tests.command import run_command
from tests.system.loopback_port import reserve_port

#: Where Debian and its derivatives put the programs of each major version; they are not on the path.
DEBIAN_FOLDERS = Path("/usr/lib/postgresql")
PROGRAMS = ("initdb", "postgres", "pg_isready", "psql", "pg_dump")
OWNER = "airflow"
START_SECONDS = 60.0
STOP_SECONDS = 20.0
COMMAND_SECONDS = 120.0
POLL_SECONDS = 0.1
#: The data need not survive a crash of the machine; it survives one of the server.
SETTINGS = (
    "fsync=off",
    "full_page_writes=off",
    "unix_socket_directories=",
    "max_connections=200",
)


class PostgresServerError(AssertionError):
    """The server did not start, or a command of it failed; the message has its output."""


def postgres_programs() -> Path | None:
    """Return the folder with the server's programs, of the newest version if there are several, or None."""
    found = shutil.which("postgres")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(DEBIAN_FOLDERS.glob("[0-9]*/bin"), key=_major_version, reverse=True)
    return next((one for one in folders if all((one / name).exists() for name in PROGRAMS)), None)


def _major_version(folder: Path) -> int:
    digits = folder.parent.name.partition(".")[0]
    return int(digits) if digits.isdecimal() else 0


class PostgresServer:
    """
    A context manager that starts a server with empty databases, and stops it whatever happens.

    It listens on loopback only and asks for no password. The server refuses to run as root; started by root,
    it runs as ``postgres``.

    :raises PostgresServerError: if the programs are missing, or the server does not start.
    """

    def __init__(self) -> None:
        self.port = 0
        self.home = Path()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        programs = postgres_programs()
        if programs is None:
            raise PostgresServerError(
                "PostgreSQL's server is missing (on Debian: sh .ci/postgres installs it)."
            )
        self._programs = programs
        self._account = _unprivileged_account()
        self.home = Path(tempfile.mkdtemp(prefix="postgres-"))
        self._log = self.home / "server.log"
        try:
            if self._account:
                shutil.chown(self.home, self._account["user"], self._account["group"])
            self._data = str(self.home / "data")
            self._run("initdb", "-D", self._data, "-U", OWNER, "--auth=trust", "--encoding=UTF8", "--no-sync")
            self.port = reserve_port()
            self.start()
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

    def create_database(self, name: str) -> str:
        """
        Create a database and return its URL.

        :param name: letters, digits and underscores.
        :return: the URL, for SQLAlchemy with psycopg2; Airflow derives the one for asyncpg from it.
        """
        self.query("postgres", f'CREATE DATABASE "{name}"')
        return f"postgresql+psycopg2://{OWNER}@127.0.0.1:{self.port}/{name}"

    def query(self, database: str, statement: str) -> str:
        """
        Run an SQL statement and return its rows as text: one a line, columns separated by ``|``.

        :param database: the database's name.
        :param statement: the statement.
        """
        address = ("-h", "127.0.0.1", "-p", str(self.port), "-U", OWNER)
        options = ("-X", "-A", "-t", "-v", "ON_ERROR_STOP=1")
        return self._run("psql", *address, *options, "-d", database, "-c", statement).strip()

    def dump(self, database: str) -> str:
        """
        Return all tables of a database as text.

        :param database: the database's name.
        """
        address = ("-h", "127.0.0.1", "-p", str(self.port), "-U", OWNER)
        return self._run("pg_dump", *address, "--data-only", "--no-sync", database)

    @property
    def process_id(self) -> int | None:
        """Process id of the server, None if it is stopped."""
        return None if self._process is None else self._process.pid

    def pause(self) -> None:
        """Stop all its processes, as SIGSTOP does: connections stay open, and nothing is answered."""
        self._send(signal.SIGSTOP)

    def resume(self) -> None:
        """Let the processes that `pause` stopped continue."""
        self._send(signal.SIGCONT)

    def kill(self) -> None:
        """Send SIGKILL to all its processes; `start` brings it back with its data, on the same port."""
        self._send(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(STOP_SECONDS)
            self._process = None

    def _send(self, number: signal.Signals) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        server = psutil.Process(self._process.pid)
        children = server.children(recursive=True)
        # The server first: it would start a process again that has gone.
        for process in (server, *children):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        if number == signal.SIGKILL:
            psutil.wait_procs(children, STOP_SECONDS)

    def start(self) -> None:
        """
        Start it, and wait until it accepts connections.

        :raises PostgresServerError: if it does not start.
        """
        options = [part for setting in SETTINGS for part in ("-c", setting)]
        address = ("-h", "127.0.0.1", "-p", str(self.port))
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self._data, *address, *options],
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **self._account,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise PostgresServerError(f"The server does not start:\n{self._log.read_text()[-4000:]}")
            time.sleep(POLL_SECONDS)

    def _is_ready(self) -> bool:
        command = [str(self._programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(command, timeout=COMMAND_SECONDS, check=False).returncode == 0

    def _run(self, program: str, *arguments: str) -> str:
        command = [str(self._programs / program), *arguments]
        done = run_command(command, cwd=self.home, timeout=COMMAND_SECONDS, **self._account)
        if done.returncode:
            raise PostgresServerError(f"{program} ended with {done.returncode}:\n{done.stdout[-4000:]}")
        return done.stdout

    def _stop(self) -> None:
        if self._process is not None:
            # SIGINT ends all sessions; SIGQUIT ends the server's processes without saving anything.
            self.resume()
            for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
                self._process.send_signal(number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(STOP_SECONDS)
                    break
            self._process = None
        shutil.rmtree(self.home, ignore_errors=True)


def _unprivileged_account() -> dict[str, Any]:
    """Return the arguments of Popen for the account that the server runs as; none if this is not root."""
    if os.geteuid() != 0:
        return {}
    try:
        entry = pwd.getpwnam("postgres")
    except KeyError:
        raise PostgresServerError(
            "PostgreSQL's server refuses to run as root, and there is no user postgres."
        ) from None
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
