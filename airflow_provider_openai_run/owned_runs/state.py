"""The state of a task's run: between tries in Airflow's task state store, across a deferral in its kwargs."""

from __future__ import annotations

import dataclasses
import logging
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_openai_run.api.registry import ref_from_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.sdk import Context

    from airflow_provider_openai_run.owned_runs.human_form import HumanAnswer
    from airflow_provider_openai_run.owned_runs.identity import RunIdentity
    from airflow_provider_openai_run.types.json import Json
    from airflow_provider_openai_run.types.required_action import PendingCall
    from airflow_provider_openai_run.types.run import Run
    from airflow_provider_openai_run.types.run_ref import RunRef

log = logging.getLogger(__name__)

_STORE_KEY = "openai_run"

#: The keys that version 0.1.0 wrote, and their names now.
_OLD_RECORD_KEYS = {
    "clear": "clear_generation",
    "thread_id": "parent_id",
    "spent": "tokens_used",
    "round": "rounds",
    "made": "created_count",
    "making": "is_creating",
    "given_up": "abandoned",
}
_OLD_CONTINUATION_KEYS = {
    "thread_id": "parent_id",
    "owned": "is_owned",
    "round": "rounds",
    "spent": "tokens_used",
    "made": "run_ids",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """
    The record that one try leaves to the next.

    :param clear_generation: see :class:`~airflow_provider_openai_run.owned_runs.identity.RunIdentity`.
    :param run_id: the run that the task created last; None if there is none yet.
    :param api: the name of its API; None in what version 0.1.0 wrote.
    :param parent_id: what the run belongs to, such as its thread, which can be created before the run.
    :param tokens_used: by the responses before this one, in a conversation with tools.
    :param rounds: how many times outputs were submitted.
    :param created_count: how many runs the task created since it was last cleared.
    :param is_creating: whether a request that creates a run was sent and has no known result yet.
    :param abandoned: the ids of runs that a later try must not continue.
    """

    clear_generation: int | None = None
    run_id: str | None = None
    api: str | None = None
    parent_id: str | None = None
    tokens_used: int = 0
    rounds: int = 0
    created_count: int = 0
    is_creating: bool = False
    abandoned: tuple[str, ...] = ()

    @property
    def ref(self) -> RunRef | None:
        """The run; None if there is none yet."""
        return None if self.run_id is None else _read_ref(self.run_id, self.api, self.parent_id)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """Read what this version or an older one stored; unknown keys are ignored."""
        fields = _known_fields(cls, value, _OLD_RECORD_KEYS)
        return cls(**{**fields, "abandoned": tuple(fields.get("abandoned") or ())})


class TaskRunState:
    """
    The :class:`RunRecord` of a task instance over its tries; not kept below Airflow 3.3.

    A store that fails is logged and never raised: a run may be active already.

    :param context: of the running task.
    :param identity: the task instance. What was stored before it was cleared is kept apart.
    """

    def __init__(self, context: Context, identity: RunIdentity) -> None:
        self._store: Any = context.get("task_state_store")
        self._identity = identity
        stored = self._load()
        is_current = stored.clear_generation == identity.clear_generation
        empty = RunRecord(clear_generation=identity.clear_generation)
        self.record = stored if is_current else empty
        #: What was stored before the task was cleared.
        self.before_clear = empty if is_current else stored

    @property
    def is_durable(self) -> bool:
        """Whether a later try can read what is stored."""
        return self._store is not None

    def update(self, **fields: Any) -> None:
        """Change fields of the record, and store it."""
        self.record = dataclasses.replace(self.record, **fields)
        if self._store is None:
            return
        from airflow.sdk.exceptions import AirflowRuntimeError

        try:
            self._store.set(
                _STORE_KEY, {**dataclasses.asdict(self.record), "abandoned": [*self.record.abandoned]}
            )
        except AirflowRuntimeError as error:
            log.warning("A retry may not find the run again: the task state store failed: %s", error)

    def next_idempotency_key(self) -> str:
        """Return the ``Idempotency-Key`` of the next run; the same until :meth:`record_created`."""
        if not self.is_durable:
            return f"airflow-{uuid.uuid4().hex}"
        return self._identity.idempotency_key(self.record.created_count)

    def record_created(self, ref: RunRef) -> None:
        """Record a run that was created; tokens and rounds of the one before do not count for it."""
        count = self.record.created_count + 1
        self.update(**ref.ids, created_count=count, is_creating=False, tokens_used=0, rounds=0)

    def abandon(self, run_id: str) -> None:
        """Record that a later try must not continue a run."""
        self.update(abandoned=(*self.record.abandoned, run_id))

    def _load(self) -> RunRecord:
        if self._store is None:
            return RunRecord()
        from airflow.sdk.exceptions import AirflowRuntimeError

        try:
            stored = self._store.get(_STORE_KEY)
        except AirflowRuntimeError as error:
            log.warning("An earlier try's run may not be found: the task state store failed: %s", error)
            return RunRecord()
        return RunRecord.from_json(stored) if isinstance(stored, dict) else RunRecord()


@dataclass(frozen=True, slots=True, kw_only=True)
class Continuation:
    """
    Where a try continues after a deferral: small, and plain JSON.

    :param run_id: the run that is waited for. In a conversation with tools over responses it is one response
        after the other.
    :param api: the name of its API.
    :param parent_id: what it belongs to, such as its thread; None for a response.
    :param started_at: when this try began, in epoch seconds: what the timeouts count from.
    :param is_owned: whether this task created the run, and so may cancel it.
    :param rounds: how many times outputs were submitted to the run, over all tries.
    :param tokens_used: by the responses before this one.
    :param run_ids: the runs of this try, oldest first.
    :param answers: what people have answered in this round, by call id.
    :param wrong_answers: why answers of people did not fit in this round, oldest first.
    """

    run_id: str
    api: str | None = None
    parent_id: str | None = None
    started_at: float = field(default_factory=time.time)
    is_owned: bool = True
    rounds: int = 0
    tokens_used: int = 0
    run_ids: tuple[str, ...] = ()
    answers: dict[str, Json] = field(default_factory=dict)
    wrong_answers: tuple[str, ...] = ()

    @property
    def ref(self) -> RunRef:
        """The run that is waited for."""
        return _read_ref(self.run_id, self.api, self.parent_id)

    def next_round(self, run: Run, *, tokens_used: int = 0) -> Self:
        """
        Return the continuation after outputs were submitted.

        :param run: the run to wait for now.
        :param tokens_used: by the response before it.
        """
        run_ids = self.run_ids if run.id in self.run_ids else (*self.run_ids, run.id)
        tokens_used += self.tokens_used
        return dataclasses.replace(
            self,
            run_id=run.id,
            rounds=self.rounds + 1,
            tokens_used=tokens_used,
            run_ids=run_ids,
            answers={},
            wrong_answers=(),
        )

    def with_answers(self, answers: Mapping[str, HumanAnswer]) -> Self:
        """Return the continuation after a person has answered calls, by their ids."""
        return dataclasses.replace(self, answers={**self.answers, **answers})

    def with_wrong_answer(self, reason: str) -> Self:
        """Return the continuation after a person has answered what does not fit."""
        return dataclasses.replace(self, wrong_answers=(*self.wrong_answers, reason))

    def approval_of(self, call: PendingCall) -> bool | None:
        """Return whether a person has approved a call; None if no person has decided."""
        answer = self.answers.get(call.id)
        return answer if isinstance(answer, bool) and call.kind == "approval" else None

    def output_of(self, call: PendingCall) -> str | None:
        """Return the output that a person has written for a call; None if there is none."""
        answer = self.answers.get(call.id)
        return answer if isinstance(answer, str) and call.kind == "function" else None

    def is_answered(self, call: PendingCall) -> bool:
        """Return whether a person has answered a call in the way that its kind needs."""
        return self.approval_of(call) is not None or self.output_of(call) is not None

    def to_json(self) -> dict[str, Json]:
        """Return it as plain JSON."""
        lists = {"run_ids": list(self.run_ids), "wrong_answers": list(self.wrong_answers)}
        return {**dataclasses.asdict(self), **lists}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """Read what :meth:`to_json` of this version or an older one returned; unknown keys are ignored."""
        fields = _known_fields(cls, value, _OLD_CONTINUATION_KEYS)
        tuples = {name: tuple(fields.get(name) or ()) for name in ("run_ids", "wrong_answers")}
        return cls(**{**fields, **tuples})


def _known_fields(
    cls: type[RunRecord | Continuation], value: dict[str, Any], old_keys: dict[str, str]
) -> dict[str, Any]:
    known = {item.name for item in dataclasses.fields(cls)}
    renamed = {old_keys.get(key, key): item for key, item in value.items()}
    return {name: item for name, item in renamed.items() if name in known}


def _read_ref(run_id: str, api: str | None, parent_id: str | None) -> RunRef:
    # Without an API it is what version 0.1.0 wrote, whose parents were threads.
    return ref_from_json({"run_id": run_id, "api": api, "parent_id": parent_id, "thread_id": parent_id})
