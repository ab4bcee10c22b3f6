"""What the page needs of Airflow, imported once."""

from __future__ import annotations

import warnings
from importlib import import_module

with warnings.catch_warnings():
    # Airflow 3.1's own API uses what the libraries of today have deprecated.
    warnings.simplefilter("ignore")
    import_module("airflow.api_fastapi.core_api.security")
    import_module("airflow.api_fastapi.common.db.common")
