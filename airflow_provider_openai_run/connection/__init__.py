"""The OpenAI connection: its settings, the clients made from it, and its check."""

from __future__ import annotations

#: The Airflow connection that is used where none is named.
DEFAULT_CONN_ID = "openai_default"
