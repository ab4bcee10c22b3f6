"""The links of tasks lead to the runs in the sandbox."""

from __future__ import annotations

import pytest
import requests

from airflow_provider_openai_run.api.registry import run_ref
from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook
from airflow_provider_openai_run.sandbox import Sandbox


@pytest.mark.filterwarnings("default")
def test_the_printed_connection_links_runs_and_responses(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.seed_examples()
    monkeypatch.setenv("AIRFLOW_CONN_OPENAI_DEFAULT", sandbox.connection_json(run_links=True))
    hook = OpenAIRunHook()
    run_url = hook.run_url(run_ref("run_failed", thread_id="thread_failed")) or ""
    assert requests.get(run_url, timeout=30).json()["run"]["status"] == "failed"
    response_url = hook.run_url(run_ref("resp_failed")) or ""
    assert requests.get(response_url, timeout=30).json()["response"]["status"] == "failed"
    hook.conn.close()
