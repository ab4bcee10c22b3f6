"""The life of a bulk task: begin or continue its journal, run passes, defer in between, write the results."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.common.compat.sdk import AirflowTaskTimeout

from airflow_provider_openai_run.airflow_errors import fail_without_retry
from airflow_provider_openai_run.bulk.bulk_pass import BulkPass
from airflow_provider_openai_run.bulk.folder import open_folder
from airflow_provider_openai_run.bulk.journal import JOURNALS, Journal, directory_of, foreign_folder_error
from airflow_provider_openai_run.bulk.progress_report import ProgressReport
from airflow_provider_openai_run.bulk.result_files import COMPLETED, first_error, read_manifest, write_results
from airflow_provider_openai_run.bulk.state import Phase
from airflow_provider_openai_run.bulk.task_state import BulkTaskState
from airflow_provider_openai_run.exceptions import (
    BulkFailedError,
    BulkJournalError,
    BulkRequestsError,
    OpenAIRunError,
    RunWaitTimeoutError,
    TokenBudgetSpentError,
)
from airflow_provider_openai_run.owned_runs.identity import RunIdentity
from airflow_provider_openai_run.types.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from airflow_provider_openai_run.bulk.config import BulkConfig
    from airflow_provider_openai_run.bulk.stop_signal import StopSignal
    from airflow_provider_openai_run.owned_runs.config import TaskInterface
    from airflow_provider_openai_run.types.json import Json


class BulkRunner:
    """
    Run a bulk task.

    :param config: the task's options.
    :param task: the running task.
    :param stop_signal: is set when the task is killed on this worker.
    """

    def __init__(self, config: BulkConfig, task: TaskInterface, stop_signal: StopSignal) -> None:
        self._config = config
        self._task = task
        self._stop_signal = stop_signal
        self._identity = RunIdentity.of(task.context)
        self._task_state = BulkTaskState(task.context, self._identity)
        self._folder = open_folder(config.results)

    def start(self) -> dict[str, Json]:
        """
        Begin the task, or continue it where an earlier try stopped.

        :return: the manifest.
        :raises OpenAIRunError: if the requests cannot be sent, too many of them failed, or the time or the
            token budget is over.
        """
        started_at = time.time()
        # A wrong connection is reported as one, before anything is read.
        _ = self._config.get_hook().conn
        try:
            manifest = read_manifest(self._folder)
            if manifest is not None and manifest.get("task") != self._identity.task:
                raise foreign_folder_error(self._folder, manifest.get("task"))
            journal = Journal.open(self._folder, self._identity)
            if journal is None and manifest is not None and self._is_completed(manifest):
                self._task.log.info("An earlier try has completed all requests, see %s", self._folder.url)
                return manifest
            again: list[int] = []
            if journal is None:
                journal = self._begin()
            elif journal.state.is_finished:
                again = journal.state.repeatable()
            self._log_start(journal, again)
            return self._run_pass(journal, started_at, again=again)
        finally:
            self._folder.close()

    def resume(self, started_at: float, event: dict[str, Any], pass_number: int) -> dict[str, Json]:
        """
        Continue after a deferral.

        :param started_at: when the try began, in epoch seconds.
        :param event: the payload of the trigger's event.
        :param pass_number: the pass that deferred.
        :return: the manifest.
        :raises OpenAIRunError: as :meth:`start`.
        """
        from airflow_provider_openai_run.bulk.deferral import ended_places

        try:
            journal = self._reopen()
            active = journal.state.positions(Phase.ACTIVE)
            is_same = journal.number == pass_number
            ended = ended_places(event) if is_same else range(len(active))
            return self._run_pass(
                journal, started_at, ended=[active[place] for place in ended if place < len(active)]
            )
        finally:
            self._folder.close()

    def cancel(self, started_at: float) -> None:
        """
        Cancel all active responses, after Airflow itself has ended the deferral or interrupted the task.

        :param started_at: when the try began, in epoch seconds.
        """
        try:
            journal = Journal.open(self._folder, self._identity)
            if journal is not None:
                self._cancel_active(journal, started_at)
        finally:
            self._folder.close()

    def _is_completed(self, manifest: dict[str, Any]) -> bool:
        is_same = manifest.get("clear_generation") == self._identity.clear_generation
        return is_same and manifest.get("status") == COMPLETED

    def _begin(self) -> Journal:
        """Check the requests, and begin the journal; nothing was sent before."""
        if self._task_state.has_begun:
            raise self._missing_journal_error()
        self._abandon_cleared()
        config = self._config
        try:
            journal = Journal.create(
                self._folder, self._identity, config.requests, config.defaults, config.window_name
            )
        except BulkRequestsError as error:
            raise fail_without_retry(error) from None
        self._task_state.record_begun(self._folder.url)
        return journal

    def _reopen(self) -> Journal:
        journal = Journal.open(self._folder, self._identity)
        if journal is None:
            raise self._missing_journal_error()
        return journal

    def _missing_journal_error(self) -> BulkJournalError:
        return BulkJournalError(
            f"This task has created responses, but its journal is not in {self._folder.url} on "
            f"{socket.gethostname()}. If the tries of a task may run on several machines, results must be in "
            "shared storage. Nothing was created now; clear the task to create all responses again"
        )

    def _abandon_cleared(self) -> None:
        """Cancel what the task has created before it was cleared, and forget it."""
        own = directory_of(self._identity)
        for directory in self._folder.names(JOURNALS):
            generation = directory.rpartition("/")[2]
            if directory == own or not generation.isdigit():
                continue
            identity = RunIdentity(self._identity.task, int(generation))
            journal = Journal.open(self._folder, identity)
            if journal is not None and self._config.cancel_on_kill:
                self._cancel_active(journal, time.time())
            self._folder.remove(directory)

    def _cancel_active(self, journal: Journal, started_at: float) -> None:
        try:
            if journal.state.count(Phase.ACTIVE):
                asyncio.run(self._cancel(journal, started_at))
        finally:
            journal.requests.close()

    def _log_start(self, journal: Journal, again: list[int]) -> None:
        state = journal.state
        self._task.log.info(
            "%s requests, %s of them have ended, %s responses are active. Results: %s",
            state.total,
            state.count(Phase.ENDED) - len(again),
            state.count(Phase.ACTIVE),
            self._folder.url,
        )
        if again:
            self._task.log.info("%s requests that failed in an earlier try are created again", len(again))

    def _run_pass(
        self, journal: Journal, started_at: float, *, ended: Iterable[int] = (), again: Iterable[int] = ()
    ) -> dict[str, Json]:
        try:
            status = self._run_in_loop(journal, started_at, ended, [*again])
            if status == "waiting":
                self._defer(journal, started_at)
            return self._finish(journal, status)
        finally:
            journal.requests.close()

    def _run_in_loop(
        self, journal: Journal, started_at: float, ended: Iterable[int], again: list[int]
    ) -> str:
        try:
            return asyncio.run(self._pass(journal, started_at, ended, again))
        except AirflowTaskTimeout:
            if self._config.cancel_on_timeout:
                self.cancel(started_at)
            raise

    async def _pass(self, journal: Journal, started_at: float, ended: Iterable[int], again: list[int]) -> str:
        """Run one pass, and return ``completed``, ``waiting`` or why it stopped."""
        await self._begin_pass(journal)
        if again:
            await journal.record({"type": "again", "requests": [*again]})
        ti = self._task.context.get("ti") if self._config.push_progress else None
        report = ProgressReport(journal, ti)
        bulk_pass = self._new_pass(journal, started_at, report.report)
        try:
            await bulk_pass.run(ended)
            return await self._end_pass(bulk_pass, journal)
        finally:
            await bulk_pass.close()
            await journal.drain()
            report.report(is_last=True)

    async def _end_pass(self, bulk_pass: BulkPass, journal: Journal) -> str:
        """Cancel what is active if the pass had to stop, and return how the pass has ended."""
        if self._stop_signal.is_set:
            if self._config.cancel_on_kill:
                await bulk_pass.cancel_active()
            raise OpenAIRunError("The task was killed: it creates no response any more")
        if bulk_pass.is_over_budget:
            await bulk_pass.cancel_active()
            status = "token_budget"
        elif bulk_pass.is_complete:
            status = "failed" if bulk_pass.has_failed else COMPLETED
        elif bulk_pass.is_past_deadline:
            if self._config.cancel_on_timeout:
                await bulk_pass.cancel_active()
            status = "timeout"
        else:
            return "waiting"
        await asyncio.to_thread(self._write_results, journal, status)
        await journal.record({"type": "finished", "status": status})
        return status

    async def _cancel(self, journal: Journal, started_at: float) -> None:
        await self._begin_pass(journal)
        bulk_pass = self._new_pass(journal, started_at, lambda: None)
        try:
            await bulk_pass.cancel_active()
        finally:
            await bulk_pass.close()
            await journal.drain()

    def _defer(self, journal: Journal, started_at: float) -> NoReturn:
        """Release the worker until enough responses have ended."""
        from airflow_provider_openai_run.bulk.deferral import new_trigger

        trigger = new_trigger(self._config, journal, started_at)
        message = "Deferring until %s of %s active responses have ended"
        self._task.log.info(message, trigger.wait_for, len(trigger.run_ids))
        self._task.defer(
            trigger,
            method_name="execute_complete",
            kwargs={"started_at": started_at, "pass_number": journal.number},
            started_at=started_at,
        )

    def _new_pass(self, journal: Journal, started_at: float, on_end: Callable[[], None]) -> BulkPass:
        return BulkPass(
            self._config,
            self._identity,
            journal,
            options=self._config.poll_options_from(started_at),
            stop_signal=self._stop_signal,
            on_end=on_end,
        )

    async def _begin_pass(self, journal: Journal) -> None:
        ti = self._task.context.get("ti")
        try_number = None if ti is None else ti.try_number
        await journal.begin_pass(host=socket.gethostname(), pid=os.getpid(), try_number=try_number)

    def _write_results(self, journal: Journal, status: str) -> None:
        self._manifest = write_results(journal, status)

    def _finish(self, journal: Journal, status: str) -> dict[str, Json]:
        """Return the manifest of a task that was successful; raise why another one was not."""
        state = journal.state
        if status == COMPLETED:
            self._folder.remove(JOURNALS)
            return self._manifest
        unended = state.total - state.count(Phase.ENDED)
        done = f"{state.count(Phase.ENDED) - state.failed} of {state.total} requests are answered"
        where = f"The answers are in {self._folder.url}."
        if status == "token_budget":
            message = (
                f"token_budget: {state.total_tokens} tokens were used, and {self._config.token_budget} are "
                f"allowed; {done}, and {unended} were not created or were cancelled. {where}"
            )
            raise fail_without_retry(TokenBudgetSpentError(message))
        if status == "timeout":
            active = state.count(Phase.ACTIVE)
            message = f"The time of the task is over: {done}. {where} A retry continues with the rest."
            raise RunWaitTimeoutError(message, run_left_running=active > 0)
        failed = first_error(journal)
        first = "" if failed is None else f" The first: {failed[0]!r}, {redact(failed[1]).rstrip('.')}."
        message = (
            f"{state.failed} requests failed, and max_failed={self._config.max_failed} allows "
            f"{self._config.max_failures(state.total)}; {done}.{first} All failed requests are in "
            f"{self._folder.path_of('errors.jsonl')}, in a form that can be requests again. A retry creates "
            "them again, but for those that the API refuses"
        )
        raise BulkFailedError(message)
