"""The plugin as Airflow loads it."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import subprocess
import sys
from typing import Any
from unittest import mock

import pytest
from airflow import plugins_manager
from airflow.providers.common.compat.sdk import AirflowPlugin

from airflow_provider_openai_run.links.openai_run import OpenAIRunLink
from airflow_provider_openai_run.run_page.plugin import OpenAIRunPagePlugin
from airflow_provider_openai_run.run_page.xcom_data import OPERATORS
from tests.test_get_provider_info import named_modules, public_classes

PROGRAM = """
import sys
from airflow.providers.common.compat.sdk import AirflowPlugin
before = set(sys.modules)
from airflow_provider_openai_run.run_page.plugin import OpenAIRunPagePlugin
assert OpenAIRunPagePlugin().external_views
print(*sorted(set(sys.modules) - before))
"""


def test_the_entry_point_loads_the_plugin() -> None:
    (entry_point,) = importlib.metadata.distribution("airflow-provider-openai-run").entry_points.select(
        group="airflow.plugins"
    )
    assert entry_point.load() is OpenAIRunPagePlugin
    assert issubclass(OpenAIRunPagePlugin, AirflowPlugin)


def test_the_tab_is_in_the_task_instance_view_with_relative_urls() -> None:
    (view,) = OpenAIRunPagePlugin().external_views
    assert view["destination"] == "task_instance"
    assert view["href"] == "openai-run/{DAG_ID}/{RUN_ID}/{TASK_ID}/{MAP_INDEX}"
    assert not view["icon"].startswith("/")


def test_the_tab_is_for_tasks_that_have_the_link_of_this_provider() -> None:
    (view,) = OpenAIRunPagePlugin().external_views
    assert view["applies_to"] == {"task.extra_links": [OpenAIRunLink.name]}


@pytest.mark.skipif(
    not hasattr(plugins_manager, "_validate_applies_to"), reason="Airflow 3.4 reads applies_to"
)
def test_airflow_accepts_for_which_tasks_the_tab_is(caplog: pytest.LogCaptureFixture) -> None:
    (view,) = OpenAIRunPagePlugin().external_views
    # The modules that Airflow imports for it say in a variable that this process is a server.
    with mock.patch.dict(os.environ):
        assert vars(plugins_manager)["_validate_applies_to"]("openai_run_page", view, "an external view")
    assert "applies_to" in view
    assert not caplog.records


def test_the_app_is_served_at_the_url_of_the_tab() -> None:
    plugin = OpenAIRunPagePlugin()
    (app,) = plugin.fastapi_apps
    assert app["url_prefix"] == "/openai-run"
    assert plugin.fastapi_apps is plugin.fastapi_apps


def test_loading_the_plugin_imports_no_other_module() -> None:
    process = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True)
    package = "airflow_provider_openai_run"
    imported = process.stdout.strip().splitlines()[-1].split()
    assert set(imported) <= {package, f"{package}.run_page", f"{package}.run_page.plugin", "__future__"}


def test_the_page_knows_each_operator_and_sensor_and_each_has_the_link() -> None:
    from airflow.sdk import BaseOperator

    from airflow_provider_openai_run.decorators.openai_response import _OpenAIResponseDecoratedOperator

    modules = [*named_modules("operators"), *named_modules("sensors")]
    classes: dict[str, Any] = {
        name: getattr(importlib.import_module(module), name)
        for module in modules
        for name in public_classes(module, BaseOperator)
    }
    classes[_OpenAIResponseDecoratedOperator.__name__] = _OpenAIResponseDecoratedOperator
    assert classes.keys() == OPERATORS
    links = {name: [link.name for link in one.operator_extra_links] for name, one in classes.items()}
    assert links == {name: [OpenAIRunLink.name] for name in classes}
