"""The input files of batches: the line of each request, and in which file it stands. No I/O.

https://platform.openai.com/docs/guides/batch has the limits: a file has up to 50,000 requests and 200 MB, and
all of its requests have the same model.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

#: The limits of a file.
MAX_REQUESTS = 50_000
MAX_BYTES = 200 * 1000 * 1000


@dataclass(slots=True)
class _Part:
    """The file that the next request of a model goes into."""

    number: int
    requests: int = 0
    size: int = 0


def split_requests(
    requests: Iterable[Mapping[str, Any]], *, max_requests: int = MAX_REQUESTS, max_bytes: int = MAX_BYTES
) -> Iterator[tuple[int, bytes]]:
    """
    Yield the line of each request, with the number of the file that it goes into, from 0.

    :param requests: for each ``custom_id`` and ``body``, and optionally ``method`` and ``url``, which are
        ``POST`` and ``/v1/responses`` otherwise.
    :param max_requests: how many requests a file can have.
    :param max_bytes: how large a file can be, in bytes.
    :raises ValueError: for the first request that no batch takes, with its position from 1.
    """
    known: set[str] = set()
    parts: dict[str, _Part] = {}
    count = 0
    for position, request in enumerate(requests, 1):
        where = f"request {position}"
        line = _line_of(request, where, known)
        if len(line) > max_bytes:
            raise ValueError(f"{where} has {len(line):,} bytes, and an input file at most {max_bytes:,}")
        model = str(request["body"].get("model"))
        part = parts.get(model)
        if part is None or part.requests == max_requests or part.size + len(line) > max_bytes:
            part = parts[model] = _Part(count)
            count += 1
        part.requests += 1
        part.size += len(line)
        yield part.number, line


def _line_of(request: Mapping[str, Any], where: str, known: set[str]) -> bytes:
    """Return the line of a request, after adding its ``custom_id`` to those before."""
    custom_id, body = request.get("custom_id"), request.get("body")
    if not isinstance(custom_id, str) or not custom_id:
        raise ValueError(f"{where} needs a custom_id, a string that no other request has, not {custom_id!r}")
    if custom_id in known:
        raise ValueError(
            f"{where} has the custom_id {custom_id!r} of a request before it; each needs its own"
        )
    if not isinstance(body, dict):
        problem = f"needs a body, the parameters of its request as a dict, not {type(body).__name__}"
        raise ValueError(f"{where} ({custom_id!r}) {problem}")  # noqa: TRY004 - a wrong value like the others
    known.add(custom_id)
    line = {"method": "POST", "url": "/v1/responses", **request}
    return json.dumps(line, ensure_ascii=True).encode() + b"\n"
