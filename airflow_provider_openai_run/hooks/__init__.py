"""Hooks."""

from __future__ import annotations

#: The connection that everything uses unless told otherwise: the official provider's default.
DEFAULT_CONN_ID = "openai_default"
