"""Imports heavy modules without blocking the event loop that all triggers of a triggerer share."""

from __future__ import annotations

import asyncio
from importlib import import_module
from types import ModuleType

_imported: dict[str, ModuleType] = {}


async def import_off_loop(name: str) -> ModuleType:
    """
    Return a module; the first call for it imports it in a thread.

    The OpenAI SDK alone takes half a second to import. ``sys.modules`` does not show whether a module is
    complete: while another thread imports it, it already has the incomplete module. ``import_module`` waits
    for that import to end, which would block the event loop, so the first call always waits in a thread.

    :param name: the module's full name.
    :raises ImportError: if it cannot be imported; the next call tries again.
    """
    module = _imported.get(name)
    if module is None:
        module = _imported[name] = await asyncio.to_thread(import_module, name)
    return module
