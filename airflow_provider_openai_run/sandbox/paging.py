"""Cursor pagination, as all APIs do it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_openai_run.sandbox.errors import APIError, invalid_type, not_found


@dataclass(frozen=True, kw_only=True)
class Cursor:
    """
    The pagination parameters of a request.

    :param limit: maximum number of items, 1 to 100.
    :param order: "asc" for oldest first, "desc" for newest first.
    :param after: ID of the item before the page.
    :param before: ID of the item after the page.
    """

    limit: int = 20
    order: str = "desc"
    after: str | None = None
    before: str | None = None

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Cursor:
        """
        Return the cursor of a query string.

        :param query: the query parameters.
        :raises APIError: 400 if a parameter is out of range.
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
    Return one page of a list.

    :param items: the whole list, oldest first.
    :param cursor: which page to return.
    :param kind: the kind of item, for the error about an unknown cursor.
    :raises APIError: 404 if the cursor's item is not in the list.
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


def _position(ids: Sequence[str], item_id: str, kind: str) -> int:
    try:
        return ids.index(item_id)
    except ValueError:
        raise not_found(kind, item_id) from None
