"""Input from a person, through Airflow's human-in-the-loop: the task is parked without a trigger.

Before version 3.4 Airflow keeps the first request of a task instance, through all its tries and after it is
cleared: a later request empties the answer, and people see the first text again. So all calls of a round are
in one request, and what Airflow has stored is compared with it before the task is parked.
"""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_openai_run.exceptions import HumanInputAnswerError, HumanInputRequestError
from airflow_provider_openai_run.owned_runs.human_form import FormError, HumanInputForm, HumanInputRequest
from airflow_provider_openai_run.owned_runs.tools import call_names
from airflow_provider_openai_run.types.storable import bounded_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from airflow_provider_openai_run.owned_runs.config import OwnedRunConfig, TaskInterface
    from airflow_provider_openai_run.owned_runs.state import Continuation
    from airflow_provider_openai_run.types.json import Json
    from airflow_provider_openai_run.types.required_action import PendingCall

log = logging.getLogger(__name__)

#: The method in which the task continues after a person has responded.
RESUME_METHOD = "execute_answered"

#: How often a person may answer a request in a way that does not fit it.
MAX_WRONG_ANSWERS = 3

_MAX_QUOTED_CHARACTERS = 200


def is_available() -> bool:
    """Whether this Airflow can park a task until a person responds: 3.3 and later."""
    if find_spec("airflow.sdk.execution_time.hitl") is None:
        return False
    from airflow.sdk import exceptions

    return hasattr(exceptions, "TaskAwaitingInput")


class HumanInput:
    """
    The calls of a run that people answer.

    :param config: the task's options.
    :param task: the running task.
    """

    def __init__(self, config: OwnedRunConfig, task: TaskInterface) -> None:
        self._config = config
        self._task = task

    def is_for_person(self, call: PendingCall) -> bool:
        """
        Return whether a person answers a call.

        :param call: the call.
        """
        return call.kind == "approval" or (call.kind == "function" and call.name in self._config.human_tools)

    def can_request(self) -> bool:
        """Return whether a person can be requested to answer."""
        # Without a task instance, as in execute({}), there is nothing to park.
        return is_available() and self._task.context.get("ti") is not None

    def wait_for(self, calls: Sequence[PendingCall], continuation: Continuation) -> NoReturn:
        """
        Request the answers to all calls in one form, and park the task until they are there.

        :param calls: the calls that people answer.
        :param continuation: where the task stands.
        :raises HumanInputRequestError: if Airflow does not show this form.
        :raises HumanInputAnswerError: if the answers did not fit it too often.
        """
        ref = continuation.ref
        names = call_names(calls)
        problems = continuation.wrong_answers
        if len(problems) >= MAX_WRONG_ANSWERS:
            message = f"{ref} waits for {names}, and {len(problems)} answers of a person did not fit: "
            raise HumanInputAnswerError(f"{message}{problems[-1]}.")
        form = HumanInputForm.for_calls(calls)
        try:
            request = form.request(calls, self._config.hook.secrets)
        except FormError as error:
            message = f"{ref} waits for {names}, which no person can be shown: {error}. {_WAY_OUT}"
            raise HumanInputRequestError(message) from None
        shown = self._task.request_human_input(request)
        if shown != request:
            subject = bounded_text(repr(shown.subject if shown else None), _MAX_QUOTED_CHARACTERS)
            message = (
                f"{ref} waits for {names}, but Airflow still shows people an earlier request of this task "
                f"instance: {subject}. Airflow 3.4 replaces it; before, a task instance has one request in "
                f"all its tries, which clearing it keeps. {_WAY_OUT}"
            )
            raise HumanInputRequestError(message)
        log.info("%s waits for a person: %s", ref, names)
        kwargs: dict[str, Json] = {"continuation": continuation.to_json(), "form": form.to_json()}
        self._task.wait_for_person(kwargs, self._config.deadline(continuation.started_at))

    def read(self, event: dict[str, Any], form: HumanInputForm, continuation: Continuation) -> Continuation:
        """
        Return the continuation with the answers of a person, or with the reason why they do not fit.

        :param event: what Airflow resumed the task with.
        :param form: what the person saw.
        :param continuation: where the task stands.
        """
        try:
            answers = form.read(event)
        except FormError as error:
            log.warning("The answers of a person do not fit and are requested again: %s", error)
            return continuation.with_wrong_answer(str(error))
        # Airflow before 3.4 forgets who has answered once there is another request.
        log.info("%s: %s", _respondent(event), form.describe(answers))
        return continuation.with_answers(answers)


def _respondent(event: dict[str, Any]) -> str:
    user = event.get("responded_by_user")
    name = user.get("name") if isinstance(user, dict) else None
    return bounded_text(str(name or "A person"), _MAX_QUOTED_CHARACTERS)


_WAY_OUT = (
    "Answer these calls in tool_handlers, or set on_requires_action='return' and answer them in tasks of "
    "their own."
)


def request_human_input(ti_id: UUID, request: HumanInputRequest) -> HumanInputRequest | None:
    """
    Hand a request to Airflow, and return the request that Airflow shows from now on.

    :param ti_id: the id of the task instance.
    :param request: what people must see.
    :return: None if Airflow does not say.
    """
    # Not upsert_hitl_detail(), which drops Airflow's response.
    from airflow.sdk.execution_time.comms import CreateHITLDetailPayload
    from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

    shown: Any = SUPERVISOR_COMMS.send(
        CreateHITLDetailPayload(
            ti_id=ti_id,
            subject=request.subject,
            body=request.body,
            options=request.options,
            params=request.params,
            assigned_users=[],
        )
    )
    if not hasattr(shown, "subject"):
        return None
    return HumanInputRequest(
        subject=shown.subject,
        body=shown.body or "",
        options=list(shown.options),
        params=dict(shown.params or {}),
    )


def park(kwargs: dict[str, Json], deadline: float | None) -> NoReturn:
    """
    Park the task until a person responds; it continues in :data:`RESUME_METHOD`.

    :param kwargs: what the method is called with, beside the event.
    :param deadline: when to give up, in epoch seconds; None waits as long as it takes.
    """
    from airflow.sdk.exceptions import TaskAwaitingInput

    timeout = None if deadline is None else timedelta(seconds=max(0.0, deadline - time.time()))
    raise TaskAwaitingInput(method_name=RESUME_METHOD, kwargs=kwargs, timeout=timeout)
