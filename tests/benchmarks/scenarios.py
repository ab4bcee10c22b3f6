"""The situations in which waiting is measured.

In most of them all runs outlive the steady window and then end one after another, at moments spread evenly
over a few seconds. In ``lives`` each run ends when it is as old as runs of its kind get.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from airflow_provider_openai_run.polling.backoff import DEFAULT_MAX_POLL_INTERVAL, DEFAULT_POLL_INTERVAL


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One situation; all times in seconds.

    :param contestants: who is measured in it, by name.
    :param runs: how many runs are waited for at once.
    :param seconds: the length of the steady window; in ``lives`` the longest life of a run.
    :param ending: the time over which the runs end after the steady window.
    :param patience: how long after the last end an event may still come.
    :param poll_interval: the interval of all; a contestant that can only keep a fixed interval keeps this
        one.
    :param longest_interval: the ``max_poll_interval`` of this provider's trigger; without one its interval is
        fixed.
    :param start_rate: how many triggers are handed to the runner each second. Airflow's default is 50.
    :param body_bytes: the size of an answer.
    :param latency: how long the API takes over an answer.
    :param requests_per_second: above this rate (with a second's worth in reserve) the API answers 429.
    :param fault_every: one request in so many fails: a 500, a connection cut before the answer, or within it.
    :param lives: each run has its own life, drawn from the mix that the simulation of pacing uses.
    :param aged: the runs have been waited for already, for as long as those that are found waiting at any
        moment have.
    """

    name: str
    summary: str
    contestants: tuple[str, ...] = ("bare", "ours", "batch", "agent")
    runs: int = 1000
    seconds: float = 60.0
    ending: float = 20.0
    patience: float = 120.0
    poll_interval: float = DEFAULT_POLL_INTERVAL
    longest_interval: float | None = None
    start_rate: int = 50
    body_bytes: int = 2000
    latency: float = 0.0
    requests_per_second: int | None = None
    fault_every: int | None = None
    lives: bool = False
    aged: bool = False

    def to_json(self) -> dict[str, Any]:
        """Give the fields as plain JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Scenario:
        """Read what :meth:`to_json` gave."""
        return cls(**{**fields, "contestants": tuple(fields["contestants"])})

    @property
    def idle(self) -> Scenario:
        """The same number of triggers, but with nobody to ask: what Airflow itself costs."""
        return replace(
            self,
            contestants=("nothing",),
            seconds=min(self.seconds, 30.0),
            longest_interval=None,
            requests_per_second=None,
            fault_every=None,
            lives=False,
            aged=False,
        )


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario(name="steady", summary="all runs wait, each is asked for at a fixed interval"),
        Scenario(
            name="lives",
            summary="whole lives of runs from the mix of durations; ours with its default pace",
            lives=True,
            seconds=300.0,
            patience=180.0,
            longest_interval=DEFAULT_MAX_POLL_INTERVAL,
        ),
        Scenario(name="slow", summary="the API takes 100 ms over an answer", latency=0.1),
        Scenario(name="large", summary="answers of 30 kB", body_bytes=30_000),
        Scenario(
            name="limit",
            summary="429 with retry-after above 16 requests a second",
            requests_per_second=16,
            ending=60.0,
            patience=240.0,
        ),
        Scenario(
            name="faults",
            summary="one request in fifty fails (500, cut, cut within the body)",
            fault_every=50,
        ),
        Scenario(
            name="many",
            summary="runs of all ages, ours with its default pace",
            contestants=("ours",),
            runs=10_000,
            seconds=120.0,
            ending=60.0,
            patience=180.0,
            longest_interval=DEFAULT_MAX_POLL_INTERVAL,
            start_rate=250,
            aged=True,
        ),
    )
}


def quick(scenario: Scenario) -> Scenario:
    """Give a small variant that is over in well under a minute for each contestant."""
    return replace(
        scenario,
        runs=min(scenario.runs, 40),
        seconds=min(scenario.seconds, 8.0),
        ending=3.0,
        patience=30.0,
        poll_interval=2.0,
        longest_interval=scenario.longest_interval and 10.0,
    )
