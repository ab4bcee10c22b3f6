"""Airflow provider that waits for what OpenAI runs: Assistants runs and background Responses."""

from __future__ import annotations

__version__ = "0.1.0"
