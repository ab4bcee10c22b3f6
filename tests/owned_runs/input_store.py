"""The input requests of a task instance, as Airflow's supervisor and API server keep them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class InputStore:
    """
    Stands in for the supervisor of a worker.

    :param replaces: whether a later request replaces the first: Airflow 3.4 and later.
    :param requests: all requests, oldest first.
    :param shown: the one that people see.
    """

    replaces: bool
    requests: list[dict[str, Any]] = field(default_factory=list)
    shown: Any = None

    def send(self, msg: Any) -> Any:
        """Store a request, and return the one that people see."""
        from airflow.sdk.api.datamodels._generated import HITLDetailRequest
        from airflow.sdk.execution_time.comms import CreateHITLDetailPayload, HITLDetailRequestResult

        assert isinstance(msg, CreateHITLDetailPayload)
        request = HITLDetailRequest.model_validate_json(msg.model_dump_json(exclude={"type"}))
        self.requests.append(request.model_dump())
        if self.shown is None or self.replaces:
            self.shown = request
        return HITLDetailRequestResult.from_api_response(self.shown)
