"""The tests' own PostgreSQL server runs beside others and leaves nothing behind."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import psutil
import pytest

from tests import postgres_server
from tests.postgres_server import PostgresServer, PostgresServerError, postgres_programs

needs_postgres = pytest.mark.skipif(
    postgres_programs() is None, reason="PostgreSQL's server is not installed"
)


@needs_postgres
def test_a_server_has_the_databases_that_a_test_creates() -> None:
    with PostgresServer() as server:
        url = server.create_database("first")
        server.query("first", "CREATE TABLE words (word text); INSERT INTO words VALUES ('one'), ('two')")

        assert url == f"postgresql+psycopg2://airflow@127.0.0.1:{server.port}/first"
        assert server.query("first", "SELECT count(*), max(word) FROM words") == "2|two"
        with pytest.raises(PostgresServerError, match="syntax error"):
            server.query("first", "SELEC 1")


def wait_until_stopped(process: psutil.Process) -> None:
    """Wait until the system has delivered SIGSTOP, which it does in its own time."""
    for _ in range(1000):
        if process.status() == psutil.STATUS_STOPPED:
            return
        time.sleep(0.01)
    pytest.fail("The process was not stopped within 10 s.")


@needs_postgres
def test_a_server_that_was_paused_and_killed_comes_back_with_its_data() -> None:
    with PostgresServer() as server:
        server.create_database("kept")
        server.query("kept", "CREATE TABLE words (word text); INSERT INTO words VALUES ('one')")
        server.pause()
        wait_until_stopped(psutil.Process(server.process_id))
        server.resume()
        assert server.query("kept", "SELECT word FROM words") == "one"

        server.kill()
        assert server.process_id is None
        server.start()

        assert server.query("kept", "SELECT word FROM words") == "one"


@needs_postgres
def test_nothing_remains_after_an_error() -> None:
    server = PostgresServer()

    def fail() -> None:
        with server:
            assert psutil.pid_exists(server.process_id or 0)
            server.query("no_such_database", "SELECT 1")

    with pytest.raises(PostgresServerError, match="no_such_database"):
        fail()

    assert server.process_id is None
    assert not server.home.exists()
    assert [one.pid for one in psutil.process_iter() if str(server.home) in _command(one)] == []


def _command(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


def test_a_machine_without_a_server_gives_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(postgres_server, "DEBIAN_FOLDERS", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(PostgresServerError, match=r"sh \.ci/postgres"), PostgresServer():
        pass
