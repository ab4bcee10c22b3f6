"""The deferral of a bulk task: one trigger waits for all its active responses."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, Any

from airflow_provider_openai_run.bulk.exchange import API
from airflow_provider_openai_run.bulk.progress_report import build_progress
from airflow_provider_openai_run.bulk.state import Phase
from airflow_provider_openai_run.polling.options import MIN_RESUME_DELAY
from airflow_provider_openai_run.triggers.openai_owned_run_list import OpenAIOwnedRunListTrigger
from airflow_provider_openai_run.triggers.openai_run_list import OpenAIRunListTrigger
from airflow_provider_openai_run.types.run_list_outcome import RunListOutcome
from airflow_provider_openai_run.types.status import classify_status

if TYPE_CHECKING:
    from airflow_provider_openai_run.bulk.config import BulkConfig
    from airflow_provider_openai_run.bulk.journal import Journal

#: Which share of the active responses must end before it is worth to resume and create others.
_REFILL_SHARE = 4


def new_trigger(config: BulkConfig, journal: Journal, started_at: float) -> OpenAIRunListTrigger:
    """
    Return the trigger that waits until enough of the active responses have ended.

    It knows them by their order, which is that of the journal.

    :param config: the task's options.
    :param journal: the journal.
    :param started_at: when the try began, in epoch seconds.
    """
    state = journal.state
    active = state.positions(Phase.ACTIVE)
    is_all_created = not (state.count(Phase.PENDING) or state.count(Phase.CREATING))
    trigger_class = OpenAIOwnedRunListTrigger if config.cancel_on_kill else OpenAIRunListTrigger
    options: dict[str, Any] = dataclasses.asdict(config.poll_options_from(started_at))
    # The trigger reads statuses only.
    del options["include"]
    return trigger_class(
        conn_id=config.conn_id,
        run_ids=[state.run_id(index) for index in active],
        api=API.name,
        **options,
        wait_for=len(active) if is_all_created else max(1, len(active) // _REFILL_SHARE),
        accepted_statuses=None,
        push_progress=config.push_progress,
        custom_ids=[journal.requests[index].custom_id for index in active],
        progress_base=build_progress(journal, with_active=False).to_xcom(),
        earliest_resume_at=time.time() + MIN_RESUME_DELAY,
    )


def ended_places(event: dict[str, Any]) -> list[int]:
    """
    Return which runs of the trigger must be retrieved: those that have ended, and those that it gave up.

    :param event: the payload of the trigger's event.
    """
    outcome = RunListOutcome.from_event(event, API.name)
    ended = {index for index, status in enumerate(outcome.statuses) if classify_status(status).is_terminal}
    return sorted(ended | {*outcome.given_up})
