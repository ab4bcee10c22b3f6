"""Configuration of Sphinx: ``sphinx-build -W --keep-going -b html docs build/docs``."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

# The modules that are documented import Airflow, which makes its home where this says.
os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="airflow-home-")
atexit.register(shutil.rmtree, os.environ["AIRFLOW_HOME"], ignore_errors=True)

from airflow_provider_openai_run import __version__  # noqa: E402 - after the home

project = "airflow-provider-openai-run"
release = __version__
language = "en-GB"

extensions = ["sphinx.ext.autodoc", "myst_parser", "sphinx_copybutton"]
myst_heading_anchors = 3

# A reference that leads nowhere is a warning, and the gate takes warnings for errors.
nitpicky = True
# What belongs to others has no page here,
nitpick_ignore_regex = [
    ("py:.*", r"(airflow|collections|datetime|openai)\..*"),
    ("py:.*", r"logging|(.*\.)?T"),
]
# and neither have these types of arguments and results.
nitpick_ignore = [
    (kind, name)
    for kind in ("py:class", "py:exc")
    for name in (
        "AsyncOpenAI",
        "BaseOperator",
        "BaseModel",
        "Faults",
        "FileObject",
        "FileSource",
        "os.PathLike",
        "Json",
        "JsonObject",
        "RequiresActionPolicy",
        "ActiveRunPolicy",
        "ToolErrorPolicy",
        "WaitFor",
        "WindowName",
        "OpenAI",
        "TriggerEvent",
        "TaskDecorator",
        "TaskInstanceKey",
        "timedelta",
        "Decision",
        "InvalidTriggerArgumentError",
    )
]

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_title = f"{project} {release}"
html_show_copyright = False
html_copy_source = False
