"""The layers check in pyproject.toml fails where it must, and covers modules that are loaded by name."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import airflow_provider_openai_run

pytest.importorskip("importlinter", reason="the layers check is a tool of the dependency group dev")

PACKAGE = Path(airflow_provider_openai_run.__path__[0])
CONFIGURATION = PACKAGE.parent / "pyproject.toml"
NAME = PACKAGE.name
LAYERS = "A package imports only from the layers below it"
CIRCLES = "Modules and packages do not import each other in a circle"
SANDBOX = "The sandbox imports only the types"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The package and its contracts, in a folder where a test may change them."""
    shutil.copy(CONFIGURATION, tmp_path)
    shutil.copytree(PACKAGE, tmp_path / NAME, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / NAME


def check(package: Path) -> tuple[int, str]:
    """Run the check on a copy; return its exit code and its output in one line."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--no-logo"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=package.parent)
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def add(module: Path, line: str) -> None:
    module.write_text(f"{module.read_text(encoding='utf-8')}\n{line}\n", encoding="utf-8")


def broken(output: str) -> set[str]:
    return {contract for contract in (LAYERS, CIRCLES, SANDBOX) if f"{contract} BROKEN" in output}


def test_the_package_keeps_its_layers(copy: Path) -> None:
    assert check(copy)[0] == 0, check(copy)[1]


def test_an_upward_import_fails_the_check(copy: Path) -> None:
    add(copy / "api" / "http.py", f"import {NAME}.hooks.openai_run")

    exit_code, output = check(copy)

    assert exit_code == 1
    assert LAYERS in broken(output)
    assert f"{NAME}.api.http -> {NAME}.hooks.openai_run" in output


def test_an_upward_import_for_type_checkers_fails_the_check(copy: Path) -> None:
    add(copy / "types" / "run.py", "from typing import TYPE_CHECKING")
    add(copy / "types" / "run.py", f"if TYPE_CHECKING:\n    import {NAME}.polling.policy")

    exit_code, output = check(copy)

    assert exit_code == 1
    assert f"{NAME}.types.run -> {NAME}.polling.policy" in output


def test_a_circle_within_a_package_fails_the_check(copy: Path) -> None:
    (copy / "connection" / "first.py").write_text(f"import {NAME}.connection.second\n", encoding="utf-8")
    (copy / "connection" / "second.py").write_text(f"import {NAME}.connection.first\n", encoding="utf-8")

    exit_code, output = check(copy)

    assert exit_code == 1
    assert broken(output) == {CIRCLES}
    assert "connection" in output


def test_a_package_without_a_layer_fails_the_check(copy: Path) -> None:
    (copy / "reports").mkdir()
    (copy / "reports" / "__init__.py").touch()

    exit_code, output = check(copy)

    assert exit_code == 1
    assert f"{NAME}.reports" in output


@pytest.mark.parametrize("other", ["exceptions", "hooks.openai_run"])
def test_a_sandbox_that_imports_more_than_types_fails_the_check(copy: Path, other: str) -> None:
    add(copy / "sandbox" / "clock.py", f"import {NAME}.{other}")

    exit_code, output = check(copy)

    assert exit_code == 1
    assert broken(output) == {SANDBOX}


def test_the_sandbox_contract_names_every_other_package() -> None:
    contracts = tomllib.loads(CONFIGURATION.read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    forbidden = next(one["forbidden_modules"] for one in contracts if one["id"] == "sandbox")
    present = {
        f"{NAME}.{path.stem}"
        for path in PACKAGE.iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }

    assert set(forbidden) == present - {f"{NAME}.{name}" for name in ("__init__", "sandbox", "types")}


def test_modules_that_are_loaded_by_name_keep_the_layers_too(copy: Path) -> None:
    found = [
        (path, name) for path in sorted(copy.rglob("*.py")) for name in modules_named_in(path, copy.parent)
    ]
    for path, name in found:
        add(path, f"import {name}")

    exit_code, output = check(copy)

    assert (copy / "triggers" / "openai_run.py", f"{NAME}.triggerer.connection_poller") in found
    assert exit_code == 0, output


@pytest.mark.parametrize(
    "line", [f'LATER = "{NAME}.hooks.openai_run"', f'LATER = "{NAME}.hooks.openai_run.Hook"']
)
def test_an_upward_name_in_a_string_is_found(copy: Path, line: str) -> None:
    add(copy / "api" / "http.py", line)

    assert list(modules_named_in(copy / "api" / "http.py", copy.parent)) == [f"{NAME}.hooks.openai_run"]


def modules_named_in(path: Path, root: Path) -> Iterator[str]:
    """
    Yield the modules of the package that a module has the names of in strings, other than itself.

    Where it builds names with ``f"{__package__}.…"``, every string that names a module beside it counts.
    """
    own = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    builds_names = any(isinstance(node, ast.Name) and node.id == "__package__" for node in nodes)
    prefixes = ("", f"{own.rpartition('.')[0]}.") if builds_names else ("",)
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            for prefix in prefixes:
                name = module_of(prefix + node.value, root)
                if name and not own.startswith(name):
                    yield name


def module_of(dotted: str, root: Path) -> str | None:
    """Return the module that a dotted name is, or is in; None if it is not one of the package."""
    parts = dotted.split(".")
    while len(parts) > 1 and parts[0] == NAME and all(map(str.isidentifier, parts)):
        path = root.joinpath(*parts)
        if path.with_suffix(".py").exists() or (path / "__init__.py").exists():
            return ".".join(parts)
        parts.pop()
    return None
