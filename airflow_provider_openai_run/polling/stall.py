"""Whether a run that is polled has stopped changing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_openai_run.types.status import RunState

if TYPE_CHECKING:
    from airflow_provider_openai_run.types.run import Run


class StallMonitor:
    """
    Watch the status and the output of a run that is polled.

    It counts from the first poll in its process. The output is that of a response; of a run whose steps are a
    list of their own, polls read only the status. A run that needs an action waits for others: it has not
    stalled.

    :param stalled_after: after how many seconds without a change the run is stalled.
    """

    __slots__ = ("_fingerprint", "_is_stalled", "_needs_action", "_stalled_after", "_unchanged_since")

    def __init__(self, stalled_after: float) -> None:
        self._stalled_after = stalled_after
        self._fingerprint: int | None = None
        self._unchanged_since = 0.0
        self._is_stalled = False
        self._needs_action = False

    def on_run(self, run: Run, now: float) -> None:
        """
        Compare a run with what it was at the poll before.

        :param run: the run as it is now.
        :param now: epoch seconds.
        """
        fingerprint = hash(repr((run.status, run.steps)))
        if fingerprint != self._fingerprint:
            self._fingerprint, self._unchanged_since, self._is_stalled = fingerprint, now, False
            self._needs_action = run.state is RunState.NEEDS_ACTION

    def has_just_stalled(self, now: float) -> bool:
        """
        Return whether the run is stalled, and was not when this was last called.

        :param now: epoch seconds, of a poll that read the run.
        """
        was_stalled = self._is_stalled
        self._is_stalled = not self._needs_action and self.unchanged_for(now) >= self._stalled_after
        return self._is_stalled and not was_stalled

    def unchanged_for(self, now: float) -> float:
        """
        Return for how many seconds the run has not changed.

        :param now: epoch seconds.
        """
        return now - self._unchanged_since
