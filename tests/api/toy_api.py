"""An API that OpenAI does not have: jobs with their own words, and a list of events as their steps.

It is added as ``docs/architecture.md`` says: a module with a :class:`RunApi`, and an entry in the registry.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from airflow_provider_openai_run.api.base import Capabilities, Request, RunApi
from airflow_provider_openai_run.api.parsing import text_or_none
from airflow_provider_openai_run.types.json import Json
from airflow_provider_openai_run.types.run import Run, RunError, RunStep
from airflow_provider_openai_run.types.run_ref import RunRef

#: The toy's states, and the statuses that they are.
_STATUSES = {"working": "in_progress", "done": "completed", "broken": "failed", "stopped": "cancelled"}


class ToyApi(RunApi):
    """Jobs, which stand alone."""

    name = "toy"
    title = "Toy API"
    capabilities: ClassVar[Capabilities] = Capabilities(lists_steps=True)

    def retrieve(self, ref: RunRef, include: Sequence[str] = ()) -> Request:
        """Return the request for the job."""
        return Request("GET", f"/jobs/{ref.run_id}")

    def list_steps(self, ref: RunRef, after: str | None, include: Sequence[str] = ()) -> Request:
        """Return the request for the events after the one with the id ``after``."""
        query = {} if after is None else {"after": after}
        return Request("GET", f"/jobs/{ref.run_id}/events", query=query, required_key="data")

    def cancel(self, ref: RunRef) -> Request:
        """Return the request that stops the job."""
        return Request("POST", f"/jobs/{ref.run_id}/stop")

    def read_run(self, body: dict[str, Json]) -> Run:
        """Return the run that a job is."""
        problem, state = text_or_none(body.get("problem")), str(body["state"])
        return Run(
            id=str(body["id"]),
            api=self.name,
            model=text_or_none(body.get("robot")),
            status=_STATUSES.get(state, state),
            last_error=None if problem is None else RunError(message=problem),
        )

    def read_step(self, body: dict[str, Json]) -> RunStep:
        """Return the step that an event is."""
        return RunStep(id=str(body["id"]), type="event", status="completed", details=f'"{body["what"]}"')
