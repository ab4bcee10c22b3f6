"""The list of steps: which columns it has, how many steps have which status, and the search."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from airflow_provider_openai_run.run_page.severity import FAILURE
from airflow_provider_openai_run.run_page.steps import StepView

#: The steps that failed are named one by one, up to this number.
_MAX_NAMED = 5
_MAX_STATUSES = 6


@dataclass(frozen=True, slots=True)
class StatusCount:
    """How many steps have a status."""

    status: str
    severity: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StepList:
    """
    The steps of a run.

    :param has_times: whether any step has a time; a column that would be empty is not drawn.
    :param has_durations: whether any step has a duration.
    :param has_tokens: whether the tokens of any step are known.
    :param has_statuses: whether any step has a status.
    :param counts: the most frequent statuses, except those of failed steps.
    :param failed: the first steps that failed.
    :param failed_count: how many failed.
    """

    steps: tuple[StepView, ...]
    has_times: bool
    has_durations: bool
    has_tokens: bool
    has_statuses: bool
    counts: tuple[StatusCount, ...]
    failed: tuple[StepView, ...]
    failed_count: int


def build_step_list(steps: tuple[StepView, ...]) -> StepList:
    """
    Return the list of steps.

    :param steps: the steps.
    """
    # Those that failed are counted apart.
    counter = Counter(
        (step.status, step.severity) for step in steps if step.status is not None and step.severity != FAILURE
    )
    failed = [step for step in steps if step.has_failed]
    return StepList(
        steps=steps,
        has_times=any(step.start is not None for step in steps),
        has_durations=any(step.duration is not None for step in steps),
        has_tokens=any(step.tokens is not None for step in steps),
        has_statuses=any(step.status is not None for step in steps),
        counts=tuple(
            StatusCount(status, severity, count)
            for (status, severity), count in counter.most_common(_MAX_STATUSES)
        ),
        failed=tuple(failed[:_MAX_NAMED]),
        failed_count=len(failed),
    )


def search_steps(steps: tuple[StepView, ...], text: str) -> list[int]:
    """
    Return the numbers of the steps that contain a text, in their content too.

    :param steps: the steps.
    :param text: the text; upper and lower case are the same.
    """
    expected = text.casefold()
    return [
        step.number
        for step in steps
        if any(
            expected in part.casefold()
            for part in (
                step.id or "",
                step.label,
                step.status or "",
                step.error or "",
                step.content.title,
                *(block.text for block in step.content.blocks),
            )
        )
    ]
