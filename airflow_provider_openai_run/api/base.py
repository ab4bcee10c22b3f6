"""The interface of an API: its requests, how to read its responses, and its capabilities."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_openai_run.types.json import Json
    from airflow_provider_openai_run.types.run import Run, RunStep
    from airflow_provider_openai_run.types.run_ref import RunRef


@dataclass(frozen=True, slots=True)
class Request:
    """
    A request to send.

    :param method: ``GET`` or ``POST``.
    :param path: below the connection's base URL, with a leading slash.
    :param query: query parameters beside those of the connection.
    :param body: the JSON to send; None sends none.
    :param headers: headers beside those of the connection.
    :param include: the API's names of further output to return, such as ``code_interpreter_call.outputs``.
    :param required_key: a key that the JSON object of every valid response has.
    :param run_exists: whether the run has just been retrieved, so that a 404 is not about the run itself.
    :param ended_at_openai: if OpenAI has ended the API: a sentence that says so and what to do instead.
    :param subject: what it is about, for messages, where it is not about a run that has an id.
    """

    method: str
    path: str
    query: dict[str, str] = field(default_factory=dict)
    body: dict[str, Json] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    include: tuple[str, ...] = ()
    required_key: str = "id"
    run_exists: bool = False
    ended_at_openai: str | None = None
    subject: str = "a run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """
    The features of an API. Code outside this package branches on these, and never on the name of an API.

    :param lists_steps: whether steps are a list of their own, read page by page; else they come with the run.
    :param lists_runs: whether the runs of a parent can be listed, and so be found without their ids.
    :param answers_in_successor: whether tool outputs go into a new run, after the run that needed them has
        completed; else they are submitted to the run, which resumes.
    :param takes_include: whether further output can be asked for by name, with ``include``.
    """

    lists_steps: bool = False
    lists_runs: bool = False
    answers_in_successor: bool = False
    takes_include: bool = False


class RunApi(ABC):
    """
    One API that has runs: what to send to it, and how to read its responses. No I/O.

    Adding an API takes a module with a subclass, and a line in
    :mod:`airflow_provider_openai_run.api.registry`.
    """

    #: The name that triggers, events and XComs carry.
    name: ClassVar[str]
    #: The API's name in messages and on pages.
    title: ClassVar[str]
    #: The argument by which DAG authors name what a run belongs to, such as ``thread_id``; it is a field of
    #: :class:`~airflow_provider_openai_run.types.run.Run` too. None if runs stand alone.
    parent_argument: ClassVar[str | None] = None
    capabilities: ClassVar[Capabilities] = Capabilities()
    #: The longest time between two polls of a run, in seconds, where a DAG author sets none.
    max_poll_interval: ClassVar[float] = 120.0
    #: If OpenAI has ended the API: a sentence that says so and what to do instead.
    ended_at_openai: ClassVar[str | None] = None

    @abstractmethod
    def retrieve(self, ref: RunRef, include: Sequence[str] = ()) -> Request:
        """Return the request for the run, and for further output of it that ``include`` names."""

    @abstractmethod
    def read_run(self, body: dict[str, Json]) -> Run:
        """Return the run that a response body describes, with its steps where they come with it."""

    def check_include(self, include: Sequence[str]) -> None:
        """
        Refuse names of further output for an API that has none.

        :raises ValueError: naming the way out.
        """
        if include and not self.capabilities.takes_include:
            raise ValueError(f"the {self.title} has no further output; leave out include={[*include]!r}")

    def read_step(self, body: dict[str, Json]) -> RunStep:
        """Return the step that a JSON object describes."""
        raise NotImplementedError(f"the {self.title} has no steps")

    def list_steps(self, ref: RunRef, after: str | None, include: Sequence[str] = ()) -> Request:
        """Return the request for the page of steps after the one with the id ``after``, oldest first."""
        raise NotImplementedError(f"the {self.title} has no list of steps")

    def list_runs(self, parent_id: str, after: str | None) -> Request:
        """Return the request for the page of runs before the one with the id ``after``, newest first."""
        raise NotImplementedError(f"the {self.title} does not list runs")

    def create(self, parent_id: str | None, params: dict[str, Json]) -> Request:
        """Return the request that creates a run."""
        raise NotImplementedError(f"the {self.title} creates no runs here")

    def submit_tool_outputs(self, ref: RunRef, outputs: Sequence[Json], params: dict[str, Json]) -> Request:
        """Return the request that submits tool outputs to the run."""
        raise NotImplementedError(f"the {self.title} takes no tool outputs")

    def cancel(self, ref: RunRef) -> Request:
        """Return the request that cancels the run."""
        raise NotImplementedError(f"the {self.title} cancels no runs")

    def required_action_of(self, steps: list[dict[str, Json]]) -> dict[str, Json] | None:  # noqa: ARG002
        """Return the required action that is only in the steps; None if there is none."""
        return None

    def console_url(self, ref: RunRef) -> str | None:  # noqa: ARG002 - for subclasses
        """Return the run's page at platform.openai.com; None if it has none."""
        return None

    def with_ref(self, run: Run, ref: RunRef) -> Run:
        """
        Return the run with the ids of the reference that it was retrieved by.

        Some servers leave out the parent's id, and some gateways return another run id each time.
        """
        ids = {"id": ref.run_id}
        if self.parent_argument is not None and ref.parent_id is not None:
            ids[self.parent_argument] = ref.parent_id
        return dataclasses.replace(run, **ids)  # type: ignore[arg-type]  # the names of Run's own fields
