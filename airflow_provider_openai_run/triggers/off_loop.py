"""Importing what is heavy beside the event loop that all triggers of a triggerer share."""

from __future__ import annotations

import asyncio
import sys
from importlib import import_module
from typing import Any

_WATCHER = "airflow_provider_openai_run.watcher"


async def watcher_module() -> Any:
    """Give :mod:`airflow_provider_openai_run.watcher`: the SDK it brings takes half a second to import."""
    module = sys.modules.get(_WATCHER)
    # What its last line defines: otherwise it is not there, or another thread is importing it.
    if hasattr(module, "__all__"):
        return module
    return await asyncio.to_thread(import_module, _WATCHER)
