"""The description of this package for Airflow's providers manager."""

from __future__ import annotations


def get_provider_info() -> dict[str, object]:
    """
    Return the provider's description; the entry point ``apache_airflow_provider`` names this function.

    There is no connection type in it: two providers cannot register the same one, and ``openai`` belongs to
    the official provider. The module imports nothing, because Airflow calls it in each of its processes.
    """
    integration = "OpenAI Runs"
    return {
        "package-name": "airflow-provider-openai-run",
        "name": integration,
        "description": (
            "Wait for OpenAI runs (Assistants and background Responses) without occupying a worker, "
            "and get every attribute in XCom."
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
                    "airflow_provider_openai_run.operators.bulk_responses",
                    "airflow_provider_openai_run.operators.cancel_run",
                    "airflow_provider_openai_run.operators.create_response",
                    "airflow_provider_openai_run.operators.create_run",
                    "airflow_provider_openai_run.operators.get_run",
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
        # Airflow reads "class-name", although its published schema says "path".
        "task-decorators": [
            {
                "name": "openai_response",
                "class-name": "airflow_provider_openai_run.decorators.openai_response.openai_response_task",
            }
        ],
        "extra-links": ["airflow_provider_openai_run.links.openai_run.OpenAIRunLink"],
        "triggers": [
            {
                "integration-name": integration,
                "python-modules": [
                    "airflow_provider_openai_run.triggers.openai_owned_run_list",
                    "airflow_provider_openai_run.triggers.openai_run",
                    "airflow_provider_openai_run.triggers.openai_run_end",
                    "airflow_provider_openai_run.triggers.openai_run_event",
                    "airflow_provider_openai_run.triggers.openai_run_list",
                ],
            }
        ],
    }
