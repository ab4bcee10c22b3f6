"""Token usage as a bar and its legend."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_openai_run.run_page.formatting import count, plural, whole
from airflow_provider_openai_run.types.run import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """
    A part of the bar.

    :param x: where it begins, in per cent.
    :param width: in per cent.
    """

    tone: str
    label: str
    tokens: str
    x: float
    width: float


@dataclass(frozen=True, slots=True)
class UsageView:
    """
    The tokens a run used.

    :param total: all of them, in words.
    :param parts: what they were used for.
    :param more: what a conversation of several rounds used, in a sentence.
    """

    total: str
    parts: tuple[Part, ...]
    more: str | None


def usage_of(usage: Json, token_usage: dict[str, Json]) -> UsageView | None:
    """
    Read the usage.

    :param usage: the run's, under the names of either API.
    :param token_usage: what the try has used; it counts several runs together.
    :return: None if nothing is known.
    """
    usage = usage if isinstance(usage, dict) else token_usage
    prompt = _first(usage, "prompt_tokens", "input_tokens")
    completion = _first(usage, "completion_tokens", "output_tokens")
    total = whole(usage.get("total_tokens"))
    if prompt is None and completion is None and total is None:
        return None
    prompt, completion = prompt or 0, completion or 0
    cached = min(_detail(usage, ("prompt", "input"), "cached_tokens"), prompt)
    reasoning = min(_detail(usage, ("completion", "output"), "reasoning_tokens"), completion)
    tokens = (
        ("cached", "Prompt, cached", cached),
        ("prompt", "Prompt" if not cached else "Prompt, read anew", prompt - cached),
        ("reasoning", "Completion, reasoning", reasoning),
        ("completion", "Completion" if not reasoning else "Completion, written", completion - reasoning),
    )
    return UsageView(
        total=count(prompt + completion if total is None else total),
        parts=_parts([part for part in tokens if part[2]]),
        more=_more(token_usage, total),
    )


def _first(usage: dict[str, Json], *names: str) -> int | None:
    return next((number for name in names if (number := whole(usage.get(name))) is not None), None)


def _detail(usage: dict[str, Json], kinds: tuple[str, str], name: str) -> int:
    for kind in kinds:
        details = usage.get(f"{kind}_tokens_details", usage.get(f"{kind}_token_details"))
        if isinstance(details, dict):
            return whole(details.get(name)) or 0
    return 0


def _parts(tokens: list[tuple[str, str, int]]) -> tuple[Part, ...]:
    total = sum(number for _, _, number in tokens)
    parts, before = [], 0
    for tone, label, number in tokens:
        x, width = 100 * before / total, 100 * number / total
        parts.append(Part(tone=tone, label=label, tokens=count(number), x=round(x, 3), width=round(width, 3)))
        before += number
    return tuple(parts)


def _more(token_usage: dict[str, Json], total: int | None) -> str | None:
    rounds, all_rounds = (
        whole(token_usage.get("rounds")),
        whole(token_usage.get("total_tokens_of_all_rounds")),
    )
    if not rounds:
        return None
    told = f"after {plural(rounds, 'round')} of tool calls"
    return told if all_rounds in (None, total) else f"{count(all_rounds)} tokens {told}"
