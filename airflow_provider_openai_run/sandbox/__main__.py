"""The command ``python -m airflow_provider_openai_run.sandbox``."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from airflow_provider_openai_run.sandbox import DEFAULT_KEY, Clock, Sandbox
from airflow_provider_openai_run.sandbox.examples import Example


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Serve until SIGINT or SIGTERM.

    :param arguments: the command line without the program's name; ``sys.argv`` by default.
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
        signal.signal(number, _exit)
    examples = sandbox.seed_examples() if options.seed else []
    sys.stdout.write(_introduction(sandbox, examples))
    sys.stdout.flush()
    sandbox.serve()
    return 0


def _exit(number: int, frame: FrameType | None) -> NoReturn:
    del number, frame
    raise SystemExit(0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_openai_run.sandbox",
        description="A local server that speaks OpenAI's Assistants and Responses APIs, to test DAGs.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument(
        "--port", type=int, default=8085, help="port; 0 takes a free one (default: %(default)s)"
    )
    parser.add_argument("--api-key", default=DEFAULT_KEY, help="the valid API key (default: %(default)s)")
    parser.add_argument(
        "--speed",
        type=float,
        default=1.0,
        help="seconds of the runs' clock per real second; 0 stops the clock (default: %(default)s)",
    )
    parser.add_argument(
        "--script", default="completed", help="script of runs that select none (default: %(default)s)"
    )
    parser.add_argument(
        "--no-seed", dest="seed", action="store_false", help="start empty, without example runs"
    )
    parser.add_argument(
        "--allow-remote", action="store_true", help="allow an address that other machines can reach"
    )
    return parser


def _introduction(sandbox: Sandbox, examples: Sequence[Example]) -> str:
    responses = [example for example in examples if example.thread_id is None]
    path = f"responses/{responses[0].run_id}" if responses else "models"
    header = shlex.quote(f"Authorization: Bearer {sandbox.api_key}")
    lines = [
        f"base URL  {sandbox.base_url}",
        f"API key   {sandbox.api_key}",
        f"admin     {sandbox.admin_url}",
        "",
        "The Airflow connection:",
        f"export AIRFLOW_CONN_OPENAI_DEFAULT={shlex.quote(sandbox.connection_json(run_links=True))}",
        "",
        "Try it:",
        f"curl -s -H {header} {sandbox.base_url}/{path}",
        "",
        *_example_lines(examples),
        'Scripts, selected by a run\'s metadata, e.g. {"sandbox_script": "failed"}:',
        *(f"  {name:<31} {script.description}" for name, script in sandbox.scripts.items()),
        "",
        "Ctrl-C stops it.",
        "",
    ]
    return "\n".join(lines)


def _example_lines(examples: Sequence[Example]) -> list[str]:
    if not examples:
        return []
    runs = [example for example in examples if example.thread_id is not None]
    responses = [example for example in examples if example.thread_id is None]
    return [
        "Example runs (Assistants API):",
        *(f'  {each.status:<16} thread_id="{each.thread_id}", run_id="{each.run_id}"' for each in runs),
        "",
        "Example runs (Responses API):",
        *(f'  {each.status:<16} run_id="{each.run_id}"' for each in responses),
        "",
    ]


if __name__ == "__main__":
    sys.exit(main())
