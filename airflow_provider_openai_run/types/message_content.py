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

    :param content: a list of parts as the Assistants API and the Responses API have them, or a bare string;
        anything else is read as no content.
    """
    if isinstance(content, str):
        return (ContentPart(text=content),)
    parts = content if isinstance(content, list) else []
    return tuple(_part(part) for part in parts if isinstance(part, dict))


def _part(part: dict[str, Json]) -> ContentPart:
    text = part.get("text", part.get("refusal"))
    if isinstance(text, dict):
        text = text.get("value")
    is_refusal = part.get("type") == "refusal"
    return ContentPart(text=text if isinstance(text, str) else None, is_refusal=is_refusal, raw=part)


def output_text(contents: Iterable[Json], separator: str) -> str | None:
    """
    Return the text of several messages; refusals are left out.

    :param contents: the content of each message.
    :param separator: what stands between two parts.
    :return: None if there is no message at all.
    """
    messages = [read_content(content) for content in contents if content]
    if not messages:
        return None
    texts = (part.text for parts in messages for part in parts if not part.is_refusal)
    return separator.join(text for text in texts if text is not None)
