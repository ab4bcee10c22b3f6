"""The hook of Airflow's own OpenAI provider works with the sandbox."""

from __future__ import annotations

import pytest

from airflow_provider_openai_run.sandbox import Sandbox


# Airflow 3.1 warns of its own, and takes a warning made an error for a connection that is not there.
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("form", ["connection_json", "airflow_connection_uri"])
def test_the_official_hook_works_with_the_connection(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    from airflow.providers.openai.hooks.openai import OpenAIHook

    value = sandbox.connection_json() if form == "connection_json" else sandbox.airflow_connection_uri
    monkeypatch.setenv("AIRFLOW_CONN_OPENAI_DEFAULT", value)
    hook = OpenAIHook(conn_id="openai_default")
    assert hook.test_connection() == (True, "Connection established!")
    assert (
        hook.create_response(input="What is the answer?", model="gpt-4o").output_text == "The answer is 42."
    )
    hook.conn.close()
