"""The command ``python -m airflow_provider_openai_run.sandbox``."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from airflow_provider_openai_run.sandbox import DEFAULT_KEY, Clock, Sandbox


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Serve until told to stop.

    :param arguments: the command line, without the program's name.
    :return: the exit code.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        sandbox = Sandbox(
            host=options.host,
            port=options.port,
            api_key=options.api_key,
            clock=Clock(speed=options.speed),
            default_script=options.script,
            allow_remote=options.allow_remote,
        )
        sandbox.bind()
    except (ValueError, OSError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    sys.stdout.write(_greeting(sandbox))
    sys.stdout.flush()
    sandbox.serve()
    return 0


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    del number, frame
    raise SystemExit(0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_openai_run.sandbox",
        description="A local server that speaks OpenAI's Assistants runs and Responses, to try DAGs against.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=8085, help="the port; 0 takes a free one (%(default)s)")
    parser.add_argument("--api-key", default=DEFAULT_KEY, help="the key it takes (%(default)s)")
    parser.add_argument(
        "--speed",
        type=float,
        default=1.0,
        help="their seconds in a real one; 0 stops the clock (%(default)s)",
    )
    parser.add_argument(
        "--script", default="completed", help="what becomes of runs that choose no script (%(default)s)"
    )
    parser.add_argument(
        "--allow-remote", action="store_true", help="let it listen where other machines can reach it"
    )
    return parser


def _greeting(sandbox: Sandbox) -> str:
    scripts = [f"  {name:<30} {script.about}" for name, script in sandbox.scripts.items()]
    lines = [
        f"base URL  {sandbox.base_url}",
        f"API key   {sandbox.api_key}",
        f"admin     {sandbox.admin_url}",
        "",
        "The Airflow connection:",
        f"export AIRFLOW_CONN_OPENAI_DEFAULT='{sandbox.connection_json()}'",
        "",
        'Scripts, chosen by a run\'s metadata, e.g. {"sandbox_script": "failed"}:',
        *scripts,
        "",
        "Ctrl-C stops it.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
