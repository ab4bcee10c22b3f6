"""The stylesheet and the script fit the templates."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from airflow_provider_openai_run import run_page
from airflow_provider_openai_run.run_page.routes import _SCRIPTS, _STYLESHEETS
from airflow_provider_openai_run.run_page.severity import SEVERITIES

FOLDER = Path(run_page.__path__[0])
CSS = "\n".join((FOLDER / "static" / name).read_text(encoding="utf-8") for name in _STYLESHEETS)
SCRIPTS = sorted((FOLDER / "static").glob("*.js"))
JAVASCRIPT = "\n".join(path.read_text(encoding="utf-8") for path in SCRIPTS)
TEMPLATES = "\n".join(path.read_text(encoding="utf-8") for path in sorted((FOLDER / "templates").iterdir()))
STYLED_CLASSES = set(re.findall(r"\.([a-z][a-z-]*)", re.sub(r"/\*.*?\*/", "", CSS)))
#: Classes that the script sets, or that templates fill in from a value.
COMPUTED_CLASSES = {*SEVERITIES.values(), "cached", "prompt", "reasoning", "completion", "copied", "button"}


@pytest.mark.parametrize("severity", sorted(set(SEVERITIES.values())))
def test_every_severity_has_a_color(severity: str) -> None:
    assert re.search(rf"^\.{severity} {{\n  --severity: ", CSS, re.MULTILINE)


def test_every_styled_class_is_used_by_a_template() -> None:
    names = set(re.findall(r"[a-z][a-z-]*", " ".join(re.findall(r'class="([^"]*)"', TEMPLATES))))
    assert STYLED_CLASSES - COMPUTED_CLASSES - names == set()


def test_every_data_attribute_of_a_template_is_read_by_the_script() -> None:
    names = set(re.findall(r"\bdata-([a-z-]+)", TEMPLATES))
    properties = {re.sub(r"-(\w)", lambda match: match[1].upper(), name): name for name in names}
    unused = [
        name
        for key, name in properties.items()
        if not re.search(rf'dataset\.{key}\b|"{key}" in|\[data-{name}\b', JAVASCRIPT)
    ]
    assert unused == []


def test_every_script_is_served_and_has_its_imports() -> None:
    assert {path.name for path in SCRIPTS} == set(_SCRIPTS)
    imported = set(re.findall(r'(?:from|import) "\./([a-z]+\.js)"', JAVASCRIPT))
    assert imported == set(_SCRIPTS) - {"theme.js", "page.js"}


def test_each_color_is_defined_once_for_both_themes() -> None:
    colors = re.findall(r"^  (--[a-z-]+): light-dark\(", CSS, re.MULTILINE)
    assert len(colors) > 5
    assert CSS.count("prefers-color-scheme") == 0
