"""The requests of a bulk task, one by one: read from a file or a list, checked, and named by their lines.

A line has the form of the Batch API (https://platform.openai.com/docs/guides/batch): ``custom_id``, ``body``,
and optionally ``method`` and ``url``. The keys ``error`` and ``response`` are ignored, so that the file of
failed requests that a task writes can be read in again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_openai_run.api.response_parameters import check_combination
from airflow_provider_openai_run.exceptions import BulkRequestsError
from airflow_provider_openai_run.types.storable import is_storable_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from airflow_provider_openai_run.owned_runs.identity import RunIdentity
    from airflow_provider_openai_run.types.json import Json

#: The request that each line stands for.
METHOD, URL = "POST", "/v1/responses"

_KEYS = frozenset({"custom_id", "method", "url", "body"})
_IGNORED_KEYS = frozenset({"error", "response"})
_URLS = frozenset({URL, "/responses"})
_MAX_CUSTOM_ID_CHARACTERS = 512
_MAX_QUOTED_CHARACTERS = 100

#: Objects of which a request sets some keys, and the defaults the others.
_MERGED_OBJECTS = ("text", "metadata")
#: Parameters that a line must leave to the task, and the only value that is allowed for them.
_FIXED: Mapping[str, Json] = {"background": True, "store": True, "stream": False}


@dataclass(frozen=True, slots=True)
class BulkRequest:
    """
    One request of a bulk task.

    :param custom_id: names it among the requests of the task.
    :param body: the parameters of its response, without the defaults of the task.
    """

    custom_id: str
    body: dict[str, Json]

    def to_line(self, **keys: Json) -> bytes:
        """
        Return the request as a line that can be read in again.

        :param keys: further keys, which the reader ignores: ``error`` and ``response``.
        """
        return dump_line(
            {"custom_id": self.custom_id, "method": METHOD, "url": URL, "body": self.body, **keys}
        )


class RequestReader:
    """
    Check the requests of a task, one after the other.

    :param defaults: the parameters that all requests share; those of a request go before them.
    :param identity: the task, which adds entries to the metadata of each response.
    :raises BulkRequestsError: from the methods, for the first line that cannot be sent.
    """

    def __init__(self, defaults: Mapping[str, Json], identity: RunIdentity) -> None:
        self._defaults = defaults
        self._identity = identity
        self._lines_by_custom_id: dict[str, str] = {}

    def read_file(self, lines: Iterable[bytes], url: str) -> Iterator[BulkRequest]:
        """
        Yield the requests of a file with JSON lines; blank lines are skipped.

        :param lines: the lines of the file.
        :param url: names the file in errors.
        """
        number = 0
        for number, line in enumerate(lines, start=1):
            text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
            if text.strip():
                where = f"line {number} of {url}"
                yield self._check(self._parse(text, where), where)
        if not self._lines_by_custom_id:
            lines_read = "is empty" if not number else f"has {number} lines, all of them blank"
            raise BulkRequestsError(f"requests: {url} {lines_read}; it needs one JSON object per line")

    def read_list(self, items: Iterable[Any]) -> Iterator[BulkRequest]:
        """
        Yield the requests of a list.

        :param items: objects in the form of a line, or bodies, which are named ``request-1`` and so on.
        """
        for number, item in enumerate(items, start=1):
            where = f"requests[{number - 1}]"
            if isinstance(item, dict) and not item.keys() & {"body", "custom_id"}:
                item = {"custom_id": f"request-{number}", "body": item}  # noqa: PLW2901 - in its full form
            elif isinstance(item, dict) and "custom_id" not in item:
                item = {"custom_id": f"request-{number}", **item}  # noqa: PLW2901 - likewise
            yield self._check(item, where)
        if not self._lines_by_custom_id:
            raise BulkRequestsError("requests is an empty list: there is nothing to create")

    def _parse(self, line: bytes, where: str) -> object:
        try:
            return json.loads(line.decode(), parse_constant=_refuse_constant)
        except UnicodeDecodeError as error:
            raise BulkRequestsError(f"{where} is not UTF-8: {error}") from None
        except (ValueError, RecursionError) as error:
            raise BulkRequestsError(f"{where} is not JSON: {error}") from None

    def _check(self, item: object, where: str) -> BulkRequest:
        if not isinstance(item, dict):
            raise BulkRequestsError(f"{where} is a JSON {_kind(item)}, not an object with a body")
        if unknown := sorted(map(str, item.keys() - _KEYS - _IGNORED_KEYS)):
            raise BulkRequestsError(
                f"{where} has unknown keys: {', '.join(map(_quoted, unknown))}. A line has custom_id and "
                f"body, which holds the parameters of the response"
            )
        custom_id = self._check_custom_id(item.get("custom_id"), where)
        if item.get("method", METHOD) != METHOD:
            raise BulkRequestsError(f"{where}: method is {_quoted(item['method'])}, and must be {METHOD!r}")
        if item.get("url", URL) not in _URLS:
            raise BulkRequestsError(
                f"{where}: url is {_quoted(item['url'])}, and must be {URL!r}: this task creates responses"
            )
        if not isinstance(item.get("body"), dict):
            raise BulkRequestsError(f"{where} has no body: an object with the parameters of the response")
        request = BulkRequest(custom_id, item["body"])
        self._check_body(request, where)
        return request

    def _check_custom_id(self, custom_id: object, where: str) -> str:
        if not isinstance(custom_id, str) or not custom_id:
            raise BulkRequestsError(f"{where} has no custom_id: a text that names the request")
        if len(custom_id) > _MAX_CUSTOM_ID_CHARACTERS:
            raise BulkRequestsError(
                f"{where}: custom_id has {len(custom_id)} characters; {_MAX_CUSTOM_ID_CHARACTERS} are allowed"
            )
        if not is_storable_text(custom_id):
            raise BulkRequestsError(f"{where}: custom_id has characters that cannot be stored")
        first = self._lines_by_custom_id.setdefault(custom_id, where)
        if first is not where:
            raise BulkRequestsError(f"{where}: custom_id {_quoted(custom_id)} is that of {first} too")
        return custom_id

    def _check_body(self, request: BulkRequest, where: str) -> None:
        try:
            body = merge(self._defaults, request.body)
            _check_fixed(body)
            check_combination(body)
            self._identity.tag(body.get("metadata"))
            dump_line(request.body)
        except (ValueError, TypeError, RecursionError) as error:
            raise BulkRequestsError(f"{where} (custom_id {_quoted(request.custom_id)}): {error}") from None


def _check_fixed(body: dict[str, Json]) -> None:
    for name, allowed in _FIXED.items():
        if body.get(name, allowed) not in (allowed, None):
            raise ValueError(f"{name} is {json.dumps(body[name])}, and this task needs {json.dumps(allowed)}")


def merge(defaults: Mapping[str, Json], body: Mapping[str, Json]) -> dict[str, Json]:
    """
    Return the parameters of a response: those of a request, and the defaults for those that it leaves out.

    :param defaults: the parameters that all requests share.
    :param body: the parameters of the request. ``text`` and ``metadata`` are merged key by key.
    """
    merged = {**defaults, **body}
    for name in _MERGED_OBJECTS:
        default, own = defaults.get(name), body.get(name)
        if isinstance(default, dict) and isinstance(own, dict):
            merged[name] = {**default, **own}
    return merged


def dump_line(value: Json) -> bytes:
    """
    Return a value as one line of JSON.

    :param value: any JSON value; characters that UTF-8 cannot encode are escaped.
    :raises ValueError: for a number that JSON does not have.
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    try:
        return text.encode() + b"\n"
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _kind(value: object) -> str:
    names = {
        list: "array",
        str: "string",
        bool: "boolean",
        int: "number",
        float: "number",
        type(None): "null",
    }
    return names.get(type(value), type(value).__name__)


def _quoted(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _MAX_QUOTED_CHARACTERS else f"{text[:_MAX_QUOTED_CHARACTERS]}…"
