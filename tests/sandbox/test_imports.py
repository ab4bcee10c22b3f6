"""The sandbox is independent of the rest of the package."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import airflow_provider_openai_run

PACKAGE = Path(airflow_provider_openai_run.__file__).parent
SANDBOX = PACKAGE / "sandbox"
NAME = "airflow_provider_openai_run"
ALLOWED = {"fastapi", "starlette", "uvicorn"}


def imported(module: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_importing_the_sandbox_imports_neither_airflow_nor_openai() -> None:
    program = (
        "import sys, airflow_provider_openai_run.sandbox as s; "
        "print([name for name in sys.modules if name.partition('.')[0] in ('airflow', 'openai', 'pytest')])"
    )
    outcome = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert outcome.stdout.strip() == "[]"


def test_the_sandbox_depends_only_on_fastapi_and_uvicorn() -> None:
    for module in SANDBOX.glob("*.py"):
        roots = {name.partition(".")[0] for name in imported(module)} - set(sys.stdlib_module_names)
        allowed = ALLOWED | {NAME} | ({"pytest"} if module.name == "pytest_plugin.py" else set())
        assert roots <= allowed, module.name


def test_the_sandbox_imports_no_other_module_of_the_package() -> None:
    for module in SANDBOX.glob("*.py"):
        own = {name for name in imported(module) if name.startswith(NAME)}
        assert all(name.startswith(f"{NAME}.sandbox") for name in own), module.name


def test_no_other_module_imports_the_sandbox() -> None:
    outside = [module for module in PACKAGE.rglob("*.py") if SANDBOX not in module.parents]
    assert outside
    for module in outside:
        assert not any(name.startswith(f"{NAME}.sandbox") for name in imported(module)), module
