"""A local API to try DAGs against: it speaks Assistants runs and Responses on the wire, and costs nothing.

As a program, which prints the Airflow connection to use::

    python -m airflow_provider_openai_run.sandbox --port 8085

In a test::

    with Sandbox(clock=Clock.manual()) as sandbox:
        client = openai.OpenAI(base_url=sandbox.base_url, api_key=sandbox.api_key)
        run = sandbox.create_run(script="failed")                  # or metadata={"sandbox_script": "failed"}
        sandbox.faults.add("rate_limited", path="/runs/", times=2, retry_after=1)
        sandbox.clock.advance(3)                                   # the run has failed now
        assert sandbox.count("GET", run["id"]) == 0                # and nobody has asked for it yet

In pytest, ``pytest_plugins = ["airflow_provider_openai_run.sandbox.pytest_plugin"]`` gives the fixture
``openai_sandbox``, which ``openai_default`` then points at.
"""

from __future__ import annotations

from airflow_provider_openai_run.sandbox.clock import Clock
from airflow_provider_openai_run.sandbox.sandbox import DEFAULT_KEY, Sandbox
from airflow_provider_openai_run.sandbox.scripts import Script, Step

__all__ = ["DEFAULT_KEY", "Clock", "Sandbox", "Script", "Step"]
