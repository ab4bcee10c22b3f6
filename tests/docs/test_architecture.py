"""The architecture page names files that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
WALKS = PAGE.partition("## Where to change what")[2].partition("## Promises")[0]
PATHS = sorted(set(re.findall(r"`((?:airflow_provider_openai_run|tests|docs)/[\w./-]+)`", WALKS)))
PACKAGES = re.findall(r"`(\w+(?:/|\.py))`", PAGE.partition("| package |")[2].partition("```")[0])


def test_the_walks_name_enough_paths() -> None:
    assert len(PATHS) > 20


@pytest.mark.parametrize("path", PATHS)
def test_each_path_of_a_walk_exists(path: str) -> None:
    assert (ROOT / path).is_file()


def test_every_package_is_described() -> None:
    package = ROOT / "airflow_provider_openai_run"
    folders = {f"{item.name}/" for item in package.iterdir() if (item / "__init__.py").is_file()}
    assert folders <= set(PACKAGES)
