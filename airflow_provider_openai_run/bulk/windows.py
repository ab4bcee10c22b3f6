"""When the responses of a bulk task are created, and what that means for polls and deadlines.

``completion_window`` of https://platform.openai.com/docs/guides/background trades time for a lower price.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

if TYPE_CHECKING:
    from airflow_provider_openai_run.types.json import Json

#: The values of ``window``.
WindowName: TypeAlias = Literal["now", "2h", "8h"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """
    A window in which responses are completed.

    :param body: parameters that each response has for it.
    :param poll_interval: the shortest interval between two polls of a response, in seconds.
    :param max_poll_interval: the longest.
    :param timeout: after how many seconds a try gives up; None means never.
    :param max_active_runs: how many responses may be active.
    """

    body: dict[str, Json]
    poll_interval: float
    max_poll_interval: float
    timeout: float | None
    max_active_runs: int


_HOUR = 3600.0

WINDOWS: dict[str, Window] = {
    "now": Window(body={}, poll_interval=5.0, max_poll_interval=120.0, timeout=None, max_active_runs=1000),
    "2h": Window(
        body={"background_options": {"completion_window": "2h"}},
        poll_interval=30.0,
        max_poll_interval=300.0,
        timeout=4 * _HOUR,
        max_active_runs=10_000,
    ),
    "8h": Window(
        body={"background_options": {"completion_window": "8h"}},
        poll_interval=60.0,
        max_poll_interval=600.0,
        timeout=12 * _HOUR,
        max_active_runs=10_000,
    ),
}


def window_of(name: object) -> Window:
    """
    Return a window by its name.

    :param name: a key of :data:`WINDOWS`.
    :raises ValueError: for any other name.
    """
    if not isinstance(name, str) or name not in WINDOWS:
        raise ValueError(f"window must be one of {get_args(WindowName)}, not {name!r}")
    return WINDOWS[name]
