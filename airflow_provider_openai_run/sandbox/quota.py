"""Limits of requests and tokens per minute, as the API has them, with its ``x-ratelimit-*`` headers.

See https://platform.openai.com/docs/guides/rate-limits. Each limit refills all the time, up to the limit of a
minute, and only requests that create a response count.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_openai_run.sandbox.errors import APIError
from airflow_provider_openai_run.sandbox.fault_effects import (
    Effect,
    ExtraHeaders,
    FixedResponse,
    IncomingRequest,
    json_response,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_PATH = "/v1/responses"
#: How many characters of a request the API counts as a token.
_CHARACTERS_OF_A_TOKEN = 4


@dataclass
class _Bucket:
    """
    The rest of a limit.

    :param per_minute: the limit.
    :param burst: how much can be left at most.
    :param left: what is left.
    :param at: when that was, in seconds.
    """

    per_minute: float
    burst: float
    left: float
    at: float

    def refill(self, now: float) -> None:
        self.left = min(self.burst, self.left + (now - self.at) * self.per_minute / 60)
        self.at = now

    def seconds_until(self, amount: float) -> float:
        """Return after how many seconds an amount is left."""
        return max(0.0, (amount - self.left) * 60 / self.per_minute)


class Quota:
    """
    The limits per minute; there is none at first.

    :param now: returns the time in seconds. Real time by default, because clients wait in real time.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.refused = 0
        self._now = now
        self._buckets: dict[str, _Bucket] = {}

    def limit(
        self,
        *,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        burst_seconds: float = 60.0,
    ) -> None:
        """
        Set the limits.

        :param requests_per_minute: requests that create a response; None for no limit.
        :param tokens_per_minute: their tokens, estimated as the API does: a token for four characters, and
            ``max_output_tokens``; None for no limit.
        :param burst_seconds: how much can be left at most: what refills in this time.
        :raises ValueError: for a limit that is not positive.
        """
        limits = {"requests": requests_per_minute, "tokens": tokens_per_minute}
        given = {name: limit for name, limit in limits.items() if limit is not None}
        if any(limit <= 0 for limit in (*given.values(), burst_seconds)):
            raise ValueError("limits per minute and burst_seconds must be more than 0, or null")
        bursts = {name: max(1.0, limit * burst_seconds / 60) for name, limit in given.items()}
        self._buckets = {
            name: _Bucket(limit, bursts[name], bursts[name], self._now()) for name, limit in given.items()
        }
        self.refused = 0

    def effect(self, request: IncomingRequest) -> Effect | None:
        """
        Return the effect for a request: a refusal, or the headers; None if no limit counts it.

        :param request: the request.
        """
        if not self._buckets or request.method != "POST" or request.path != _PATH:
            return None
        amounts = {"requests": 1.0, "tokens": _tokens_of(request.body)}
        now = self._now()
        for name, bucket in self._buckets.items():
            bucket.refill(now)
            # A request of more tokens than the limit passes once the bucket is full.
            amounts[name] = min(amounts[name], bucket.burst)
        for name, bucket in self._buckets.items():
            if (seconds := bucket.seconds_until(amounts[name])) > 0:
                self.refused += 1
                return self._refusal(name, seconds)
        for name, bucket in self._buckets.items():
            bucket.left -= amounts[name]
        return ExtraHeaders(self._headers())

    def _headers(self) -> dict[str, str]:
        headers = {}
        for name, bucket in self._buckets.items():
            headers[f"x-ratelimit-limit-{name}"] = f"{bucket.per_minute:g}"
            headers[f"x-ratelimit-remaining-{name}"] = str(math.floor(bucket.left))
            headers[f"x-ratelimit-reset-{name}"] = _duration(bucket.seconds_until(bucket.burst))
        return headers

    def _refusal(self, name: str, seconds: float) -> Effect:
        bucket = self._buckets[name]
        message = (
            f"Rate limit reached on {name} per min: Limit {bucket.per_minute:g}. "
            f"Please try again in {_duration(seconds)}."
        )
        error = APIError(429, message, type_=name, code="rate_limit_exceeded")
        wait = {"retry-after-ms": str(math.ceil(seconds * 1000)), "retry-after": str(math.ceil(seconds))}
        return FixedResponse(json_response(429, error.body(), {**self._headers(), **wait}))


def _tokens_of(body: bytes) -> float:
    try:
        limit = json.loads(body).get("max_output_tokens")
    except (ValueError, AttributeError):
        limit = None
    return math.ceil(len(body) / _CHARACTERS_OF_A_TOKEN) + (limit if isinstance(limit, int) else 0)


def _duration(seconds: float) -> str:
    """Return a duration as the API's headers have it, e.g. ``6ms``, ``1.5s`` or ``1m30s``."""
    milliseconds = math.ceil(seconds * 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds / 1000, 60)
    return f"{minutes:.0f}m{rest:g}s" if minutes else f"{rest:g}s"
