"""What the sensor and the operators that wait for a run have in common."""

from __future__ import annotations

import time
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn, cast

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, BaseOperator

from airflow_provider_openai_run.api.registry import ref_from_json, run_ref
from airflow_provider_openai_run.links.openai_run import LINK_KEY, OpenAIRunLink
from airflow_provider_openai_run.polling.options import PollOptions

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_openai_run.exceptions import OpenAIRunError
    from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook
    from airflow_provider_openai_run.polling.policy import Decision, RunPoller
    from airflow_provider_openai_run.types.outcome import Outcome
    from airflow_provider_openai_run.types.run_ref import RunRef

#: How much later than the trigger's own deadline Airflow ends a deferral, so that the trigger's message comes
#: first.
_DEFER_MARGIN = timedelta(minutes=2)


class BaseRunOperator(BaseOperator):
    """
    A task that is about one run, and may wait for it.

    What is needed only to run the task is imported then, so that a DAG file that names it is parsed quickly.
    Its subclasses set ``conn_id``, ``run_id`` and ``thread_id`` (templated), and ``poll_options``.
    """

    conn_id: str
    run_id: str
    thread_id: str | None
    api: str | None = None
    #: The polling options of :class:`~airflow_provider_openai_run.polling.options.PollOptions`.
    poll_options: dict[str, Any]
    #: The run's page in the vendor's console; empty where there is none, None before that is known.
    link: str | None = None

    operator_extra_links = (OpenAIRunLink(),)

    def check_arguments(self) -> None:
        """
        Refuse what can be known to be wrong before the task runs.

        :raises InvalidRunReferenceError: for an id that is neither a template nor an id.
        :raises ValueError: for a polling option out of its range.
        """
        PollOptions(started_at=0.0, **self.poll_options)
        if not any(is_known_at_runtime(value) for value in (self.run_id, self.thread_id)):
            _ = self.ref

    @cached_property
    def hook(self) -> OpenAIRunHook:
        """The hook, on the task's connection."""
        from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook

        return OpenAIRunHook(self.conn_id)

    @property
    def ref(self) -> RunRef:
        """
        The run, once the templates are rendered.

        :raises InvalidRunReferenceError: for an id no request can be made of.
        """
        # What a template makes of None: a DAG whose thread_id is a parameter serves both APIs.
        return run_ref(
            self.run_id, api=self.api, thread_id=None if self.thread_id == "None" else self.thread_id
        )

    def show_link(self, context: Context) -> None:
        """
        Leave the run's page in XCom, so that the link shows while the task waits.

        :param context: of the running task.
        :raises InvalidConnectionError: for a connection that is wrong.
        """
        self.link = self.hook.run_url(self.ref) or ""
        ti = context.get("ti")
        if self.link and ti and self.do_xcom_push:
            ti.xcom_push(key=LINK_KEY, value=self.link)

    def new_wait(self, timeout: float | None, started_at: float | None = None) -> RunPoller:
        """
        Begin to wait for the run.

        :param timeout: seconds after ``started_at`` when to give up; None waits as long as it takes.
        :param started_at: when the task first started to wait, in epoch seconds; None means now.
        """
        from airflow_provider_openai_run.polling.policy import RunPoller

        began = time.time() if started_at is None else started_at
        deadline = None if timeout is None else began + timeout
        return RunPoller(self.ref, PollOptions(started_at=began, deadline=deadline, **self.poll_options))

    def look(self, wait: RunPoller, context: Context) -> Outcome | None:
        """Look at the task's run once; give None if the wait is not over."""
        from airflow_provider_openai_run.types.outcome import Outcome

        decision = self.hook.poll_once(wait)
        self.publish(decision, context)
        return decision if isinstance(decision, Outcome) else None

    def wait_here(self, wait: RunPoller, context: Context) -> Outcome:
        """Look at the run until the wait is over."""
        while (outcome := self.look(wait, context)) is None:
            time.sleep(max(0.0, wait.not_before - time.time()))
        return outcome

    def publish(self, decision: Decision, context: Context) -> None:
        """Leave in XCom what the run's page shows while the task waits, if there is news."""
        # There is none where somebody tries out a task of theirs with `execute({})`.
        ti = context.get("ti")
        if ti and self.do_xcom_push:
            from airflow_provider_openai_run.progress import push

            push(decision, ti)

    def outcome_of(self, event: dict[str, Any]) -> Outcome:
        """Read what the trigger sent."""
        from airflow_provider_openai_run.types.outcome import Outcome

        return Outcome.from_event(event, ref_from_json(event))

    def is_for_another_run(self, event: dict[str, Any], run_id: str | None) -> bool:
        """
        Whether an event is about another run than the task waits for; the log says so then.

        A database may give the id of a trigger that has gone to the next one (SQLite does), and Airflow then
        delivers what the one still sends to the task of the other.

        :param event: what Airflow resumed the task with.
        :param run_id: the run that the task waits for; None if that got lost, as ``airflow dags test`` does.
        """
        if run_id in (None, event["run_id"]):
            return False
        self.log.warning(
            "Airflow brought news of %s; this task goes on waiting for %s", event["run_id"], run_id
        )
        return True

    def defer_until_complete(self, wait: RunPoller) -> NoReturn:
        """Hand a wait to the triggerer; the task goes on in ``execute_complete``."""
        from airflow_provider_openai_run.triggers.openai_run import OpenAIRunTrigger

        self.log.info("Deferring until %s has ended", wait.ref)
        self.defer(
            trigger=OpenAIRunTrigger.for_wait(self.conn_id, wait, publish=self.do_xcom_push),
            method_name="execute_complete",
            kwargs={"run_id": wait.ref.run_id},
            timeout=deferral_timeout(wait.options.deadline),
        )


def deferral_timeout(deadline: float | None) -> timedelta | None:
    """
    Give how long Airflow may let a task be deferred: longer than its trigger waits.

    :param deadline: the trigger's, in epoch seconds; None waits as long as it takes.
    """
    return None if deadline is None else timedelta(seconds=max(0.0, deadline - time.time())) + _DEFER_MARGIN


def also(error: OpenAIRunError, airflow_kind: type[AirflowException]) -> AirflowException:
    """
    Give an error that is one of its own type and one of Airflow's too, for what Airflow makes of those.

    :param error: the error.
    :param airflow_kind: such as ``AirflowFailException``, which is not retried.
    """
    kind = type(error)
    both = type(kind.__name__, (kind, airflow_kind), {"__module__": kind.__module__, "__doc__": kind.__doc__})
    result = both(error.message)
    result.__dict__.update(error.__dict__)
    result.__cause__ = error.__cause__
    return cast("AirflowException", result)


def fail_without_retry(error: OpenAIRunError) -> AirflowException:
    """
    Give an error that Airflow does not retry, since a retry would only come upon it again.

    :param error: the error.
    """
    return also(error, AirflowFailException)


def is_known_at_runtime(value: object) -> bool:
    """Whether an argument is known only when the task runs: a template, or the output of another task."""
    return "{" in value if isinstance(value, str) else hasattr(value, "resolve")


def check_positive(name: str, value: object) -> None:
    """
    Refuse an argument that is neither None nor a positive number.

    :param name: the argument.
    :param value: what was given.
    :raises ValueError: naming both.
    """
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or value <= 0):
        msg = f"{name} must be more than 0, not {value!r}"
        raise ValueError(msg)
