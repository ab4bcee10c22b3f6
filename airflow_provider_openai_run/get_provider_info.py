"""What Airflow's provider manager is told about this package."""

from __future__ import annotations


def get_provider_info() -> dict[str, object]:
    """
    The provider's entry point.

    It names no connection type: the ``openai`` connection stays the official provider's, and Airflow would
    let only one of two providers have it. It imports nothing, because Airflow calls it in each of its
    processes.
    """
    integration = "OpenAI Runs"
    return {
        "package-name": "airflow-provider-openai-run",
        "name": integration,
        "description": (
            "Waits for OpenAI runs (Assistants and background Responses) without holding a worker, "
            "and puts what they are known by into XCom."
        ),
        "versions": ["0.1.0"],
        "integrations": [
            {
                "integration-name": integration,
                "external-doc-url": "https://platform.openai.com/docs/guides/background",
                "tags": ["ai", "openai"],
            }
        ],
        "hooks": [
            {
                "integration-name": integration,
                "python-modules": ["airflow_provider_openai_run.hooks.openai_run"],
            }
        ],
        "operators": [
            {
                "integration-name": integration,
                "python-modules": [
                    "airflow_provider_openai_run.operators.openai_run",
                    "airflow_provider_openai_run.operators.cancel_run",
                    "airflow_provider_openai_run.operators.create_response",
                    "airflow_provider_openai_run.operators.create_run",
                    "airflow_provider_openai_run.operators.submit_tool_outputs",
                ],
            }
        ],
        "sensors": [
            {
                "integration-name": integration,
                "python-modules": ["airflow_provider_openai_run.sensors.openai_run"],
            }
        ],
        "extra-links": ["airflow_provider_openai_run.links.openai_run.OpenAIRunLink"],
        "triggers": [
            {
                "integration-name": integration,
                "python-modules": [
                    "airflow_provider_openai_run.triggers.openai_run",
                    "airflow_provider_openai_run.triggers.openai_run_event",
                ],
            }
        ],
    }
