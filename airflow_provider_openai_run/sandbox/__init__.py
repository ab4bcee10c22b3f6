"""A local server that speaks the Assistants, Responses and Batch APIs, to test DAGs without an account.

As a command, which prints the Airflow connection and the IDs of example runs::

    python -m airflow_provider_openai_run.sandbox --port 8085

In a test::

    with Sandbox(clock=Clock.manual()) as sandbox:
        client = openai.OpenAI(base_url=sandbox.base_url, api_key=sandbox.api_key)
        run = sandbox.create_run(script="failed")                  # or metadata={"sandbox_script": "failed"}
        sandbox.faults.add("rate_limited", path="/runs/", times=2, retry_after=1)
        sandbox.clock.advance(3)                                   # now the run has failed
        assert sandbox.count("GET", run["id"]) == 0                # no request for it yet

In pytest, ``pytest_plugins = ["airflow_provider_openai_run.sandbox.pytest_plugin"]`` adds the fixture
``openai_sandbox``, to which the connection ``openai_default`` then points.
"""

from __future__ import annotations

from airflow_provider_openai_run.sandbox.clock import Clock
from airflow_provider_openai_run.sandbox.sandbox import DEFAULT_KEY, Sandbox
from airflow_provider_openai_run.sandbox.scripts import Script, Step

__all__ = ["DEFAULT_KEY", "Clock", "Sandbox", "Script", "Step"]
