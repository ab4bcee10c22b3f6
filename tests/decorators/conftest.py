from __future__ import annotations

from tests.sandboxed import connect, fake_clock, running_sandbox, sandbox, task_log

__all__ = ["connect", "fake_clock", "running_sandbox", "sandbox", "task_log"]
