"""The environment variables of the test process: at its start, and during its tests."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

#: The variables at the start; installers of other servers need its proxies and mirrors.
OUTSIDE = dict(os.environ)

AIRFLOW_HOME = Path(tempfile.mkdtemp(prefix="airflow-home-"))


def enter() -> None:
    """
    Set a new Airflow home, and remove the variables that would send a client to another machine.

    Airflow reads its settings when it is first imported, so this must run before any test module is imported.
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
