"""How fast a bulk task creates responses: the limits of the user, and of the API's rate-limit headers.

Pure decisions, like :mod:`airflow_provider_openai_run.polling.policy`: times are arguments, in seconds of any
steady clock. How fast a connection may send at all, after a 429 or in an outage, is decided by the
:class:`~airflow_provider_openai_run.polling.rate_limiter.AdaptiveRateLimiter` of its poller.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

from airflow_provider_openai_run.polling.request_budget import RequestBudget

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_openai_run.types.json import Json

#: How many characters of JSON a token stands for, on average.
_CHARACTERS_PER_TOKEN = 4
#: For how many seconds unused requests are kept, to make up for late timers.
_BURST_SECONDS = 0.25


class CreatePace:
    """
    Decides when the next request that creates a response may be sent.

    :param requests_per_minute: how many may be sent in a minute, evenly spread; None means no limit.
    :param tokens_per_minute: how many tokens they may have together, by :func:`estimate_tokens`; None means
        no limit.
    """

    def __init__(
        self, requests_per_minute: float | None = None, tokens_per_minute: float | None = None
    ) -> None:
        self._seconds_per_request = 60 / requests_per_minute if requests_per_minute else 0.0
        self._seconds_per_token = 60 / tokens_per_minute if tokens_per_minute else 0.0
        self._next_at = -math.inf
        self._budget = RequestBudget()
        self._tokens_left = math.inf
        self._tokens_reset_at = -math.inf

    def ready_at(self, tokens: int, now: float) -> float:
        """
        Return the time before which a request must not be sent.

        :param tokens: how many it may use.
        :param now: the current time.
        """
        ready_at = max(self._next_at - _BURST_SECONDS, self._budget.used_up_until(now))
        if now < self._tokens_reset_at and tokens > self._tokens_left:
            ready_at = max(ready_at, self._tokens_reset_at)
        return ready_at

    def on_sent(self, tokens: int, now: float) -> None:
        """
        Record that a request is sent now.

        :param tokens: how many it may use.
        :param now: the current time.
        """
        seconds = max(self._seconds_per_request, tokens * self._seconds_per_token)
        rate = self._budget.rate(now)
        if 0 < rate < math.inf:
            seconds = max(seconds, 1 / rate)
        self._next_at = max(self._next_at, now) + seconds
        self._tokens_left -= tokens

    def on_response(self, headers: Mapping[str, str], now: float) -> None:
        """
        Read what the API says is left of its limits.

        :param headers: of the response to a request that creates a response, as for
            :meth:`~airflow_provider_openai_run.polling.request_budget.RequestBudget.update`; the headers for
            tokens have the same form.
        :param now: the current time.
        """
        self._budget.update(headers, now)
        tokens = RequestBudget(kind="tokens")
        tokens.update(headers, now)
        if (left := tokens.remaining) is not None:
            self._tokens_left, self._tokens_reset_at = left, tokens.resets_at


def estimate_tokens(body: Mapping[str, Json]) -> int:
    """
    Return how many tokens a response may use: a quarter of the characters of its parameters, and its limit.

    :param body: the parameters of the response.
    """
    limit = body.get("max_output_tokens")
    output = int(limit) if isinstance(limit, int | float) and not isinstance(limit, bool) else 0
    return len(json.dumps(body, ensure_ascii=False)) // _CHARACTERS_PER_TOKEN + output
