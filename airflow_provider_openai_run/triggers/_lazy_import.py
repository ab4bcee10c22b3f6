"""Imports heavy modules without blocking the event loop that all triggers of a triggerer share."""

from __future__ import annotations

import asyncio
import sys
from importlib import import_module
from types import ModuleType


async def import_off_loop(name: str) -> ModuleType:
    """
    Return a module, imported in a thread if this process has not imported it yet.

    The OpenAI SDK alone takes half a second to import.

    :param name: the module's full name.
    """
    module = sys.modules.get(name)
    # While another thread imports it, the module is there but incomplete: wait for that import in a thread, too.
    if module is not None and not getattr(module.__spec__, "_initializing", False):
        return module
    return await asyncio.to_thread(import_module, name)
