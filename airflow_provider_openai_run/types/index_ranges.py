"""Positions in a list as a short text: ``0-997,999``."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator


def format_ranges(indexes: Iterable[int]) -> str:
    """
    Return positions as text, such as ``0-2,5`` for 0, 1, 2 and 5; empty for none.

    :param indexes: the positions, ascending and without duplicates.
    """
    ranges: list[list[int]] = []
    for index in indexes:
        if ranges and index == ranges[-1][1] + 1:
            ranges[-1][1] = index
        else:
            ranges.append([index, index])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


def parse_ranges(text: str, total: int) -> list[int]:
    """
    Return the positions that :func:`format_ranges` wrote.

    :param text: the text.
    :param total: how long the list is; positions are below it.
    :raises ValueError: for any other text, naming it.
    """
    try:
        indexes = [index for part in text.split(",") for index in _parse_range(part, total)] if text else []
    except ValueError:
        indexes = None
    if indexes is None or any(second <= first for first, second in itertools.pairwise(indexes)):
        raise ValueError(f"{text[:100]!r} names no positions in a list of {total:,}, such as '0-2,5'")
    return indexes


def _parse_range(part: str, total: int) -> Iterator[int]:
    if not part.isascii():
        raise ValueError
    first, dash, last = part.partition("-")
    start = _parse_index(first)
    end = _parse_index(last) if dash else start
    if not start <= end < total:
        raise ValueError
    return iter(range(start, end + 1))


def _parse_index(text: str) -> int:
    # int() alone would take "+1", " 1" and "1_000", and digits without end.
    if not text.isdecimal() or len(text) > len(str(2**63)):
        raise ValueError
    return int(text)
