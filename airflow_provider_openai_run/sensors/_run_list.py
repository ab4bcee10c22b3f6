"""The sensor's wait for many runs: its arguments, its polls on a worker, its deferral and its result."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeAlias

from airflow_provider_openai_run.api.registry import get_api, run_ref
from airflow_provider_openai_run.exceptions import InvalidRunReferenceError, OpenAIRunError
from airflow_provider_openai_run.operators._base import BaseRunOperator, id_text, is_known_at_runtime
from airflow_provider_openai_run.operators._right_names import check_outputs
from airflow_provider_openai_run.types.run_ref import RunRef, check_id, check_run_ids

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_openai_run.polling.policy import RunPoller
    from airflow_provider_openai_run.types.run_list_outcome import RunListOutcome

#: An id that stands for any in the URL of a run.
_ANY_RUN_ID = "any-run-of-the-list"

#: How many runs of a list must end in an accepted status.
WaitFor: TypeAlias = "Literal['all', 'any'] | int"


def check_wait_for(wait_for: object) -> None:
    """
    Check the argument ``wait_for``.

    :param wait_for: its value.
    :raises ValueError: unless it is ``"all"``, ``"any"`` or a number of 1 or more.
    """
    is_number = isinstance(wait_for, int) and not isinstance(wait_for, bool)
    if wait_for not in ("all", "any") and not (is_number and int(str(wait_for)) >= 1):
        raise ValueError(f"wait_for must be 'all', 'any' or a number of runs, 1 or more, not {wait_for!r}")


def check_run_list(run_ids: Sequence[Any], wait_for: WaitFor, api: str | None) -> None:
    """
    Check a list of run ids as far as it is known when the DAG is parsed.

    :param run_ids: the argument ``run_id``; its items may be templates and outputs of tasks.
    :param wait_for: the argument ``wait_for``.
    :param api: the argument ``api``.
    :raises InvalidRunReferenceError: for an unknown API, or an id that cannot be used in a request or is
        there twice.
    :raises ValueError: if fewer runs are named than must end.
    """
    for position, run_id in enumerate(run_ids):
        if is_known_at_runtime(run_id):
            check_outputs(**{f"run_id[{position}]": run_id})
        else:
            check_id(f"run_id[{position}]", run_id)
    check_run_ids([run_id for run_id in run_ids if not is_known_at_runtime(run_id)])
    check_wait_for(wait_for)
    goal_of(wait_for, len(run_ids))
    if api is not None and not is_known_at_runtime(api):
        get_api(api)


def goal_of(wait_for: WaitFor, total: int) -> int:
    """
    Return how many runs must end in an accepted status.

    :param wait_for: the argument ``wait_for``.
    :param total: how many runs there are. Of none, all have ended, and any never will.
    :raises ValueError: if it is more than there are.
    """
    goal = {"all": total, "any": 1}.get(wait_for) if isinstance(wait_for, str) else wait_for
    if goal is None or goal > total:
        raise ValueError(f"wait_for={wait_for!r} needs more runs than run_id has: {total:,}")
    return goal


def run_ids_of(run_id: Any) -> list[str] | None:
    """
    Return the ids of a rendered argument ``run_id`` that names many runs; None if it names one.

    :param run_id: a list, the output of mapped tasks, the JSON text of a list, or one id.
    :raises InvalidRunReferenceError: for an id that cannot be used in a request, or that is there twice, and
        for a text that begins like a list but is no JSON.
    """
    if isinstance(run_id, str):
        run_id = _parse_list(run_id)
    if isinstance(run_id, str) or not isinstance(run_id, Sequence):
        return None
    return check_run_ids([id_text(item) for item in _items(run_id)])


def _parse_list(text: str) -> Any:
    if not text.lstrip().startswith("["):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidRunReferenceError(
            f"run_id rendered to a text that looks like a list and is no JSON: {text[:100]!r}. Pass the "
            "output of the task itself, or write {{ … | tojson }}"
        ) from None


def _items(values: Sequence[Any]) -> Sequence[Any]:
    """Return all items; those of the output of mapped tasks with one request instead of one for each."""
    from airflow.sdk.execution_time.lazy_sequence import LazyXComSequence

    return values[:] if isinstance(values, LazyXComSequence) else values


class RunListWait:
    """
    The wait of a sensor for many runs.

    :param sensor: the sensor, with its templates rendered.
    :param run_ids: the ids of the runs.
    :param started_at: when the wait started, in epoch seconds.
    :param wait_for: the argument ``wait_for``.
    :param accepted_statuses: the terminal statuses that count.
    :param polls_failing_at_once: whether to poll a run again here as long as its requests fail, because
        another process would not know how many have failed in a row.
    """

    def __init__(
        self,
        sensor: BaseRunOperator,
        run_ids: list[str],
        started_at: float,
        *,
        wait_for: WaitFor,
        accepted_statuses: tuple[str, ...],
        polls_failing_at_once: bool,
    ) -> None:
        from airflow_provider_openai_run.polling.run_list import RunListState
        from airflow_provider_openai_run.run_list_progress import PushSchedule

        self._sensor = sensor
        thread_id, api = (None if value == "None" else value for value in (sensor.thread_id, sensor.api))
        # Any id, which is not one of the list, shows which API the others belong to.
        self._ref = run_ref("run", api=api, thread_id=id_text(thread_id))
        self._options = sensor.poll_options_from(started_at)
        self._state = RunListState(
            run_ids,
            wait_for=goal_of(wait_for, len(run_ids)),
            accepted_statuses=accepted_statuses,
        )
        self._accepted_statuses = accepted_statuses
        self._polls_failing_at_once = polls_failing_at_once
        self._pollers: dict[int, RunPoller] = {}
        self._pushes = PushSchedule()

    @property
    def is_over(self) -> bool:
        """Whether the wait is over."""
        return self._state.is_over

    @property
    def next_poll_at(self) -> float:
        """When the next run is due, in epoch seconds."""
        return min((poller.not_before for poller in self._pollers.values()), default=0.0)

    def poll(self, context: Context) -> None:
        """
        Poll each run that is due, one after the other, until the wait is over.

        :param context: the task's context.
        """
        self._create_pollers()
        for index, poller in list(self._pollers.items()):
            if self.is_over:
                break
            if poller.not_before <= time.time():
                self._poll_one(index, poller)
        self._push(context, is_last=self.is_over)

    def expire(self) -> None:
        """End the wait: its deadline has passed."""
        self._create_pollers()
        for index, poller in self._pollers.items():
            self._state.on_decision(index, poller.expire(time.time()), time.time())

    def defer(self) -> NoReturn:
        """Defer the task until the wait is over."""
        from airflow_provider_openai_run.polling.options import MIN_RESUME_DELAY
        from airflow_provider_openai_run.triggers.openai_run_list import OpenAIRunListTrigger

        sensor, state, started_at = self._sensor, self._state, self._options.started_at
        sensor.log.info("Deferring until %s of %s runs have ended", state.wait_for, len(state.run_ids))
        sensor.defer(
            trigger=OpenAIRunListTrigger.for_options(
                sensor.conn_id,
                state.run_ids,
                self._ref,
                self._options,
                wait_for=state.wait_for,
                accepted_statuses=self._accepted_statuses,
                push_progress=sensor.do_xcom_push,
                progress_base=self._progress_base(),
                earliest_resume_at=time.time() + MIN_RESUME_DELAY,
            ),
            method_name="execute_list_complete",
            kwargs={"started_at": started_at},
            timeout=sensor.deferral_timeout(started_at),
        )

    def _progress_base(self) -> dict[str, Any] | None:
        """Return what the page needs beside the runs: where they are in the vendor's console, if anywhere."""
        from airflow_provider_openai_run.run_list_progress import RunListProgress

        run_url = self._run_url() if self._sensor.do_xcom_push else None
        if run_url is None:
            return None
        return RunListProgress(total=len(self._state.run_ids), counts={}, run_url=run_url).to_xcom()

    def _run_url(self) -> str | None:
        """Return the URL of runs in the vendor's console, with ``{run_id}`` in the place of the id."""
        ref = RunRef(self._ref.api, _ANY_RUN_ID, self._ref.parent_id)
        try:
            url = self._sensor.poll_hook.run_url(ref)
        except OpenAIRunError:
            # Only the page needs it; the polls will say what is wrong with the connection.
            return None
        return url.replace(_ANY_RUN_ID, "{run_id}") if url and _ANY_RUN_ID in url else None

    def outcome(self) -> RunListOutcome:
        """Return how the wait has ended."""
        return self._state.outcome(self._options, time.time())

    def outcome_from_event(self, event: dict[str, Any], context: Context) -> RunListOutcome | None:
        """
        Return the outcome that the trigger sent; None if its event is about other runs.

        A database may reuse the id of a deleted trigger (SQLite does); Airflow then delivers a late event
        of the old trigger to the task that waits for the new one.

        :param event: the payload of the trigger's event.
        :param context: the task's context.
        """
        from airflow_provider_openai_run.types.run_list_outcome import RunListOutcome, list_digest

        if event.get("digest") != list_digest(self._state.run_ids):
            self._sensor.log.warning("Ignored an event about other runs: the task waits for a new trigger")
            return None
        outcome = RunListOutcome.from_event(event, self._ref.api, self._ref.parent_id)
        if not event.get("is_pushed"):
            self._push_outcome(outcome, context)
        return outcome

    def result(self, outcome: RunListOutcome) -> dict[str, Any]:
        """
        Return the sensor's XCom: how many runs have which status, and the status of each.

        :param outcome: how the wait has ended.
        :raises OpenAIRunError: if the sensor fails.
        """
        outcome.raise_if_failed()
        statuses = dict(zip(self._state.run_ids, outcome.statuses, strict=True))
        return {"counts": outcome.counts, "statuses": statuses}

    def _create_pollers(self) -> None:
        from airflow_provider_openai_run.polling.policy import RunPoller

        if not self._pollers and not self.is_over:
            api, parent_id = self._ref.api, self._ref.parent_id
            self._pollers = {
                index: RunPoller(RunRef(api, run_id, parent_id), self._options)
                for index, run_id in enumerate(self._state.run_ids)
            }

    def _poll_one(self, index: int, poller: RunPoller) -> None:
        from airflow_provider_openai_run.types.outcome import Outcome

        hook = self._sensor.poll_hook
        decision = hook.poll_once(poller)
        while self._polls_failing_at_once and poller.is_failing and not isinstance(decision, Outcome):
            time.sleep(max(0.0, decision.at - time.time()))
            decision = hook.poll_once(poller)
        if not isinstance(decision, Outcome) and poller.is_late(time.time()):
            decision = poller.expire(time.time())
        self._state.on_decision(index, decision, time.time())
        if isinstance(decision, Outcome):
            del self._pollers[index]

    def _push(self, context: Context, *, is_last: bool) -> None:
        ti, now = context.get("ti"), time.time()
        if ti and self._sensor.do_xcom_push and self._pushes.is_due(now, is_last=is_last):
            from airflow_provider_openai_run.run_list_progress import progress_of, push

            started_at, run_url = self._options.started_at, self._run_url()
            push(progress_of(self._state, now, started_at=started_at, run_url=run_url), ti)

    def _push_outcome(self, outcome: RunListOutcome, context: Context) -> None:
        """Push how the wait has ended, where the trigger could not."""
        now, failures = time.time(), {failure.ref.run_id: failure for failure in outcome.failures}
        for index, (run_id, status) in enumerate(zip(self._state.run_ids, outcome.statuses, strict=True)):
            self._state.set_status(index, status, now)
            if failure := failures.get(run_id):
                self._state.on_decision(index, failure, now)
        self._push(context, is_last=True)
