"""Faults on demand: which requests go wrong, and how often."""

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
    An effect, and the requests that it befalls.

    :param id: its number.
    :param kind: its name.
    :param effect: what it does.
    :param method: the method it befalls; any when empty.
    :param path: what the path has to contain.
    :param times: how many requests it befalls until it is spent; without, until it is cleared.
    :param every: it befalls every n-th request that matches.
    :param skip: how many that match it lets go first.
    :param per_path: whether ``times``, ``every`` and ``skip`` count for each path by itself.
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
    _seen: collections.Counter[str] = field(default_factory=collections.Counter)
    _hits: collections.Counter[str] = field(default_factory=collections.Counter)

    @property
    def hits(self) -> int:
        """How many requests it has befallen."""
        return self._hits.total()

    def matches(self, question: IncomingRequest) -> bool:
        """
        Tell whether it befalls a request, and count it.

        :param question: the request.
        """
        if self.method not in {"", question.method} or self.path not in question.path:
            return False
        counted = question.path if self.per_path else ""
        if self.times is not None and self._hits[counted] >= self.times:
            return False
        self._seen[counted] += 1
        turn = self._seen[counted] - self.skip
        if turn < 1 or turn % self.every:
            return False
        self._hits[counted] += 1
        return True

    def describe(self) -> dict[str, Any]:
        """Give it as JSON."""
        shown = ("id", "kind", "method", "path", "times", "every", "skip", "per_path", "hits")
        return {name: getattr(self, name) for name in shown}


class Faults:
    """The faults that are in force."""

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
        Let something go wrong.

        :param kind: what: one of the names in ``EFFECTS``, or "not_found_at_first", which befalls the first
            ``times`` GET requests of each path.
        :param method: the method it befalls; any when empty.
        :param path: what the path has to contain.
        :param times: how many requests it befalls until it is spent; without, until it is cleared.
        :param every: it befalls every n-th request that matches.
        :param skip: how many that match it lets go first.
        :param per_path: whether ``times``, ``every`` and ``skip`` count for each path by itself.
        :param options: what the effect takes, e.g. ``retry_after=2`` for "rate_limited".
        :raises ValueError: what is wrong with it, for people.
        """
        if kind == "not_found_at_first":
            kind, method, per_path, times = "not_found", method or "GET", True, 1 if times is None else times
        if kind not in EFFECTS:
            raise ValueError(f"there is no fault '{kind}'; there are {', '.join(sorted(FAULTS))}")
        if every < 1:
            raise ValueError("every n-th request means 1 or more")
        try:
            effect = EFFECTS[kind](**options)
        except TypeError as error:
            raise ValueError(f"the fault '{kind}' does not take that: {error}") from error
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
        Let nothing go wrong any more.

        :param fault_id: which fault to end; all, unless given.
        """
        with self._lock:
            if fault_id is None:
                self._faults.clear()
            else:
                self._faults.pop(fault_id, None)

    def active(self) -> list[Fault]:
        """Give the faults in force, oldest first."""
        with self._lock:
            return list(self._faults.values())

    def effects_for(self, question: IncomingRequest) -> list[Effect]:
        """
        Tell what befalls a request, and count it.

        :param question: the request.
        """
        with self._lock:
            return [fault.effect for fault in self._faults.values() if fault.matches(question)]


#: The names of all faults.
FAULTS = frozenset(EFFECTS) | {"not_found_at_first"}


class RateLimiter:
    """
    Lets so many requests through in any second and answers 429 to the others.

    :param monotonic: the time it goes by, in seconds: the real one, since clients wait in real time.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.per_second: int | None = None
        self.refused = 0
        self._monotonic = monotonic
        self._passed: collections.deque[float] = collections.deque()

    def refusal(self) -> Effect | None:
        """Take a request, or give the answer that refuses it."""
        if self.per_second is None:
            return None
        now = self._monotonic()
        while self._passed and self._passed[0] <= now - 1.0:
            self._passed.popleft()
        if len(self._passed) < self.per_second:
            self._passed.append(now)
            return None
        self.refused += 1
        wait = self._passed[0] + 1.0 - now if self._passed else 1.0
        return rate_limited(retry_after=round(wait, 3), limit=self.per_second)
