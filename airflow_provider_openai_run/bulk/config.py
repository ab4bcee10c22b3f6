"""Options of a bulk task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_openai_run.bulk.windows import Window
    from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook
    from airflow_provider_openai_run.polling.options import PollOptions
    from airflow_provider_openai_run.types.json import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkConfig:
    """
    Options of a bulk task.

    The parameters of the operator that has them, in the package ``operators``, mean the same.

    :param get_hook: returns the hook for the connection. Its module imports the SDK.
    :param defaults: the parameters that all responses share, those of the window included.
    :param poll_options_from: returns the options of a wait that began at a time, in epoch seconds.
    """

    conn_id: str
    get_hook: Callable[[], OpenAIRunHook]
    requests: Any
    results: Any
    window_name: str
    window: Window
    defaults: dict[str, Json]
    poll_options_from: Callable[[float], PollOptions]
    max_active_runs: int
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    max_failed: float = 0
    token_budget: int | None = None
    cancel_on_kill: bool = True
    cancel_on_timeout: bool = True
    deferrable: bool = False
    push_progress: bool = True

    def max_failures(self, total: int) -> int:
        """
        Return how many requests may fail.

        :param total: how many there are.
        """
        # A whole number is no share, though the annotation of floats allows it.
        is_share = isinstance(self.max_failed, float)
        return int(self.max_failed * total) if is_share else int(self.max_failed)
