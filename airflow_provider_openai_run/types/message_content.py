"""The content of a message: one reader for all APIs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_openai_run.types.json import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentPart:
    """
    One part of a message.

    :param text: its text; None for a part that has none, such as an image.
    :param is_refusal: whether the text says why the model refused.
    :param raw: the part as the API sent it; empty where the content is a bare string.
    """

    text: str | None
    is_refusal: bool = False
    raw: dict[str, Json] = field(default_factory=dict, compare=False, repr=False)


def read_content(content: Json) -> tuple[ContentPart, ...]:
    """
    Read the content of a message.

    :param content: a list of parts as the Assistants API and the Responses API have them, one part, or a bare
        string, which may stand for a part too; anything else is read as no content.
    """
    parts = content if isinstance(content, list) else [content]
    return tuple(
        ContentPart(text=part) if isinstance(part, str) else _part(part)
        for part in parts
        if isinstance(part, str | dict)
    )


def _part(part: dict[str, Json]) -> ContentPart:
    text = part.get("text", part.get("refusal"))
    if isinstance(text, dict):
        text = text.get("value")
    is_refusal = part.get("type") == "refusal" or ("refusal" in part and "text" not in part)
    return ContentPart(text=text if isinstance(text, str) else None, is_refusal=is_refusal, raw=part)


@dataclass(frozen=True, slots=True)
class Answer:
    """
    The answer in the messages of a run.

    :param text: its text, without refusals; None if no message has any.
    :param refusal: why the model refused, in its own words; None if it did not.
    """

    text: str | None = None
    refusal: str | None = None


def read_answer(messages: Iterable[dict[str, Json]], separator: str) -> Answer:
    """
    Return the answer in the messages of a run.

    What the model writes between its tool calls (``"phase": "commentary"``) is not part of the answer, unless
    there is no other message.

    :param messages: the messages, oldest first.
    :param separator: what stands between two parts.
    """
    all_messages = list(messages)
    final = [message for message in all_messages if message.get("phase") != "commentary"]
    parts = [part for message in final or all_messages for part in read_content(message.get("content"))]
    texts = [part.text for part in parts if part.text is not None and not part.is_refusal]
    refusals = [part.text for part in parts if part.text is not None and part.is_refusal]
    return Answer(
        text=separator.join(texts) if texts else None, refusal="\n".join(refusals) if refusals else None
    )
