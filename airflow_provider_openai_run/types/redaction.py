"""Text that is safe to log: credentials are masked, and it is cut to the length of a log line."""

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

    :param text: the text of a server or a library.
    :param secrets: known credentials to mask; what looks like an API key is masked in any case.
    """
    for secret in secrets:
        text = text.replace(secret, "***")
    masked = _SECRET.sub("***", text)
    return masked if len(masked) <= MAX_CHARACTERS else f"{masked[:MAX_CHARACTERS]}…"
