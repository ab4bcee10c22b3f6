"""The scenarios of the waiting benchmark.

In most of them all runs are active during the steady window and then end one after another, spread evenly
over a few seconds. In ``lifetimes`` each run has a duration of its own.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from airflow_provider_openai_run.polling.backoff import DEFAULT_MAX_POLL_INTERVAL, DEFAULT_POLL_INTERVAL


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A scenario. All times are in seconds.

    :param contestants: names of the measured triggers.
    :param runs: number of runs that are waited for at once.
    :param seconds: length of the steady window; in ``lifetimes`` the longest duration of a run.
    :param ending: time over which the runs end after the steady window.
    :param patience: how long to wait for events after the last end.
    :param poll_interval: the polling interval, for a fixed interval or as the shortest one.
    :param longest_interval: ``max_poll_interval`` of this provider's trigger; None for a fixed interval.
    :param start_rate: triggers handed to the runner per second. Airflow's default is 50.
    :param body_bytes: size of a response body.
    :param latency: time until a response.
    :param requests_per_second: rate above which the stub returns 429, with a burst of one second's requests.
    :param fault_every: every n-th request fails: a 500, or a connection closed before or within the response.
    :param has_lifetimes: whether each run has a duration of its own, from the mix of the polling simulation.
    :param aged: whether the runs have been waited for already, with the ages of runs at any given time.
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
    has_lifetimes: bool = False
    aged: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Scenario:
        """Return the scenario of the JSON of :meth:`to_json`."""
        return cls(**{**fields, "contestants": tuple(fields["contestants"])})

    @property
    def idle(self) -> Scenario:
        """The same number of triggers that do nothing, to measure Airflow's own cost."""
        return replace(
            self,
            contestants=("nothing",),
            seconds=min(self.seconds, 30.0),
            longest_interval=None,
            requests_per_second=None,
            fault_every=None,
            has_lifetimes=False,
            aged=False,
        )


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario(name="steady", summary="all runs are active and polled at a fixed interval"),
        Scenario(
            name="lifetimes",
            summary="runs with durations from the mix; ours with its default intervals",
            has_lifetimes=True,
            seconds=300.0,
            patience=180.0,
            longest_interval=DEFAULT_MAX_POLL_INTERVAL,
        ),
        Scenario(name="slow", summary="the API takes 100 ms for a response", latency=0.1),
        Scenario(name="large", summary="responses of 30 kB", body_bytes=30_000),
        Scenario(
            name="limit",
            summary="429 with retry-after above 16 requests per second",
            requests_per_second=16,
            ending=60.0,
            patience=240.0,
        ),
        Scenario(
            name="faults",
            summary="one request in 50 fails (500, connection closed before or within the response)",
            fault_every=50,
        ),
        Scenario(
            name="many",
            summary="runs of all ages, ours with its default intervals",
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
    """Return a small variant that takes less than a minute for each contestant."""
    return replace(
        scenario,
        runs=min(scenario.runs, 40),
        seconds=min(scenario.seconds, 8.0),
        ending=3.0,
        patience=30.0,
        poll_interval=2.0,
        longest_interval=scenario.longest_interval and 10.0,
    )
