from __future__ import annotations

from tests.sandboxed import connect, running_sandbox, sandbox, stopped_time, task_log

__all__ = ["connect", "running_sandbox", "sandbox", "stopped_time", "task_log"]
