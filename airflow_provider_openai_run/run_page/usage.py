"""Token usage as a bar with a legend."""

from __future__ import annotations

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
    The tokens that a run used.

    :param total: all of them, as text.
    :param parts: the parts of the bar; parts without tokens are left out.
    :param rounds: the tokens of a conversation with several rounds of tool calls, as text.
    """

    total: str
    parts: tuple[UsagePart, ...]
    rounds: str | None


def read_usage(usage: Json, token_usage: dict[str, Json]) -> UsageView | None:
    """
    Return the token usage; None if it is not known.

    :param usage: the run's attribute ``usage``, with ``prompt_tokens`` or ``input_tokens``.
    :param token_usage: the XCom ``token_usage``, which counts all runs of the task's try.
    """
    usage = usage if isinstance(usage, dict) else token_usage
    prompt = _read_first(usage, "prompt_tokens", "input_tokens")
    completion = _read_first(usage, "completion_tokens", "output_tokens")
    total = read_count(usage.get("total_tokens"))
    if prompt is None and completion is None and total is None:
        return None
    prompt, completion = prompt or 0, completion or 0
    cached = min(_read_detail(usage, ("prompt", "input"), "cached_tokens"), prompt)
    reasoning = min(_read_detail(usage, ("completion", "output"), "reasoning_tokens"), completion)
    counts = (
        ("cached", "Prompt, cached", cached),
        ("prompt", "Prompt, not cached" if cached else "Prompt", prompt - cached),
        ("reasoning", "Completion, reasoning", reasoning),
        ("completion", "Completion, output" if reasoning else "Completion", completion - reasoning),
    )
    return UsageView(
        total=format_count(prompt + completion if total is None else total),
        parts=_draw_parts([count for count in counts if count[2]]),
        rounds=_format_rounds(token_usage, total),
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


def _draw_parts(counts: list[tuple[str, str, int]]) -> tuple[UsagePart, ...]:
    total = sum(count for _, _, count in counts)
    parts, before = [], 0
    for kind, label, count in counts:
        x, width = round(100 * before / total, 3), round(100 * count / total, 3)
        parts.append(UsagePart(kind=kind, label=label, tokens=format_count(count), x=x, width=width))
        before += count
    return tuple(parts)


def _format_rounds(token_usage: dict[str, Json], total: int | None) -> str | None:
    rounds = read_count(token_usage.get("rounds"))
    all_tokens = read_count(token_usage.get("total_tokens_of_all_rounds"))
    if not rounds:
        return None
    text = f"after {pluralize(rounds, 'round')} of tool calls"
    return text if all_tokens in (None, total) else f"{format_count(all_tokens)} tokens {text}"
