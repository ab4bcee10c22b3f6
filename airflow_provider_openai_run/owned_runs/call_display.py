"""Pending calls as a form shows them to a person: exactly what will be done, and nothing that disguises it.

The name and the arguments of a call are a model's or an MCP server's text. They must not leave their place
in the form's Markdown, reorder or hide characters, or show a credential.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import TYPE_CHECKING

from airflow_provider_openai_run.types.redaction import mask_secrets
from airflow_provider_openai_run.types.storable import bounded_text, storable_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_openai_run.types.required_action import PendingCall

_MAX_LABEL_CHARACTERS = 100
#: Control and format characters (which reverse or hide text), private ones, and separators of lines.
_INVISIBLE = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})
_SHOWN_AS_THEY_ARE = frozenset("\n\t")


def call_label(call: PendingCall) -> str:
    """Return the name of a call on one line, with the MCP server that has the tool."""
    names = (call.name, call.server_label or "")
    name, server = (bounded_text(" ".join(_visible(text).split()), _MAX_LABEL_CHARACTERS) for text in names)
    return f"{name} of {server}" if server else name


def code_span(text: str) -> str:
    """Return a text of one line as Markdown that shows it as it is."""
    fence = _fence(text, 1)
    return f"{fence} {text} {fence}" if "`" in text else f"{fence}{text}{fence}"


def arguments_block(call: PendingCall, max_characters: int | None, secrets: Iterable[str]) -> str:
    """
    Return the arguments of a call as a block of Markdown, one value on a line if they are JSON.

    :param call: the call.
    :param max_characters: how much is shown; a sentence says how much is not. None shows all.
    :param secrets: the credentials of the connection, to mask.
    """
    # Where each value has its line, no part of the arguments is beyond the edge of the screen.
    masked = mask_secrets(_one_value_a_line(call.arguments_text), secrets)
    text = _visible(storable_text(masked))
    shown = text if max_characters is None else text[:max_characters]
    fence = _fence(shown, 3)
    block = f"{fence}json\n{shown}\n{fence}"
    left_out = len(text) - len(shown)
    return f"{block}\n\n{left_out} more characters are not shown." if left_out else block


def _fence(text: str, shortest: int) -> str:
    longest_in_text = max(map(len, re.findall("`+", text)), default=0)
    return "`" * max(shortest, longest_in_text + 1)


def _visible(text: str) -> str:
    """Return a text with invisible characters as JSON escapes."""
    return "".join(
        json.dumps(character)[1:-1]
        if character not in _SHOWN_AS_THEY_ARE and unicodedata.category(character) in _INVISIBLE
        else character
        for character in text
    )


def _one_value_a_line(text: str) -> str:
    """Return JSON with one value on a line, unless that would change what it says; other text as it is."""
    try:
        indented = json.dumps(json.loads(text), ensure_ascii=False, indent=2)
        is_same = _literals(indented) == _literals(text)
    except (ValueError, RecursionError):
        return text
    return indented if is_same else text


def _literals(text: str) -> object:
    """Return JSON with numbers as they are written, and with every pair of an object that repeats a key."""
    return json.loads(
        text, parse_float=str, parse_int=str, parse_constant=str, object_pairs_hook=lambda pairs: pairs
    )
