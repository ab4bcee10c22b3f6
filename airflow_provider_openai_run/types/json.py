"""The types of JSON values."""

from __future__ import annotations

from typing import Any, TypeAlias

#: Any value that JSON can hold.
Json: TypeAlias = Any

#: A JSON object.
JsonObject: TypeAlias = dict[str, Json]
