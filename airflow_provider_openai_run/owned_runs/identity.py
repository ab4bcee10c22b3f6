"""Whose a run is: the tag in its metadata by which a task finds the runs it has created."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_openai_run.types.json import as_text

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_openai_run.types.json import Json
    from airflow_provider_openai_run.types.run import Run

#: The key of a run's metadata that names the task instance that created it.
TASK_KEY = "airflow_task"
#: The key that says after which clearing of the task instance the run was created.
CLEAR_KEY = "airflow_clear"

_MAX_VALUE_LENGTH = 512
_MAX_KEY_LENGTH = 64
_MAX_ENTRIES = 16


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """
    The task instance that owns a run; the same for every try.

    :param task: DAG, DAG run, task and map index, and in a loop (Airflow 3.4) the iteration's region; at most
        512 characters.
    :param clear_generation: 0 at first; another number after each "Clear" in the UI, which means that a new
        run is wanted. It is the distance between the task's last try and its ``retries``, so changing
        ``retries`` between two tries counts as a clearing too.
    """

    task: str
    clear_generation: int

    @classmethod
    def of(cls, context: Context) -> Self:
        """
        Return the identity of the task instance that is running.

        Without one, as in ``execute({})``, each call has an identity of its own.
        """
        ti = context.get("ti")
        if ti is None:
            return cls(f"no-task-instance/{uuid.uuid4().hex}", 0)
        parts = [ti.dag_id, ti.run_id, ti.task_id, ti.map_index]
        if "loop" in context:
            # All iterations of a loop have the same ids and map index.
            region: Any = ti
            parts += [region.region_id, region.region_index]
        task = "/".join(map(str, parts))
        if len(task) > _MAX_VALUE_LENGTH:
            digest = hashlib.sha256(task.encode()).hexdigest()
            task = f"{task[: _MAX_VALUE_LENGTH - len(digest) - 1]}#{digest}"
        retries = ti.task.retries or 0
        return cls(task, max(0, ti.max_tries - retries))

    @property
    def metadata(self) -> dict[str, str]:
        """The entries of a run's metadata that hold the identity."""
        return {TASK_KEY: self.task, CLEAR_KEY: str(self.clear_generation)}

    def tag(self, metadata: Json) -> dict[str, Json]:
        """
        Return the user's metadata with the identity added.

        :param metadata: the user's own entries; numbers and booleans, which
            ``render_template_as_native_obj`` makes of text, become text.
        :raises TypeError: for metadata that is not an object.
        :raises ValueError: for what the API would refuse: more than 16 entries, the two of the identity
            included, keys above 64 characters, values that are not strings or are above 512 characters.
        """
        entries = metadata or {}
        if not isinstance(entries, dict):
            raise TypeError(f"metadata must be an object, not {entries!r}")
        own: dict[str, Json] = {str(key): as_text(value) for key, value in entries.items()}
        tagged = {**own, **self.metadata}
        if own.keys() & self.metadata.keys():
            raise ValueError(f"metadata must not set {TASK_KEY!r} or {CLEAR_KEY!r}: the operator adds them")
        if len(tagged) > _MAX_ENTRIES:
            added = len(self.metadata)
            raise ValueError(
                f"metadata has {len(tagged)} entries ({added} added by the operator); "
                f"the API allows {_MAX_ENTRIES}"
            )
        for key, value in tagged.items():
            problem = _problem(key, value)
            if problem is not None:
                raise ValueError(f"metadata[{key[:_MAX_KEY_LENGTH]!r}] is not valid: {problem}")
        return tagged

    def matches(self, run: Run) -> bool:
        """Whether the task created the run since it was last cleared."""
        generation = (run.metadata or {}).get(CLEAR_KEY)
        return self.is_same_task(run) and generation == str(self.clear_generation)

    def is_same_task(self, run: Run) -> bool:
        """Whether the task created the run, before or after it was cleared."""
        return (run.metadata or {}).get(TASK_KEY) == self.task

    def idempotency_key(self, number: int, custom_id: str | None = None) -> str:
        """
        Return the ``Idempotency-Key`` of a request that creates a run.

        :param number: how many runs the task created before, since it was last cleared.
        :param custom_id: the request, where the task creates many runs: then it counts the runs of that one.
        """
        words = [self.task, self.clear_generation, number, *([] if custom_id is None else [custom_id])]
        digest = hashlib.sha256(" ".join(map(str, words)).encode()).hexdigest()
        return f"airflow-{digest[:40]}"


def _problem(key: str, value: Json) -> str | None:
    """Return why the API would refuse an entry of the metadata; None if it would not."""
    if len(key) > _MAX_KEY_LENGTH:
        return f"the key has {len(key)} characters; the API allows {_MAX_KEY_LENGTH}"
    if not isinstance(value, str):
        return f"the value must be text, not {type(value).__name__}"
    if len(value) > _MAX_VALUE_LENGTH:
        return f"the value has {len(value)} characters; the API allows {_MAX_VALUE_LENGTH}"
    return None
