from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import json
import pkgutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import airflow
import jsonschema
import pytest
from airflow.providers.openai.hooks.openai import OpenAIHook
from airflow.providers_manager import ProvidersManager
from airflow.sdk import BaseHook, BaseOperator, BaseSensorOperator, Connection
from airflow.triggers.base import BaseTrigger

import airflow_provider_openai_run
from airflow_provider_openai_run.get_provider_info import get_provider_info
from airflow_provider_openai_run.links.openai_run import OpenAIRunLink

KINDS: dict[str, type] = {
    "hooks": BaseHook,
    "operators": BaseOperator,
    "sensors": BaseSensorOperator,
    "triggers": BaseTrigger,
}


def named_modules(kind: str) -> list[str]:
    info: dict[str, Any] = get_provider_info()
    return [module for entry in info[kind] for module in entry["python-modules"]]


def modules_in(package: str) -> set[str]:
    folder = importlib.import_module(f"{airflow_provider_openai_run.__name__}.{package}")
    return {
        f"{folder.__name__}.{module.name}"
        for module in pkgutil.iter_modules(folder.__path__)
        if not module.name.startswith("_")
    }


def public_classes(module_name: str, kind: type) -> set[str]:
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if not str(error.name).startswith("airflow."):
            raise
        # The module needs a later Airflow.
        return set()
    exported = {name: getattr(module, name) for name in getattr(module, "__all__", ())}
    return {
        name
        for name, value in {**vars(module), **exported}.items()
        if inspect.isclass(value)
        and issubclass(value, kind)
        and (value.__module__ == module_name or name in exported)
        and not name.startswith("_")
    }


@pytest.fixture(scope="module")
def providers_manager() -> ProvidersManager:
    return ProvidersManager()


@pytest.mark.parametrize("key", ["package-name", "name", "description", "versions"])
def test_the_provider_has_a_name_and_a_description(key: str) -> None:
    assert get_provider_info()[key]


def test_the_information_fits_airflows_schema() -> None:
    schema = json.loads((Path(airflow.__path__[0]) / "provider_info.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(get_provider_info(), schema)
    known = schema["properties"].keys() | {"versions"}
    assert get_provider_info().keys() <= known


def test_the_version_is_the_installed_one() -> None:
    version = airflow_provider_openai_run.__version__
    assert get_provider_info()["versions"] == [version]
    assert importlib.metadata.version("airflow-provider-openai-run") == version


@pytest.mark.parametrize("forbidden", ["connection-types", "hook-class-names"])
def test_nothing_is_registered_that_another_provider_owns(forbidden: str) -> None:
    assert forbidden not in get_provider_info()


def test_every_decorator_module_is_registered_under_its_own_name() -> None:
    info: dict[str, Any] = get_provider_info()
    modules = {entry["class-name"].rpartition(".")[0] for entry in info["task-decorators"]}
    assert modules == modules_in("decorators")
    for entry in info["task-decorators"]:
        assert entry.keys() == {"name", "class-name"}
        assert entry["name"] == entry["class-name"].split(".")[-2]


@pytest.mark.parametrize(("kind", "base"), KINDS.items())
def test_every_listed_module_has_a_class_of_its_kind(kind: str, base: type) -> None:
    for module in named_modules(kind):
        assert public_classes(module, base)


@pytest.mark.parametrize(("kind", "base"), KINDS.items())
def test_every_module_with_a_public_class_is_listed(kind: str, base: type) -> None:
    public = {module for module in modules_in(kind) if public_classes(module, base)}
    assert public == set(named_modules(kind))


def test_the_entry_point_is_the_function() -> None:
    (entry_point,) = importlib.metadata.distribution("airflow-provider-openai-run").entry_points.select(
        group="apache_airflow_provider"
    )
    assert entry_point.load() is get_provider_info


def test_airflow_lists_the_provider(providers_manager: ProvidersManager) -> None:
    provider = providers_manager.providers["airflow-provider-openai-run"]
    assert provider.version == airflow_provider_openai_run.__version__
    assert provider.data["name"] == "OpenAI Runs"


def test_airflow_lists_the_triggers(providers_manager: ProvidersManager) -> None:
    found = {
        trigger.trigger_class_name
        for trigger in providers_manager.trigger
        if trigger.package_name == "airflow-provider-openai-run"
    }
    assert found == set(named_modules("triggers"))


def test_airflow_lists_the_link(providers_manager: ProvidersManager) -> None:
    found = {
        name
        for name in providers_manager.extra_links_class_names
        if name.startswith(airflow_provider_openai_run.__name__)
    }
    assert found == {f"{OpenAIRunLink.__module__}.{OpenAIRunLink.__name__}"}


def test_the_openai_connection_keeps_the_official_hook() -> None:
    connection = Connection(conn_id="some_openai", conn_type="openai", password="not-a-key")
    assert type(connection.get_hook()) is OpenAIHook


def test_the_function_imports_nothing_but_the_package() -> None:
    program = """
import sys
before = set(sys.modules)
from airflow_provider_openai_run.get_provider_info import get_provider_info
get_provider_info()
print(*set(sys.modules) - before - {"__future__"})
"""
    output = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout
    package = "airflow_provider_openai_run"
    assert set(output.split()) == {package, f"{package}.get_provider_info"}
