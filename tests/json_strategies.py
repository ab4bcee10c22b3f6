"""Any JSON at all, for the tests of readers that have to bear whatever a server sends."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

#: Examples of a property cost less than a millisecond; a busy machine shall not fail them for being slow.
quick = settings(max_examples=100, deadline=None)

#: What trips readers of JSON: a number no float holds, half a character, times, words of the API.
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
    Objects that hold any of the keys, with anything under each.

    :param keys: the keys; each may be missing.
    :param values: what may stand under them.
    """
    return st.fixed_dictionaries({}, optional=dict.fromkeys(keys, values))


def exactly(value: Any) -> str:
    """
    A text that two values share only if they are the same JSON, so 1, 1.0 and true differ.

    :param value: any JSON.
    """
    return json.dumps(value, sort_keys=True)
