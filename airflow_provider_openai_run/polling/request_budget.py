"""The API's rate-limit headers: how many requests are left, and until when."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

#: How long a rate-limit header stops or slows all requests at most, in seconds. Limits are per minute, so a
#: longer reset time is a broken header; and a request too many costs no more than a 429.
_MAX_RESET = 60.0

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class RequestBudget:
    """
    How many requests, or tokens, the API's headers allow.

    A budget that is still used up after its own reset time is not believed: some servers send ``0`` always.
    Then the responses decide, as for a server without these headers, until one has something left.

    :param kind: what is counted: ``"requests"`` or ``"tokens"``.
    """

    def __init__(self, kind: str = "requests") -> None:
        self._kind = kind
        self._rate = math.inf
        self._is_used_up = False
        #: How many the last headers said are left; None without one.
        self.remaining: float | None = None
        #: Until when that holds.
        self.resets_at = -math.inf

    def update(self, headers: Mapping[str, str], now: float) -> None:
        """
        Read the headers of a response.

        :param headers: ``x-ratelimit-remaining-…`` and ``x-ratelimit-reset-…`` of its kind are read, the
            latter up to 60 s.
        :param now: the current time.
        """
        remaining = _parse_number(headers.get(f"x-ratelimit-remaining-{self._kind}"))
        reset = _parse_duration(headers.get(f"x-ratelimit-reset-{self._kind}"))
        # Some servers send -1 for a limit that they do not know.
        if remaining is None or reset is None or not remaining >= 0 or not reset > 0:
            return
        self.remaining = remaining
        resets_at = now + min(reset, _MAX_RESET)
        if remaining >= 1:
            self._is_used_up = False
            self._rate, self.resets_at = remaining / (resets_at - now), resets_at
        elif not self._is_used_up or now < self.resets_at:
            self._is_used_up = True
            self._rate, self.resets_at = 0.0, max(resets_at, self.resets_at)

    def used_up_until(self, now: float) -> float:
        """Return until when no request is left; the past if there are some."""
        return self.resets_at if self._is_used_up and now < self.resets_at else -math.inf

    def rate(self, now: float) -> float:
        """Return how many requests a second are left; infinity if that is not known."""
        return self._rate if now < self.resets_at else math.inf


def _parse_number(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


def _parse_duration(text: str | None) -> float | None:
    """Return the seconds of a duration such as ``6m0s``, ``1s`` or ``20ms``, or of a plain number."""
    parts = _DURATION.findall(text or "")
    if not parts:
        return _parse_number(text)
    return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in parts)
