"""Token usage as a bar with a legend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from airflow_provider_openai_run.run_page.formatting import format_count, pluralize, read_count
from airflow_provider_openai_run.types.json import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class UsagePart:
    """
    A part of the bar.

    :param kind: ``cached``, ``prompt``, ``reasoning`` or ``completion``; sets its color.
    :param tokens: the number of tokens, as text.
    :param x: its left edge, in percent.
    :param width: in percent.
    """

    kind: str
    label: str
    tokens: str
    x: float
    width: float


@dataclass(frozen=True, slots=True)
class UsageView:
    """
    The tokens that a run used, or all runs of a conversation with tool calls.

    :param total: all of them, as text.
    :param parts: the parts of the bar; parts without tokens are left out.
    :param note: which runs the tokens are of, if there were several.
    """

    total: str
    parts: tuple[UsagePart, ...]
    note: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counts:
    """The tokens of one run, or of several."""

    prompt: int = 0
    cached: int = 0
    completion: int = 0
    reasoning: int = 0
    total: int = 0

    def __add__(self, other: _Counts) -> _Counts:
        return _Counts(
            prompt=self.prompt + other.prompt,
            cached=self.cached + other.cached,
            completion=self.completion + other.completion,
            reasoning=self.reasoning + other.reasoning,
            total=self.total + other.total,
        )


def read_usage(usage: Json, token_usage: dict[str, Json], earlier: Sequence[Json] = ()) -> UsageView | None:
    """
    Return the token usage; None if it is not known.

    :param usage: the run's attribute ``usage``, with ``prompt_tokens`` or ``input_tokens``.
    :param token_usage: the XCom ``token_usage``, which counts all runs of the task's try.
    :param earlier: the ``usage`` of the responses before this one, in a conversation with tool calls.
    """
    current = _read_counts(usage if isinstance(usage, dict) else token_usage)
    before = [counts for value in earlier if (counts := _read_counts(value)) is not None]
    if current is None and not before:
        return None
    counts = sum(before, start=current or _Counts())
    rounds = read_count(token_usage.get("rounds")) or len(earlier)
    of_all_rounds = read_count(token_usage.get("total_tokens_of_all_rounds"))
    total = counts.total if of_all_rounds is None else max(of_all_rounds, counts.total)
    return UsageView(
        total=format_count(total),
        parts=_draw_parts(counts),
        note=_note(rounds, is_complete=total == counts.total),
    )


def _note(rounds: int, *, is_complete: bool) -> str | None:
    if not rounds:
        return None
    text = f"with {pluralize(rounds, 'round')} of tool calls"
    return text if is_complete else f"{text}; the bar has the last run only"


def _read_counts(usage: Json) -> _Counts | None:
    if not isinstance(usage, dict):
        return None
    prompt = _read_first(usage, "prompt_tokens", "input_tokens")
    completion = _read_first(usage, "completion_tokens", "output_tokens")
    total = read_count(usage.get("total_tokens"))
    if prompt is None and completion is None and total is None:
        return None
    prompt, completion = prompt or 0, completion or 0
    return _Counts(
        prompt=prompt,
        cached=min(_read_detail(usage, ("prompt", "input"), "cached_tokens"), prompt),
        completion=completion,
        reasoning=min(_read_detail(usage, ("completion", "output"), "reasoning_tokens"), completion),
        total=prompt + completion if total is None else total,
    )


def _read_first(usage: dict[str, Json], *names: str) -> int | None:
    counts = (read_count(usage.get(name)) for name in names)
    return next((count for count in counts if count is not None), None)


def _read_detail(usage: dict[str, Json], prefixes: tuple[str, str], name: str) -> int:
    for prefix in prefixes:
        details = usage.get(f"{prefix}_tokens_details", usage.get(f"{prefix}_token_details"))
        if isinstance(details, dict):
            return read_count(details.get(name)) or 0
    return 0


def _draw_parts(counts: _Counts) -> tuple[UsagePart, ...]:
    cached, reasoning = counts.cached, counts.reasoning
    named = (
        ("cached", "Prompt, cached", cached),
        ("prompt", "Prompt, not cached" if cached else "Prompt", counts.prompt - cached),
        ("reasoning", "Completion, reasoning", reasoning),
        ("completion", "Completion, output" if reasoning else "Completion", counts.completion - reasoning),
    )
    total = counts.prompt + counts.completion
    parts, before = [], 0
    for kind, label, count in named:
        if count:
            x, width = round(100 * before / total, 3), round(100 * count / total, 3)
            parts.append(UsagePart(kind=kind, label=label, tokens=format_count(count), x=x, width=width))
        before += count
    return tuple(parts)
