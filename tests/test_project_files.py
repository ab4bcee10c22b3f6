"""The files around the code agree with each other: hooks, workflow, stages and supported versions."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
TEST_SCRIPT = (ROOT / ".ci" / "test").read_text(encoding="utf-8")
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_workflow_tests_each_supported_python() -> None:
    path = ROOT / ".github" / "workflows" / "test.yml"
    if not path.exists():
        pytest.skip("the sdist does not contain the workflow")
    job = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]["test"]
    versions = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))

    assert job["strategy"]["matrix"]["python"] == versions
    assert [step["run"] for step in job["steps"] if "run" in step] == ["sh .ci/test"]


def test_every_hook_runs_a_tool_of_the_environment() -> None:
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]

    assert repository["repo"] == "local"
    assert {hook["language"] for hook in repository["hooks"]} == {"system"}
    assert all(hook["entry"].startswith(".venv/bin/") for hook in repository["hooks"])


def test_each_stage_is_described_and_run() -> None:
    described = re.findall(r"^#   (\w+)  ", TEST_SCRIPT, re.MULTILINE)
    functions = re.findall(r"^(\w+)\(\) \{$", TEST_SCRIPT, re.MULTILINE)

    assert described == [*functions, "fast"]
    assert f"set -- {' '.join(functions)}\n" in TEST_SCRIPT
    assert f"{' | '.join(functions)}) ;;" in TEST_SCRIPT


@pytest.mark.parametrize("name", ["Homepage", "Documentation", "Changelog", "Source"])
def test_the_project_has_its_links(name: str) -> None:
    assert PROJECT["urls"][name].startswith("https://github.com/")
    assert "/airflow-provider-openai-run" in PROJECT["urls"][name]
