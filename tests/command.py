"""Commands that tests run to their end."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from typing import Any


def run_command(
    arguments: Sequence[str], *, timeout: float, **options: Any
) -> subprocess.CompletedProcess[str]:
    """
    Run a command without input, and return it with its output, errors included.

    :param arguments: the command.
    :param timeout: after how many seconds it is killed.
    :param options: those of ``subprocess.run``, such as ``env`` and ``cwd``.
    """
    return subprocess.run(
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
        **options,
    )
