from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook

#: Calls a method of the hook, or its async version: ``call("get_run", run_id, thread_id=thread_id)``.
Call = Callable[..., Any]


@pytest.fixture(params=["sync", "async"])
def call(request: pytest.FixtureRequest) -> Call:
    def call_sync(method: str, *arguments: Any, **options: Any) -> Any:
        hook = OpenAIRunHook()
        try:
            return getattr(hook, method)(*arguments, **options)
        finally:
            if "conn" in hook.__dict__:
                hook.conn.close()

    def call_async(method: str, *arguments: Any, **options: Any) -> Any:
        return asyncio.run(getattr(OpenAIRunHook(), f"a{method}")(*arguments, **options))

    return call_sync if request.param == "sync" else call_async
