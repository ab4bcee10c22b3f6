"""
The Airflow plugin that adds the "OpenAI run" tab to task instances and serves its page.

Every Airflow process loads this module, so the page's dependencies are imported only when it is served.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from airflow.providers.common.compat.sdk import AirflowPlugin

#: URL path of the page, below the API server's base URL.
URL_PREFIX = "/openai-run"
#: The name of :class:`~airflow_provider_openai_run.links.openai_run.OpenAIRunLink`.
LINK_NAME = "OpenAI run"


class OpenAIRunPagePlugin(AirflowPlugin):
    """
    Add the tab and serve the page.

    From 3.4 on Airflow shows the tab only for tasks of this provider: operators, sensors and classes derived
    from them have its link. Before it shows the tab for every task; for one without an OpenAI run, the page
    says so.
    """

    name = "openai_run_page"

    @cached_property
    def external_views(self) -> list[dict[str, Any]]:  # type: ignore[override]  # a class attribute in Airflow
        """The tab; its URL has no leading slash, which makes it relative to Airflow's base path."""
        path = URL_PREFIX.lstrip("/")
        return [
            {
                "name": "OpenAI run",
                "href": f"{path}/{{DAG_ID}}/{{RUN_ID}}/{{TASK_ID}}/{{MAP_INDEX}}",
                "destination": "task_instance",
                "url_route": "openai_run",
                "icon": f"{path}/static/icon.svg",
                "icon_dark_mode": f"{path}/static/icon-dark.svg",
                "applies_to": {"task.extra_links": [LINK_NAME]},
            }
        ]

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]  # a class attribute in Airflow
        """The app that serves the page; only the API server reads this attribute."""
        from airflow_provider_openai_run.run_page.routes import build_app

        return [{"app": build_app(), "url_prefix": URL_PREFIX, "name": "OpenAI run page"}]
