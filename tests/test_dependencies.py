"""All imports of the package are declared in pyproject.toml, and the oldest lock has the lower bounds."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import airflow_provider_openai_run

PACKAGE = Path(airflow_provider_openai_run.__path__[0])
ROOT = PACKAGE.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
#: The modules, by the beginning of their path, that need an extra.
EXTRAS = {"sandbox/": "sandbox", "connection/entra_id.py": "azure"}
#: Pytest loads its plugins, so it is there where this one is.
UNDECLARED = {("sandbox/pytest_plugin.py", "pytest")}


def requirements(extra: str | None = None) -> dict[str, Requirement]:
    lines = PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
    return {canonicalize_name(one.name): one for one in map(Requirement, lines)}


def every_requirement() -> dict[str, Requirement]:
    extras = PROJECT["optional-dependencies"]
    return requirements() | {name: one for extra in extras for name, one in requirements(extra).items()}


def imported_modules(source: str) -> Iterator[str]:
    """Yield the full names of the modules that a source imports and that are not Python's own."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            continue
        for name in names:
            if name.partition(".")[0] not in sys.stdlib_module_names | {PACKAGE.name}:
                yield name


@cache
def installed() -> dict[str, list[str]]:
    return dict(packages_distributions())


def distributions_of(module: str) -> set[str]:
    """Return the distributions that a module may be of; those of a namespace package share its first name."""
    first, _, rest = module.partition(".")
    if first != "airflow":
        return {canonicalize_name(name) for name in installed().get(first, ())}
    if not rest.startswith("providers."):
        return {"apache-airflow"}
    parts = rest.split(".")[1:]
    return {canonicalize_name(f"apache-airflow-providers-{'-'.join(parts[:end])}") for end in (1, 2)}


def undeclared(path: str, source: str) -> list[str]:
    declared = set(requirements())
    for beginning, extra in EXTRAS.items():
        if path.startswith(beginning):
            declared |= set(requirements(extra))
    return [
        module
        for module in imported_modules(source)
        if not distributions_of(module) & declared and (path, module) not in UNDECLARED
    ]


def modules() -> dict[str, str]:
    return {
        path.relative_to(PACKAGE).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(PACKAGE.rglob("*.py"))
    }


def test_every_import_is_declared() -> None:
    found = {path: undeclared(path, source) for path, source in modules().items()}

    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("progress.py", "import yaml"),
        ("progress.py", "def load():\n    from requests.adapters import HTTPAdapter"),
        ("progress.py", "import uvicorn"),
        ("hooks/openai_run.py", "from azure.identity import DefaultAzureCredential"),
        ("hooks/openai_run.py", "from airflow.providers.http.hooks.http import HttpHook"),
        ("hooks/openai_run.py", "import no_such_distribution"),
    ],
)
def test_an_undeclared_import_is_found(path: str, line: str) -> None:
    assert len(undeclared(path, line)) == 1


def test_every_declared_distribution_is_imported() -> None:
    used = {
        name
        for source in modules().values()
        for module in imported_modules(source)
        for name in distributions_of(module)
    }

    assert set(every_requirement()) <= used


@pytest.mark.parametrize("requirement", every_requirement().values(), ids=str)
def test_the_oldest_lock_has_each_lower_bound(requirement: Requirement) -> None:
    lock = (ROOT / ".ci" / "oldest.lock").read_text(encoding="utf-8")
    pinned = re.search(rf"^{re.escape(canonicalize_name(requirement.name))}==([^\s;]+)", lock, re.MULTILINE)
    (bound,) = [Version(one.version) for one in requirement.specifier if one.operator == ">="]

    assert pinned
    assert Version(pinned[1]) == bound
