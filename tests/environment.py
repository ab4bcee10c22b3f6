"""The environment variables of the test process: what it was started with, and what its tests see."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

#: As the tests were started; installers of further servers need its proxies and mirrors.
OUTSIDE = dict(os.environ)

AIRFLOW_HOME = Path(tempfile.mkdtemp(prefix="airflow-home-"))


def enter() -> None:
    """
    Give Airflow a fresh home, and take away what would send a client elsewhere.

    Airflow reads its settings when it is first imported, so this comes before any test module is.
    """
    for name in OUTSIDE:
        if name.startswith(("AIRFLOW_", "OPENAI_", "AZURE_OPENAI_")) or name.lower().endswith("_proxy"):
            del os.environ[name]
    os.environ.update(
        AIRFLOW_HOME=str(AIRFLOW_HOME),
        AIRFLOW__CORE__LOAD_EXAMPLES="False",
        AIRFLOW__CORE__DAGS_FOLDER=str(AIRFLOW_HOME / "dags"),
        AIRFLOW__USAGE_DATA_COLLECTION__ENABLED="False",
    )
