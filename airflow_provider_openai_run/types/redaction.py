"""Text that may leave the process: credentials masked, and no longer than a log line should be."""

from __future__ import annotations

import re
from collections.abc import Iterable

_SECRET = re.compile(
    r"(?i)(?<![a-z0-9])(?:sk|sess|org|proj)-[\w*.-]{4,}|(?<=bearer)[\s:]+\S+|(?<=api key provided:)\s*\S+"
)
MAX_CHARACTERS = 500


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """
    Return a text with credentials masked, cut to 500 characters.

    :param text: what a server or a library wrote.
    :param secrets: credentials to mask whatever they look like; what looks like a key is masked anyway.
    """
    for secret in secrets:
        text = text.replace(secret, "***")
    masked = _SECRET.sub("***", text)
    return masked if len(masked) <= MAX_CHARACTERS else f"{masked[:MAX_CHARACTERS]}…"
