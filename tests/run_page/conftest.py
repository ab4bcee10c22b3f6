"""Import the parts of Airflow that the page needs, before the tests."""

from __future__ import annotations

import warnings
from importlib import import_module

with warnings.catch_warnings():
    # Airflow 3.1's API uses features that current libraries have deprecated.
    warnings.simplefilter("ignore")
    import_module("airflow.api_fastapi.core_api.security")
    import_module("airflow.api_fastapi.common.db.common")
