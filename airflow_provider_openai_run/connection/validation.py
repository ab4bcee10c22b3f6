"""Checks of single fields of a connection.

Each takes the field's name, for the message, and its value from JSON. It returns the value, or raises
:class:`FieldError`. No message repeats a value that may be a secret.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from airflow_provider_openai_run.api.endpoints import is_openai

if TYPE_CHECKING:
    from airflow_provider_openai_run.types.json import Json

#: Paths that the OpenAI client appends to the base URL.
_CLIENT_PATH = re.compile(r"/(responses|chat/completions|completions|threads(/runs)?)/?$")
_NOT_IN_URL = re.compile(r"[\s\x00-\x1f\x7f\\]|(?<!:)//|/\.\.")
_NOT_IN_HEADER = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]|[^\x00-\xff]")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_KEY = re.compile(r"(?i)(?!bearer )[!-~]([ -~]*[!-~])?")
#: A longer text without a scheme may be a token in the wrong field, so it is not repeated.
_MAX_HOST_LENGTH = 80


class FieldError(ValueError):
    """A field of a connection is wrong; the message names the field and the remedy."""


def require_object(name: str, value: Json) -> dict[str, Json]:
    """Require a JSON object."""
    if not isinstance(value, dict):
        raise FieldError(f"{name} must be an object, not {_kind(value)}")
    return value


def require_text(name: str, value: Json) -> str:
    """Require text that is not blank."""
    if not isinstance(value, str) or not value.strip():
        raise FieldError(f"{name} must be text, not {_kind(value)}")
    return value


def require_number(name: str, value: Json, *, whole: bool = False, zero: bool = True) -> float:
    """
    Require a number that is not negative; a number in quotes is text.

    :param whole: whether it must be whole.
    :param zero: whether it may be 0.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    number = value if isinstance(value, int if whole else int | float) and is_number else None
    if number is None or not math.isfinite(number) or number < 0 or (number == 0 and not zero):
        expected = f"a {'whole ' if whole else ''}number {'of at least' if zero else 'above'} 0"
        given = _kind(value) if number is None else f"{number:g}"
        raise FieldError(f"{name} must be {expected}, not {given}")
    return float(number)


def require_key(name: str, value: Json) -> str:
    """Require an API key, which HTTP headers can carry."""
    key = require_text(name, value)
    if not _KEY.fullmatch(key):
        raise FieldError(
            f"{name} must be the key alone: no 'Bearer', no white space at its ends, printable ASCII only"
        )
    return key


def require_url(name: str, value: Json, example: str = "https://api.openai.com/v1") -> str:
    """
    Require the URL of a server, without credentials, query and fragment.

    :param example: a valid one, for the message.
    """
    url = require_text(name, value)
    parts = _split(url)
    if "@" in (parts.netloc or url):
        raise FieldError(f"{name} must not have a user name or password")
    if "://" not in url and "." in url and len(url) <= _MAX_HOST_LENGTH and not _NOT_IN_URL.search(url):
        raise FieldError(f"{name} has no scheme; write https://{url}")
    if parts.scheme not in ("http", "https") or not parts.hostname or _NOT_IN_URL.search(url):
        raise FieldError(f"{name} is not a URL; write one such as {example}")
    if parts.query or parts.fragment or url.endswith(("?", "#")):
        raise FieldError(f"{name} must end with its path; write query parameters into default_query")
    return url


def require_base_url(name: str, value: Json) -> str:
    """Require the base URL of an API."""
    bare = _split(f"https://{value}")
    if "://" not in str(value) and is_openai(f"https://{value}") and not bare.path.startswith("/v1"):
        raise FieldError(f"{name} has no scheme and no path '/v1'; write https://{bare.hostname}/v1")
    url = require_url(name, value)
    path = _split(url).path
    if found := _CLIENT_PATH.search(path):
        raise FieldError(f"{name} ends in {found.group()!r}, which the client appends; leave that out")
    if is_openai(url) and not path.startswith("/v1"):
        raise FieldError(f"{name} lacks the path '/v1'; write https://{_split(url).hostname}/v1")
    return url


def require_headers(name: str, value: Json) -> dict[str, str]:
    """Require an object of HTTP headers."""
    headers: dict[str, str] = {}
    for header, content in require_object(name, value).items():
        is_valid = _HEADER_NAME.fullmatch(header) is not None
        if not is_valid or not isinstance(content, str) or _NOT_IN_HEADER.search(content):
            raise FieldError(f"{name}: {header!r} and its value must be text that an HTTP header can carry")
        headers[header] = content
    return headers


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return SplitResult("", "", "", "", "")
    return parts


def _kind(value: Json) -> str:
    if isinstance(value, str):
        return "text" if value.strip() else "empty"
    names = {bool: "true or false", dict: "an object", list: "a list", int: "a number", float: "a number"}
    return names.get(type(value), "null")
