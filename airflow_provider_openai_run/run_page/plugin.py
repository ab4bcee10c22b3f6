"""The plugin: a tab of the task instance's view in the Airflow UI, with the page of the task's run.

Airflow loads it in all of its processes, so what the page is made with is imported where it is served.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from airflow.providers.common.compat.sdk import AirflowPlugin

#: Where the page is, below the address of the API server.
URL_PREFIX = "/openai-run"


class OpenAIRunPagePlugin(AirflowPlugin):
    """
    Adds the tab, and serves the page.

    Airflow shows the tab for the tasks of all providers; for those that are about no run, the page says so.
    """

    name = "openai_run_page"

    @cached_property
    def external_views(self) -> list[dict[str, Any]]:  # type: ignore[override]  # Airflow's is no property
        """The tab. Without a leading slash its address is below the base path that Airflow is served at."""
        address = URL_PREFIX.lstrip("/")
        return [
            {
                "name": "OpenAI run",
                "href": f"{address}/{{DAG_ID}}/{{RUN_ID}}/{{TASK_ID}}/{{MAP_INDEX}}",
                "destination": "task_instance",
                "url_route": "openai_run",
                "icon": f"{address}/static/icon.svg",
                "icon_dark_mode": f"{address}/static/icon-dark.svg",
            }
        ]

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]  # Airflow's is no property
        """The page; only the API server asks for it."""
        from airflow_provider_openai_run.run_page.routes import build_app

        return [{"app": build_app(), "url_prefix": URL_PREFIX, "name": "OpenAI run page"}]
