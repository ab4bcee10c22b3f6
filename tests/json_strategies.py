"""Strategies for any JSON, to test parsers that must accept whatever a server sends."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

#: An example takes less than a millisecond; no deadline, because a busy machine may be slow.
quick = settings(max_examples=100, deadline=None)

#: Values that break parsers: a number beyond floats, half a character, times, words of the API.
NASTY: tuple[Any, ...] = (
    10**400,
    -1,
    0.5,
    "",
    " ",
    "\ud800",
    "\x00",
    "1e400",
    "2026-11-22T10:00:00Z",
    "completed",
    "requires_action",
    [],
    {},
    [None],
    [{}],
    [[]],
)

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
)

json_values: st.SearchStrategy[Any] = st.sampled_from(NASTY) | st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)

json_objects = st.dictionaries(st.text(max_size=8), json_values, max_size=5)


def objects_with(
    *keys: str, values: st.SearchStrategy[Any] = json_values
) -> st.SearchStrategy[dict[str, Any]]:
    """
    Return a strategy for objects with any of the keys.

    :param keys: the keys; each may be missing.
    :param values: strategy for their values.
    """
    return st.fixed_dictionaries({}, optional=dict.fromkeys(keys, values))


def exactly(value: Any) -> str:
    """
    Return a text that is equal only for the same JSON: 1, 1.0 and true differ.

    :param value: any JSON.
    """
    return json.dumps(value, sort_keys=True)
