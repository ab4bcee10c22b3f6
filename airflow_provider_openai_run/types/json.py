"""The type of JSON values, and what templates make of them."""

from __future__ import annotations

from typing import TypeAlias

#: Any value that JSON can hold.
Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


def as_text(value: Json) -> Json:
    """Return a number or a boolean, which ``render_template_as_native_obj`` makes of text, as text again."""
    return str(value) if isinstance(value, int | float) else value
