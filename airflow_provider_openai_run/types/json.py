"""The type of JSON values."""

from __future__ import annotations

from typing import TypeAlias

#: Any value that JSON can hold.
Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
