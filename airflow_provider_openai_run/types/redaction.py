"""Text that is safe to log: storable, with credentials masked, and cut to the length of a log line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from airflow_provider_openai_run.types.storable import bounded_text

_SECRET = re.compile(
    r"""(?ix)
    (?<![a-z0-9]) (?:sk|sess|org|proj)-[\w*.-]{4,}
    | (?<=bearer) (?P<after_scheme>[\s:]+) \S+
    | (?<=api\ key\ provided:) (?P<blank>\s*) \S+
    | (?<=://) [^/?\#@\s]+ (?=@)
    """
)
#: The form in which OpenAI itself shows a key, such as ``sk-w****00``: it says which key it was.
_REDACTED_BY_API = re.compile(r"['\"]?(?:sk|sess)-(?:proj-|svcacct-|admin-)?\w{0,4}\*{3,}\w{0,4}")
#: What stands in the place of a credential, and of an argument that must not be stored.
MASK = "***"
MAX_CHARACTERS = 500

#: Shorter secrets are masked only as whole words: placeholders, which are part of ordinary words.
_MIN_LENGTH_WITHIN_WORDS = 8
_MIN_LENGTH = 4
_AUTH_SCHEMES = frozenset({"bearer", "basic", "digest", "token", "apikey"})
_CREDENTIAL_HEADER = re.compile(r"(?i)auth|key|token|secret|cookie|password|credential|signature")
_PUBLIC_HEADER = re.compile(
    r"(?i)accept(-.*)?|connection|content-.*|host|user-agent|openai-.*|idempotency-key|x-stainless-.*"
)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """
    Return a text that can be stored and logged: with credentials masked, cut to 500 characters.

    :param text: the text of a server or a library.
    :param secrets: known credentials to mask; what looks like an API key is masked in any case.
    """
    return bounded_text(mask_secrets(text, secrets), MAX_CHARACTERS)


def mask_secrets(text: str, secrets: Iterable[str] = ()) -> str:
    """
    Return a text with credentials masked, of any length.

    :param text: any text.
    :param secrets: known credentials to mask; what looks like an API key is masked in any case.
    """
    # The longest first, because one may be a part of another.
    for secret in sorted(set(secrets), key=len, reverse=True):
        if len(secret) >= _MIN_LENGTH_WITHIN_WORDS:
            text = text.replace(secret, MASK)
        elif len(secret) >= _MIN_LENGTH and secret in text:
            text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", MASK, text)
    return _SECRET.sub(_mask, text)


def _mask(match: re.Match[str]) -> str:
    before = match["after_scheme"] or match["blank"] or ""
    word = match[0][len(before) :]
    bare = word.rstrip(".,;:'\")")
    return match[0] if _REDACTED_BY_API.fullmatch(bare) else f"{before}{MASK}{word[len(bare) :]}"


def secrets_in_headers(headers: Mapping[str, str]) -> tuple[str, ...]:
    """
    Return the credentials in the headers of a request, for :func:`redact`.

    :param headers: as they are sent. Those that every client sends are public; of credentials, each word
        counts, because ``Bearer`` stands before some.
    """
    secrets: dict[str, None] = {}
    for name, value in headers.items():
        if _PUBLIC_HEADER.fullmatch(name):
            continue
        if _CREDENTIAL_HEADER.search(name):
            words = [word for word in re.split(r"[\s;,]+", value) if len(word) >= _MIN_LENGTH]
            secrets.update(dict.fromkeys(word for word in words if word.lower() not in _AUTH_SCHEMES))
        elif len(value) >= _MIN_LENGTH_WITHIN_WORDS:
            secrets[value] = None
    return tuple(secrets)
