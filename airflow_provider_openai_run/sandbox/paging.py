"""Lists with cursors, as both APIs page them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_openai_run.sandbox.errors import APIError, invalid_type, not_found


@dataclass(frozen=True, kw_only=True)
class Cursor:
    """
    Which part of a list is asked for.

    :param limit: how many items at most.
    :param order: "asc" for oldest first, "desc" for newest first.
    :param after: the id of the item that the page follows.
    :param before: the id of the item that the page precedes.
    """

    limit: int = 20
    order: str = "desc"
    after: str | None = None
    before: str | None = None

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Cursor:
        """
        Read a query string.

        :param query: its parameters.
        :raises APIError: 400 when one of them is out of range.
        """
        order = query.get("order", "desc")
        if order not in {"asc", "desc"}:
            message = f"Invalid value: '{order}'. Supported values are: 'asc' and 'desc'."
            raise APIError(400, message, param="order", code="invalid_value")
        limit = _limit(query.get("limit", "20"))
        return cls(limit=limit, order=order, after=query.get("after"), before=query.get("before"))


def _limit(text: str) -> int:
    try:
        limit = int(text)
    except ValueError:
        raise invalid_type("limit", "an integer", text) from None
    if 1 <= limit <= 100:
        return limit
    side, bound = ("below minimum", ">= 1") if limit < 1 else ("above maximum", "<= 100")
    message = f"Invalid 'limit': integer {side} value. Expected a value {bound}, but got {limit} instead."
    raise APIError(400, message, param="limit", code=f"integer_{side.replace(' ', '_')}_value")


def page(items: Sequence[dict[str, Any]], cursor: Cursor, *, kind: str) -> dict[str, Any]:
    """
    Give one page of a list.

    :param items: the whole list, oldest first.
    :param cursor: which part of it.
    :param kind: what the items are, for the error about an unknown cursor.
    :raises APIError: 404 when the cursor is no item of the list.
    """
    ordered = list(items) if cursor.order == "asc" else list(reversed(items))
    ids = [item["id"] for item in ordered]
    first = _position(ids, cursor.after, kind) + 1 if cursor.after is not None else 0
    end = _position(ids, cursor.before, kind) if cursor.before is not None else len(ordered)
    if cursor.before is not None and cursor.after is None:
        data = ordered[max(end - cursor.limit, first) : end]
        has_more = end - first > cursor.limit
    else:
        data = ordered[first : min(first + cursor.limit, max(end, first))]
        has_more = end - first > cursor.limit
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": has_more,
    }


def _position(ids: Sequence[str], wanted: str, kind: str) -> int:
    try:
        return ids.index(wanted)
    except ValueError:
        raise not_found(kind, wanted) from None
