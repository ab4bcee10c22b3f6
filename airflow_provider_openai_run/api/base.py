"""What all API modules have in common: the request they make, and the shape they have."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from airflow_provider_openai_run.types.run import Json, Run, RunStep
    from airflow_provider_openai_run.types.run_ref import RunRef


@dataclass(frozen=True, slots=True)
class Request:
    """
    What to send.

    :param method: ``GET`` or ``POST``.
    :param path: below the connection's base URL, with a leading slash.
    :param query: query parameters beside those of the connection.
    :param body: the JSON to send; None sends none.
    :param headers: headers beside those of the connection.
    :param answer_key: a key that the JSON object of a good answer has.
    """

    method: str
    path: str
    query: dict[str, str] = field(default_factory=dict)
    body: dict[str, Json] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    answer_key: str = "id"


class RunApi(Protocol):
    """What each API module offers."""

    #: What people call the API.
    name: str

    def retrieve(self, ref: RunRef) -> Request:
        """Ask for the run."""

    def list_steps(self, ref: RunRef, after: str | None) -> Request | None:
        """Ask for a page of steps; None where they come with the run."""

    def create(self, thread_id: str | None, params: dict[str, Json]) -> Request:
        """Ask for a new run."""

    def submit_tool_outputs(self, ref: RunRef, outputs: list[Json], params: dict[str, Json]) -> Request:
        """Hand the run what it waits for."""

    def cancel(self, ref: RunRef) -> Request:
        """Ask for the run's end."""

    def read_run(self, body: dict[str, Json]) -> Run:
        """Read a run; its steps too where they come with it."""

    def read_step(self, body: dict[str, Json]) -> RunStep:
        """Read a step."""
