"""The XCom with the tool rounds of a task, for the run's page: the calls, their outputs, times and tokens.

Neither API keeps them together: a response has only its own calls, and a run has its usage only at its end.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from airflow_provider_openai_run.api.parsing import list_or_none
from airflow_provider_openai_run.progress import PROGRESS_KEY, last_request
from airflow_provider_openai_run.task_xcoms import pull_own
from airflow_provider_openai_run.types.json import Json
from airflow_provider_openai_run.types.redaction import mask_secrets
from airflow_provider_openai_run.types.storable import bounded_text, storable

if TYPE_CHECKING:
    from airflow_provider_openai_run.task_xcoms import RunningTask
    from airflow_provider_openai_run.types.required_action import PendingCall
    from airflow_provider_openai_run.types.run import Run

log = logging.getLogger(__name__)

#: The XCom key.
ROUNDS_KEY = "openai_run_rounds"

#: How long the arguments and the output of a call may be; longer ones are cut.
MAX_TEXT_CHARACTERS = 4_000
#: How large the XCom may be, as JSON; then the texts of the oldest rounds are left out.
MAX_CHARACTERS = 200_000
_MAX_ROUNDS = 100
_MAX_CALLS = 50


def build_round(
    run: Run,
    calls: Iterable[PendingCall],
    results: Mapping[str, str | bool],
    *,
    answered_by_person: Collection[str] = (),
    secrets: Iterable[str] = (),
) -> dict[str, Json]:
    """
    Return the JSON object of one round.

    :param run: the run that asked for the calls.
    :param calls: its calls.
    :param results: by call id, the output that was submitted, or whether the call was approved.
    :param answered_by_person: the ids of the calls that a person answered.
    :param secrets: known credentials to mask.
    """
    secrets = tuple(secrets)

    def text(value: Json) -> str:
        value = value if isinstance(value, str) else json.dumps(value)
        return bounded_text(mask_secrets(value, secrets), MAX_TEXT_CHARACTERS)

    views: list[Json] = []
    for call in list(calls)[:_MAX_CALLS]:
        view: dict[str, Json] = {
            "id": bounded_text(call.id),
            "name": bounded_text(call.name),
            "arguments": None if call.arguments is None else text(call.arguments),
            "by": "person" if call.id in answered_by_person else "function",
        }
        if call.server_label:
            view["server_label"] = bounded_text(call.server_label)
        result = results.get(call.id)
        if isinstance(result, bool):
            view["approved"] = result
        elif result is not None:
            view["output"] = text(result)
        views.append(view)
    usage = None if run.usage is None else run.usage.to_xcom()
    return {
        "run_id": run.id,
        "created_at": run.created_at,
        "completed_at": run.completed_at,
        "usage": usage if len(json.dumps(usage)) < MAX_TEXT_CHARACTERS else None,
        "calls": views,
    }


def push_round(value: Mapping[str, Json], ti: RunningTask) -> None:
    """
    Add a round, answered now, to the XCom; a failure is only logged.

    :param value: what :func:`build_round` returned.
    :param ti: the running task instance.
    """
    try:
        before = pull_own(ti, ROUNDS_KEY)
        requested_at = value.get("completed_at") or last_request(pull_own(ti, PROGRESS_KEY))
        entry: Json = {**value, "requested_at": requested_at, "answered_at": round(time.time(), 3)}
        ti.xcom_push(key=ROUNDS_KEY, value=_limit_size([*(list_or_none(before) or []), entry]))
    except Exception as error:  # noqa: BLE001 - an XCom backend may raise anything, and only the page reads it
        log.warning("The XCom of the tool rounds could not be set, so the run's page lacks one: %s", error)


def _limit_size(rounds: list[Json]) -> list[Json]:
    """Return the rounds, without the texts of the oldest ones if all are too large for an XCom."""
    rounds = [storable(entry) for entry in rounds[-_MAX_ROUNDS:]]
    sizes = [len(json.dumps(entry)) for entry in rounds]
    for index, entry in enumerate(rounds):
        if sum(sizes) <= MAX_CHARACTERS:
            break
        rounds[index] = _without_texts(entry)
        sizes[index] = len(json.dumps(rounds[index]))
    return rounds


def _without_texts(entry: Json) -> Json:
    if not isinstance(entry, dict):
        return None
    calls = [call for call in list_or_none(entry.get("calls")) or [] if isinstance(call, dict)]
    kept: list[Json] = [
        {key: value for key, value in call.items() if key not in {"arguments", "output"}} for call in calls
    ]
    return {**entry, "calls": kept, "left_out": True}
