from __future__ import annotations

from tests.sandboxed import connect, running_sandbox, sandbox

__all__ = ["connect", "running_sandbox", "sandbox"]
