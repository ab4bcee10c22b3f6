"""Build the sdist and a wheel from it, and check what Airflow finds in the wheel in its own environment."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
DISTRIBUTION = "airflow-provider-openai-run"
PACKAGE = "airflow_provider_openai_run"
LINK = f"{PACKAGE}.links.openai_run.OpenAIRunLink"
PLUGIN = "openai_run_page"
OFFICIAL_DISTRIBUTION = "apache-airflow-providers-openai"
OFFICIAL_HOOK = "airflow.providers.openai.hooks.openai.OpenAIHook"
IMPORT_ALL = f"""
import importlib, pkgutil, {PACKAGE} as package
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    if not module.name.endswith((".__main__", ".pytest_plugin")):
        importlib.import_module(module.name)
"""
UV = str(Path(sysconfig.get_path("scripts")) / "uv")


def check(condition: object, message: str) -> None:
    if not condition:
        sys.exit(message)


def build() -> tuple[Path, Path]:
    """Return the sdist and the wheel built from it, which proves that the sdist is complete."""
    output = BUILD / "dist"
    shutil.rmtree(output, ignore_errors=True)
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(output), str(ROOT)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    (sdist,) = output.glob("*.tar.gz")
    (wheel,) = output.glob("*.whl")
    return sdist, wheel


def check_contents(sdist: Path, wheel: Path) -> None:
    source = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / PACKAGE).rglob("*")
        if path.is_file() and not {"__pycache__", ".ruff_cache", ".mypy_cache"} & set(path.parts)
    }
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
        metadata = {name.partition(".dist-info/")[2] for name in archive.namelist()} - {""}
    check(packed == source, f"The wheel differs from the package: {sorted(packed ^ source)}")
    check("licenses/LICENSE" in metadata, f"The wheel has no licence: {sorted(metadata)}")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    missing = source | {
        "LICENSE",
        "README.md",
        "SECURITY.md",
        "docs/conf.py",
        "tests/conftest.py",
        ".ci/test",
    }
    check(not missing - names, f"The sdist lacks {sorted(missing - names)}")


def install(wheel: Path) -> Path:
    """Install the wheel and its dependencies in the lock's versions; return the folder of the programs."""
    environment = BUILD / "wheel"
    subprocess.run([UV, "venv", "--quiet", "--clear", "--python", sys.executable, environment], check=True)
    python = environment / "bin" / "python"
    constraint = ["--constraint", str(ROOT / "requirements.lock")]
    subprocess.run([UV, "pip", "install", "--quiet", "--python", python, *constraint, wheel], check=True)
    return environment / "bin"


class Environment:
    """The programs of an environment, with their own home and working directory."""

    def __init__(self, programs: Path, home: str) -> None:
        self._programs = programs
        self._home = home
        self._variables = {
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "HOME": home,
            "AIRFLOW_HOME": home,
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        }

    def airflow(self, *arguments: str) -> Any:
        """Return the output of ``airflow ARGUMENTS --output json``."""
        return json.loads(self._run("airflow", *arguments, "--output", "json"))

    def import_all(self) -> None:
        """Import each module of the package, with only the package's dependencies installed."""
        self._run("python", "-c", IMPORT_ALL)

    def _run(self, program: str, *arguments: str) -> str:
        command = [str(self._programs / program), *arguments]
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, cwd=self._home, env=self._variables
        )
        check(done.returncode == 0, f"{program} {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
        return done.stdout


def check_airflow(environment: Environment, version: str) -> None:
    listed = {row["package_name"]: row["version"] for row in environment.airflow("providers", "list")}
    check(listed.get(DISTRIBUTION) == version, f"airflow providers list returns {listed}")
    details = environment.airflow("providers", "get", DISTRIBUTION)
    check(any(row.get("Version") == version for row in details), f"airflow providers get returns {details}")
    hooks = {row["connection_type"]: row for row in environment.airflow("providers", "hooks")}
    official = (hooks["openai"]["class"], hooks["openai"]["package_name"])
    check(official == (OFFICIAL_HOOK, OFFICIAL_DISTRIBUTION), f"airflow providers hooks returns {official}")
    triggers = environment.airflow("providers", "triggers")
    ours = {row["class"] for row in triggers if row["package_name"] == DISTRIBUTION}
    public = {f"{PACKAGE}.triggers.{path.stem}" for path in (ROOT / PACKAGE / "triggers").glob("[!_]*.py")}
    check(ours == public, f"airflow providers triggers returns {triggers}")
    links = environment.airflow("providers", "links")
    check({"extra_link_class_name": LINK} in links, f"airflow providers links returns {links}")
    plugins = [plugin["name"] for plugin in environment.airflow("plugins")]
    check(PLUGIN in plugins, f"airflow plugins returns {plugins}")


def main() -> None:
    sdist, wheel = build()
    check_contents(sdist, wheel)
    print(f"built {sdist.name} and {wheel.name}")
    with TemporaryDirectory() as home:
        environment = Environment(install(wheel), home)
        environment.import_all()
        check_airflow(environment, version=wheel.name.split("-")[1])
    print("airflow providers list, get, hooks, triggers, links and airflow plugins show the provider")


if __name__ == "__main__":
    main()
