"""Servers that others wrote: installed once, started on a free port, stopped again."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.environment import OUTSIDE

PEERS = Path(__file__).resolve().parents[3] / "shared" / "peers"
INSTALL_SECONDS = 300.0
STOP_SECONDS = 10.0


class PeerError(RuntimeError):
    """A server that others wrote did not start."""


@contextlib.contextmanager
def running(name: str, *arguments: str, **variables: str) -> Iterator[str]:
    """
    Run the server of a folder of ``../shared/peers``, and yield its URL.

    :param name: the folder. It is copied first, because servers install and write beside their scripts; the
        copy is kept for the next time, by its content.
    :param arguments: of its ``run.sh``.
    :param variables: of its environment.
    :raises PeerError: if it does not listen in time, with its output.
    """
    folder = _copy_of(PEERS / name)
    installed = folder / "installed"
    if not installed.exists():
        shutil.rmtree(folder / ".venv", ignore_errors=True)
    port = _free_port()
    with tempfile.TemporaryDirectory() as state, tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            ["bash", str(folder / "run.sh"), *arguments],
            env=_environment(
                PORT=str(port), VENV=str(folder / ".venv"), AGENTSERVER_STATE_ROOT=state, **variables
            ),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            if not _listens(process, port):
                output.seek(0)
                raise PeerError(f"{name} does not listen:\n{output.read().decode(errors='replace')[-4000:]}")
            installed.touch()
            yield f"http://127.0.0.1:{port}"
        finally:
            _stop(process)


def _copy_of(source: Path) -> Path:
    """Return a copy of a folder in this user's cache, named after its content."""
    files = sorted(path for path in source.rglob("*") if path.is_file())
    content = hashlib.sha256()
    for path in files:
        content.update(path.relative_to(source).as_posix().encode() + b"\0" + path.read_bytes())
    caches = Path(OUTSIDE.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = caches / "airflow-provider-openai-run" / f"{source.name}-{content.hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    for path in files:
        target = folder / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        shutil.copyfile(path, target)
    return folder


def _environment(**more: str) -> dict[str, str]:
    """Return the environment that the tests were started in, with this one's uv on the path."""
    programs = sysconfig.get_path("scripts")
    kept = {name: value for name, value in OUTSIDE.items() if name != "VIRTUAL_ENV"}
    return {**kept, "PATH": f"{programs}{os.pathsep}{OUTSIDE['PATH']}", **more}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _listens(process: subprocess.Popen[bytes], port: int) -> bool:
    """Return whether a process listens before it ends and within the time of an installation."""
    deadline = time.monotonic() + INSTALL_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.1)
            return False
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a process, and the installers it started."""
    for ending in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, ending)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=STOP_SECONDS)
            return
