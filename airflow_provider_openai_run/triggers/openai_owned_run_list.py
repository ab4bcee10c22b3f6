"""The trigger that waits for many runs which its task has created."""

from __future__ import annotations

from airflow_provider_openai_run.triggers._lazy_import import import_off_loop
from airflow_provider_openai_run.triggers.openai_run_list import OpenAIRunListTrigger
from airflow_provider_openai_run.types.run_ref import RunRef


class OpenAIOwnedRunListTrigger(OpenAIRunListTrigger):
    """
    Wait for runs that the task has created, and cancel them if a user ends the task meanwhile.

    That is: marks it failed or success, or clears it, on Airflow 3.3 and later. A stop or restart of the
    triggerer, a move to another triggerer, the deadline and the normal end cancel nothing. The arguments are
    those of :class:`~airflow_provider_openai_run.triggers.openai_run_list.OpenAIRunListTrigger`.
    """

    async def on_kill(self) -> None:
        """Cancel the runs, unless the task continues: then Airflow has only moved the trigger."""
        canceller = await import_off_loop("airflow_provider_openai_run.triggerer.run_canceller")
        refs = [RunRef(self.api, run_id, self.parent_id) for run_id in self.run_ids]
        await canceller.cancel_all_if_task_ended(self.conn_id, refs, self.task_instance, self.log)
