"""The faults of a soak: a schedule that depends on a seed only."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.cluster.cluster import TRIGGERERS, WORKER, Cluster

#: The first fault comes when the first tasks wait, and none begins in the last seconds.
FIRST_SECONDS = 20.0
LAST_SECONDS = 10.0
#: From the start of one fault to that of the next one; many last longer.
GAP_SECONDS = (6.0, 20.0)
#: How long a triggerer needs to start, and to notice and carry out what a user has asked for.
START_SECONDS = 45.0
NOTICE_SECONDS = 30.0

#: Faults of the API. Those of creating requests let nothing be created.
POLL_FAULTS: tuple[dict[str, Any], ...] = (
    {"kind": "rate_limited", "retry_after": 2},
    {"kind": "rate_limited", "retry_after": None},
    {"kind": "server_error"},
    {"kind": "bad_gateway"},
    {"kind": "unavailable", "retry_after": 3},
    {"kind": "malformed"},
    {"kind": "empty"},
    {"kind": "cut"},
    {"kind": "stalled", "seconds": 20, "every": 3},
    {"kind": "slow", "seconds": 2},
)
CREATE_FAULTS: tuple[dict[str, Any], ...] = (
    {"kind": "rate_limited", "retry_after": 1},
    {"kind": "unavailable", "retry_after": 1},
)


@dataclass(kw_only=True)
class Fault:
    """
    Something that goes wrong for a while.

    :param kind: what, a key of :data:`KINDS`.
    :param at: when it begins, in seconds after the start.
    :param seconds: how long it lasts.
    :param target: the component; empty if the kind needs none.
    :param options: what else there is to say.
    """

    kind: str
    at: float
    seconds: float
    target: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    _heal: Callable[[], None] | None = None

    def begin(self, cluster: Cluster) -> None:
        """
        Let it go wrong.

        :param cluster: where.
        """
        self._heal = KINDS[self.kind].begin(cluster, self)

    def end(self) -> None:
        """Heal it."""
        if self._heal is not None:
            self._heal()
            self._heal = None

    @property
    def ends_at(self) -> float:
        """When it ends, in seconds after the start."""
        return self.at + self.seconds

    @property
    def subject(self) -> str:
        """The part of the cluster that it affects; two faults never affect one part at once."""
        return self.target or KINDS[self.kind].subject

    def __str__(self) -> str:
        details = " ".join(f"{name}={value}" for name, value in self.options.items())
        return " ".join(filter(None, (f"{self.kind:<15}", self.target, details, f"for {self.seconds:.0f} s")))


@dataclass(frozen=True)
class Kind:
    """
    A kind of fault.

    :param begin: lets it begin, and returns what ends it.
    :param subject: the part of the cluster that it affects; empty for a component, its target.
    :param seconds: how long it lasts: at least and at most.
    :param targets: the components that it may affect.
    :param options: what it may be called with.
    """

    begin: Callable[[Cluster, Fault], Callable[[], None]]
    subject: str
    seconds: tuple[float, float]
    targets: tuple[str, ...] = ("",)
    options: tuple[Mapping[str, Any], ...] = ({},)


def _kill(cluster: Cluster, fault: Fault) -> Callable[[], None]:
    cluster.airflow.kill(fault.target)
    return cluster.airflow.components[fault.target].start


def _pause(cluster: Cluster, fault: Fault) -> Callable[[], None]:
    cluster.airflow.components[fault.target].pause()
    return cluster.airflow.components[fault.target].resume


def _stop(cluster: Cluster, fault: Fault) -> Callable[[], None]:
    component = cluster.airflow.components[fault.target]
    component.request_stop()

    def start() -> None:
        component.kill()
        component.start()

    return start


def _freeze_database(cluster: Cluster, fault: Fault) -> Callable[[], None]:
    cluster.postgres.pause()
    return cluster.postgres.resume


def _kill_database(cluster: Cluster, fault: Fault) -> Callable[[], None]:
    cluster.postgres.kill()
    return cluster.postgres.start


def _freeze_broker(cluster: Cluster, fault: Fault) -> Callable[[], None]:
    cluster.redis.pause()
    return cluster.redis.resume


def _stop_api(cluster: Cluster, fault: Fault) -> Callable[[], None]:
    cluster.sandbox.stop()
    return cluster.sandbox.start


def _api_fault(cluster: Cluster, fault: Fault) -> Callable[[], None]:
    added = cluster.sandbox.faults.add(**fault.options)
    return lambda: cluster.sandbox.faults.clear(added.id)


def _limit_rate(cluster: Cluster, fault: Fault) -> Callable[[], None]:
    cluster.sandbox.limit_rate(fault.options["per_second"])
    return lambda: cluster.sandbox.limit_rate(None)


def _set_clock(cluster: Cluster, fault: Fault) -> Callable[[], None]:
    cluster.set_clock(fault.options["offset"])
    return lambda: cluster.set_clock(0)


KINDS: Mapping[str, Kind] = {
    "kill": Kind(_kill, "", (2, 15), (*TRIGGERERS, WORKER, WORKER, "scheduler", "api-server")),
    "pause": Kind(_pause, "", (5, 45), (*TRIGGERERS, WORKER, "scheduler", "api-server")),
    "stop": Kind(_stop, "", (10, 20), (*TRIGGERERS, WORKER, "scheduler")),
    "database frozen": Kind(_freeze_database, "database", (20, 60)),
    "database down": Kind(_kill_database, "database", (10, 75)),
    "broker frozen": Kind(_freeze_broker, "broker", (5, 30)),
    "API down": Kind(_stop_api, "api", (5, 60)),
    "polls fail": Kind(
        _api_fault, "polls", (10, 40), options=tuple({"method": "GET", **one} for one in POLL_FAULTS)
    ),
    "creates fail": Kind(
        _api_fault, "creates", (10, 30), options=tuple({"method": "POST", **one} for one in CREATE_FAULTS)
    ),
    "rate limit": Kind(
        _limit_rate, "rate", (10, 40), options=tuple({"per_second": one} for one in (0, 1, 3, 10))
    ),
    "clock jump": Kind(
        _set_clock, "clock", (10, 60), options=tuple({"offset": one} for one in (-600, -45, 45, 600))
    ),
}
#: Each pass over this list, in an order of its own, has every kind of fault in it.
DECK = ("kill", "pause", "polls fail", *KINDS)


def schedule(seed: int, seconds: float) -> list[Fault]:
    """
    Return the faults of a soak, in the order in which they begin.

    :param seed: decides everything.
    :param seconds: how long the soak lasts.
    """
    chance = random.Random(seed)
    faults: list[Fault] = []
    at = FIRST_SECONDS
    for kind in _kinds(chance):
        if at > seconds - LAST_SECONDS:
            return faults
        fault = Fault(
            kind=kind,
            at=at,
            seconds=min(chance.uniform(*KINDS[kind].seconds), seconds - at),
            target=chance.choice(KINDS[kind].targets),
            options=chance.choice(KINDS[kind].options),
        )
        if all(other.subject != fault.subject or other.ends_at + 1 < at for other in faults):
            faults.append(fault)
            at += chance.uniform(*GAP_SECONDS)
    return faults


def _kinds(chance: random.Random) -> Iterator[str]:
    for _ in range(10_000):
        yield from chance.sample(DECK, len(DECK))


def may_be_missed(faults: list[Fault], now: float) -> bool:
    """
    Return whether no triggerer may notice what a user does: see the windows in ``docs/owned-runs.md``.

    :param faults: the schedule.
    :param now: the time, in seconds after the start.
    """
    return any(
        fault.at < now + NOTICE_SECONDS and now < fault.ends_at + START_SECONDS
        for fault in faults
        if fault.target in TRIGGERERS and fault.kind in {"kill", "stop"}
    )
