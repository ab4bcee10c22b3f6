"""Checks of single fields of a connection: each gives the value back, or says what is wrong with it.

No message holds a value that may be a secret.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from airflow_provider_openai_run.api.endpoints import is_openai

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow_provider_openai_run.types.run import Json

#: What the client adds to a base URL by itself.
_OF_THE_CLIENT = re.compile(r"/(responses|chat/completions|completions|threads(/runs)?)/?$")
_NO_HEADER = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]|[^\x00-\xff]")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
#: Beyond this a host without a scheme is not repeated.
_LONGEST_HOST = 80


class FieldError(ValueError):
    """What is wrong with one field, as a sentence that names it."""


def checked_extra(text: str | None) -> dict[str, Json]:
    """
    Read the extra.

    :param text: as Airflow keeps it.
    :raises FieldError: unless it is a JSON object.
    """
    if not text or not text.strip():
        return {}
    try:
        extra = json.loads(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise FieldError(f"extra is no JSON at {where}; write an object, such as {{}}") from None
    if not isinstance(extra, dict):
        raise FieldError(f"extra is a JSON {type(extra).__name__}; write an object, such as {{}}")
    return extra


def checked_text(name: str, value: Json) -> str:
    """
    Take a text.

    :param name: the field.
    :param value: what it holds.
    :raises FieldError: unless it is text with something in it.
    """
    if not isinstance(value, str) or not value.strip():
        raise FieldError(f"{name} must be text, not {_kind(value)}")
    return value


def checked_url(name: str, value: Json, example: str = "https://api.openai.com/v1") -> str:
    """
    Take the URL of a server.

    :param name: the field.
    :param value: what it holds.
    :param example: one that is right, for the sentence.
    :raises FieldError: for what no request could be sent to, or not without leaking what it holds.
    """
    url = checked_text(name, value)
    if re.search(r"[\s\x00-\x1f\x7f\\]", url):
        raise FieldError(f"{name} holds white space or a backslash; take it out")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise FieldError(f"{name} is no URL; write one such as {example}") from None
    if "@" in parts.netloc or ("@" in url and "://" not in url):
        raise FieldError(f"{name} holds a user name or password; take it out")
    if "://" not in url:
        # It may be a key or a token that went into the wrong field.
        right = (
            f"https://{url}" if "." in url and len(url) < _LONGEST_HOST else f"a whole URL, such as {example}"
        )
        raise FieldError(f"{name} has no scheme; write {right}")
    if parts.scheme not in ("http", "https"):
        raise FieldError(f"{name} has the scheme {parts.scheme!r}; write one such as {example}")
    if not parts.hostname:
        raise FieldError(f"{name} names no host; write one such as {example}")
    if parts.query or parts.fragment or url.endswith(("?", "#")):
        raise FieldError(f"{name} ends in a query or a fragment; put it into default_query")
    return url


def checked_base_url(name: str, value: Json) -> str:
    """
    Take the base URL of an API.

    :param name: the field.
    :param value: what it holds.
    :raises FieldError: for what :func:`checked_url` refuses, and for paths that no API starts at.
    """
    url = checked_url(name, value)
    path = urlsplit(url).path
    if found := _OF_THE_CLIENT.search(path):
        raise FieldError(f"{name} ends in {found.group()!r}, which the client adds; end it before that")
    if "//" in path or "/.." in path:
        raise FieldError(f"{name} has the path {path!r}; write it without '//' and '..'")
    if is_openai(url) and not path.startswith("/v1"):
        raise FieldError(f"{name} lacks the path '/v1'; write https://{urlsplit(url).hostname}/v1")
    return url


def checked_key(name: str, value: Json) -> str:
    """
    Take an API key.

    :param name: the field.
    :param value: what it holds.
    :raises FieldError: for what no header can carry, or what is more than the key.
    """
    key = checked_text(name, value)
    if key != key.strip():
        raise FieldError(f"{name} begins or ends with white space; take it out")
    if key.lower().startswith("bearer "):
        raise FieldError(f"{name} begins with 'Bearer'; write the key alone")
    if _NO_HEADER.search(key) or not key.isascii():
        raise FieldError(f"{name} holds characters that no HTTP header can carry; copy the key anew")
    return key


def checked_number(name: str, value: Json, *, at_least: float, whole: bool = False) -> float:
    """
    Take a number.

    :param name: the field.
    :param value: what it holds.
    :param at_least: the least it may be.
    :param whole: whether it counts something.
    :raises FieldError: for anything else, a number in quotes included.
    """
    kind = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kind) or not math.isfinite(value):
        hint = "; write it without quotes" if isinstance(value, str) and _is_number(value) else ""
        given = value if isinstance(value, float) else f"{_kind(value)}{hint}"
        raise FieldError(f"{name} must be a {'whole ' if whole else ''}number, not {given}")
    if value < at_least:
        raise FieldError(f"{name} must be at least {at_least:g}, not {value:g}")
    return value


def checked_headers(name: str, value: Json) -> dict[str, str]:
    """
    Take headers.

    :param name: the field.
    :param value: what it holds.
    :raises FieldError: unless it is an object of texts that HTTP can carry.
    """
    headers = checked_object(name, value)
    for header, held in headers.items():
        if not _HEADER_NAME.fullmatch(header):
            raise FieldError(f"{name} has {header!r}, which is no name of a header")
        if not isinstance(held, str):
            raise FieldError(f"{name} has {header!r}, which must be text, not {_kind(held)}")
        if _NO_HEADER.search(held):
            raise FieldError(f"{name} has {header!r}, which holds characters that no HTTP header can carry")
    return headers


def checked_query(name: str, value: Json) -> dict[str, Json]:
    """
    Take query parameters.

    :param name: the field.
    :param value: what it holds.
    :raises FieldError: unless it is an object of texts, numbers and truth values.
    """
    query = checked_object(name, value)
    for parameter, held in query.items():
        if not isinstance(held, str | int | float):
            raise FieldError(f"{name} has {parameter!r}, which must be text or a number, not {_kind(held)}")
    return query


def checked_object(name: str, value: Json) -> dict[str, Json]:
    """
    Take a JSON object.

    :param name: the field.
    :param value: what it holds.
    :raises FieldError: unless it is one.
    """
    if not isinstance(value, dict):
        raise FieldError(f"{name} must be an object, not {_kind(value)}")
    return value


def likely(name: str, known: Collection[str]) -> str | None:
    """
    Give the name that was probably meant.

    :param name: as it was written.
    :param known: the names there are.
    """
    plain = name.lower().replace("-", "_").strip()
    return next(iter(difflib.get_close_matches(plain, sorted(known), n=1, cutoff=0.88)), None)


def _kind(value: Json) -> str:
    if value is None:
        return "null"
    if isinstance(value, str):
        return "text" if value.strip() else "empty"
    names = {bool: "true or false", dict: "an object", list: "a list", int: "a number", float: "a number"}
    return next((said for kind, said in names.items() if isinstance(value, kind)), type(value).__name__)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
