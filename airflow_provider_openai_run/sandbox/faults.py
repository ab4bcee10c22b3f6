"""Faults: which requests fail, how, and how often."""

from __future__ import annotations

import collections
import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_openai_run.sandbox.fault_effects import EFFECTS, Effect, IncomingRequest, rate_limited


@dataclass(kw_only=True)
class Fault:
    """
    An effect and the requests it applies to.

    :param id: its number, from 1.
    :param kind: its kind, a key of ``EFFECTS``.
    :param effect: the effect.
    :param method: HTTP method of the requests; empty for any.
    :param path: text that the path contains, or with a ``$`` at its end, ends with; empty for any.
    :param times: number of requests to affect; without a limit by default.
    :param every: affect every n-th matching request; 1 or more.
    :param skip: number of matching requests to leave alone first.
    :param per_path: whether ``times``, ``every`` and ``skip`` count per path.
    """

    id: int
    kind: str
    effect: Effect
    method: str = ""
    path: str = ""
    times: int | None = None
    every: int = 1
    skip: int = 0
    per_path: bool = False
    _matched: collections.Counter[str] = field(default_factory=collections.Counter)
    _hits: collections.Counter[str] = field(default_factory=collections.Counter)

    @property
    def hits(self) -> int:
        """The number of affected requests."""
        return self._hits.total()

    def matches(self, request: IncomingRequest) -> bool:
        """
        Return whether the fault applies to a request, and count the request.

        :param request: the request.
        """
        is_path = (
            request.path.endswith(self.path[:-1]) if self.path.endswith("$") else self.path in request.path
        )
        if self.method not in {"", request.method} or not is_path:
            return False
        key = request.path if self.per_path else ""
        if self.times is not None and self._hits[key] >= self.times:
            return False
        self._matched[key] += 1
        position = self._matched[key] - self.skip
        if position < 1 or position % self.every:
            return False
        self._hits[key] += 1
        return True

    def describe(self) -> dict[str, Any]:
        """Return the fault as JSON."""
        names = ("id", "kind", "method", "path", "times", "every", "skip", "per_path", "hits")
        return {name: getattr(self, name) for name in names}


class Faults:
    """The active faults."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._faults: dict[int, Fault] = {}

    def add(
        self,
        kind: str,
        *,
        method: str = "",
        path: str = "",
        times: int | None = None,
        every: int = 1,
        skip: int = 0,
        per_path: bool = False,
        **options: Any,
    ) -> Fault:
        """
        Add a fault.

        :param kind: a key of ``EFFECTS``, or "not_found_at_first": 404 for the first ``times`` GET requests
            of each path.
        :param method: HTTP method of the requests; empty for any.
        :param path: text that the path contains, or with a ``$`` at its end, ends with; empty for any.
        :param times: number of requests to affect; without a limit by default.
        :param every: affect every n-th matching request; 1 or more.
        :param skip: number of matching requests to leave alone first.
        :param per_path: whether ``times``, ``every`` and ``skip`` count per path.
        :param options: options of the effect, e.g. ``retry_after=2`` for "rate_limited".
        :raises ValueError: it is invalid; the message says why.
        """
        if kind == "not_found_at_first":
            kind, method, per_path, times = "not_found", method or "GET", True, 1 if times is None else times
        if kind not in EFFECTS:
            raise ValueError(f"there is no fault '{kind}'; there are {', '.join(sorted(FAULTS))}")
        if every < 1:
            raise ValueError("every must be 1 or more")
        try:
            effect = EFFECTS[kind](**options)
        except TypeError as error:
            raise ValueError(f"invalid options of the fault '{kind}': {error}") from error
        with self._lock:
            fault = Fault(
                id=next(self._numbers),
                kind=kind,
                effect=effect,
                method=method.upper(),
                path=path,
                times=times,
                every=every,
                skip=skip,
                per_path=per_path,
            )
            self._faults[fault.id] = fault
            return fault

    def clear(self, fault_id: int | None = None) -> None:
        """
        Remove faults.

        :param fault_id: number of the fault to remove; all by default.
        """
        with self._lock:
            if fault_id is None:
                self._faults.clear()
            else:
                self._faults.pop(fault_id, None)

    def active(self) -> list[Fault]:
        """Return the active faults, oldest first."""
        with self._lock:
            return list(self._faults.values())

    def effects_for(self, request: IncomingRequest) -> list[Effect]:
        """
        Return the effects for a request, and count the request.

        :param request: the request.
        """
        with self._lock:
            return [fault.effect for fault in self._faults.values() if fault.matches(request)]


#: All kinds of faults.
FAULTS = frozenset(EFFECTS) | {"not_found_at_first"}


class RateLimiter:
    """
    A sliding-window limit of requests per second; requests beyond it get 429.

    :param monotonic: returns the time in seconds. Real time by default, because clients wait in real time.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.per_second: int | None = None
        self.refused = 0
        self._monotonic = monotonic
        self._accepted: collections.deque[float] = collections.deque()

    def refusal(self) -> Effect | None:
        """Accept a request and return None, or return the effect that rejects it."""
        if self.per_second is None:
            return None
        now = self._monotonic()
        while self._accepted and self._accepted[0] <= now - 1.0:
            self._accepted.popleft()
        if len(self._accepted) < self.per_second:
            self._accepted.append(now)
            return None
        self.refused += 1
        wait = self._accepted[0] + 1.0 - now if self._accepted else 1.0
        return rate_limited(retry_after=round(wait, 3), limit=self.per_second)
