"""
The content of a step as a title and blocks of text, by the step's kind.

:data:`_KINDS` is the table of kinds, the only place on the page that is specific to an API: it has the run
steps and tool calls of Assistants and the output items of Responses. To show another kind, add a line. A kind
that is not in the table is shown as JSON. Values of an unexpected type are shown as JSON or left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from airflow_provider_openai_run.api.parsing import string_or_none
from airflow_provider_openai_run.run_page.formatting import (
    format_json,
    format_size,
    format_value,
    pluralize,
    shorten,
)
from airflow_provider_openai_run.types.json import Json
from airflow_provider_openai_run.types.message_content import read_content

#: The label of a block with the error of a tool.
ERROR_LABEL = "Error"


@dataclass(frozen=True, slots=True)
class Block:
    """
    A text with a label.

    :param is_prose: whether it is prose; else it is shown like code.
    """

    label: str
    text: str
    is_prose: bool = False


@dataclass(frozen=True, slots=True)
class Content:
    """
    The content of a step.

    :param kind: its kind, in the API's words.
    :param title: a summary in one line.
    :param blocks: all of its content.
    """

    kind: str
    title: str
    blocks: tuple[Block, ...]


Item: TypeAlias = dict[str, Json]


def read_step_content(details: Json, kind: str) -> Content:
    """
    Return the content of a step.

    :param details: the step's ``details``, parsed.
    :param kind: the step's ``type``; the ``type`` in its details takes precedence.
    """
    if not isinstance(details, dict):
        return Content(kind, "", (Block("Details", format_value(details)),) if details is not None else ())
    calls = details.get("tool_calls")
    if isinstance(calls, list) and calls:
        return _read_calls(calls)
    kind = str(details.get("type") or kind)
    return Content(kind, _title(kind, details), tuple(_blocks(kind, details)))


def _read_calls(calls: list[Json]) -> Content:
    contents = [_read_call(call) for call in calls]
    kinds = list(dict.fromkeys(content.kind for content in contents))
    titles = [content.title for content in contents if content.title]
    return Content(
        kinds[0] if len(kinds) == 1 else "tool_calls",
        shorten(" · ".join(titles[:4])) + (f" and {len(titles) - 4} more" if len(titles) > 4 else ""),
        tuple(block for content in contents for block in content.blocks),
    )


def _read_call(call: Json) -> Content:
    """Return a tool call's content; the call has it under the name of its type."""
    if not isinstance(call, dict):
        return Content("tool_calls", "", (Block("Call", format_value(call)),))
    kind = str(call.get("type") or "tool_calls")
    inner = call.get(kind)
    flat = {**call, **inner} if isinstance(inner, dict) else call
    return Content(kind, _title(kind, flat), tuple(_blocks(kind, flat)))


def _title(kind: str, item: Item) -> str:
    name = item.get("name")
    if name and isinstance(name, str):
        server = item.get("server_label")
        return shorten(f"{server}: {name}" if server else name)
    for key in ("code", "input", "query", "queries"):
        if isinstance(value := item.get(key), str) and value:
            return shorten(value)
        if isinstance(value, list) and value and isinstance(value[0], str):
            return shorten(value[0])
    if kind == "mcp_list_tools" and isinstance(tools := item.get("tools"), list):
        return shorten(f"{item.get('server_label')}: {pluralize(len(tools), 'tool')}")
    texts = (block.text for block in _blocks(kind, item) if block.is_prose)
    return shorten(next(texts, ""))


def _blocks(kind: str, item: Item) -> Iterator[Block]:
    read_blocks = _KINDS[kind].read_blocks if kind in _KINDS else _read_json
    blocks = [block for block in read_blocks(item) if block.text]
    if error := item.get("error"):
        blocks.append(Block(ERROR_LABEL, format_value(error)))
    yield from blocks or _read_json(item)


def _read_json(item: Item) -> Iterator[Block]:
    yield Block("JSON", format_json(item))


def _read_text(item: Item, key: str, label: str, *, is_prose: bool = False) -> Iterator[Block]:
    value = item.get(key)
    if value is not None and value not in ("", [], {}):
        yield Block(label, format_value(value), is_prose and isinstance(value, str))


def _items(value: Json) -> list[Item]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _read_message(item: Item) -> Iterator[Block]:
    for part in read_content(item.get("content")):
        if part.text is None:
            yield Block("Part", format_json(part.raw))
        else:
            yield Block("Refusal" if part.is_refusal else "Text", part.text, is_prose=True)
        citations = dict.fromkeys(map(_format_citation, _items(part.raw.get("annotations"))))
        if citations:
            yield Block("Citations", "\n".join(citations))
    if isinstance(created := item.get("message_creation"), dict) and created.get("message_id"):
        yield Block("Message id", str(created["message_id"]), is_prose=True)
        yield Block("Text", "The message is in the thread, which the provider does not read.", is_prose=True)


def _format_citation(citation: Item) -> str:
    source = citation.get("title") or citation.get("filename") or citation.get("type")
    return f"{source}  {citation.get('url') or ''}".strip()


def _read_reasoning(item: Item) -> Iterator[Block]:
    for key, label in (("summary", "Summary"), ("content", "Reasoning")):
        texts = [text for part in _items(item.get(key)) if isinstance(text := part.get("text"), str)]
        if texts:
            yield Block(label, "\n\n".join(texts), is_prose=True)
    if isinstance(encrypted := item.get("encrypted_content"), str) and encrypted:
        yield Block(
            "Encrypted", f"{format_size(len(encrypted))} that only the API can decrypt", is_prose=True
        )
    if not item.get("summary") and not item.get("content") and not item.get("encrypted_content"):
        yield Block("Summary", "The API returned none.", is_prose=True)


def _read_function(item: Item) -> Iterator[Block]:
    yield from _read_text(item, "arguments", "Arguments")
    yield from _read_text(item, "input", "Input")
    yield from _read_text(item, "output", "Output")


def _read_output(item: Item) -> Iterator[Block]:
    for part in _items(item.get("output")):
        for key, label in (("stdout", "Output"), ("stderr", "Errors"), ("text", "Output")):
            yield from _read_text(part, key, label)
        if isinstance(outcome := part.get("outcome"), dict):
            yield Block("Outcome", " ".join(str(value) for value in outcome.values()))
    if not _items(item.get("output")):
        yield from _read_text(item, "output", "Output")
    yield from _read_text(item, "result", "Result")


def _read_code_interpreter(item: Item) -> Iterator[Block]:
    yield from _read_text(item, "code", "Code")
    yield from _read_text(item, "input", "Code")
    for output in _items(item.get("outputs")):
        image = output.get("image")
        if isinstance(logs := output.get("logs"), str):
            yield Block("Output", logs)
        elif isinstance(image, dict) or output.get("url"):
            yield Block("Image", str(image.get("file_id") if isinstance(image, dict) else output["url"]))
        else:
            yield Block("Output", format_json(output))


def _read_file_search(item: Item) -> Iterator[Block]:
    queries = item.get("queries")
    if isinstance(queries, list) and queries:
        yield Block("Queries", "\n".join(map(str, queries)))
    for number, hit in enumerate(_items(item.get("results")), 1):
        score = hit.get("score")
        suffix = f", score {score:.3f}" if isinstance(score, float) else ""
        name = hit.get("filename") or hit.get("file_name") or hit.get("file_id")
        parts = [text for part in _items(hit.get("content")) if isinstance(text := part.get("text"), str)]
        whole = string_or_none(hit.get("text"))
        text = "\n".join(parts) if whole is None else whole
        text = text or "(the API returned no text)"
        yield Block(shorten(f"Hit {number}: {name}{suffix}"), text, is_prose=True)


def _read_web_search(item: Item) -> Iterator[Block]:
    action = item.get("action")
    if not isinstance(action, dict):
        return
    yield from _read_text(action, "query", "Query", is_prose=True)
    yield from _read_text(action, "url", "Page")
    yield from _read_text(action, "pattern", "Pattern")
    sources = [str(source.get("url")) for source in _items(action.get("sources")) if source.get("url")]
    if sources:
        yield Block("Sources", "\n".join(sources))


def _read_tools(item: Item) -> Iterator[Block]:
    lines = [
        f"{tool.get('name')}: {shorten(str(tool.get('description') or ''), 160)}"
        for tool in _items(item.get("tools"))
    ]
    if lines:
        yield Block("Tools", "\n".join(lines))


def _read_shell(item: Item) -> Iterator[Block]:
    action = item.get("action")
    commands = action.get("commands", action.get("command")) if isinstance(action, dict) else None
    if isinstance(commands, list):
        several = isinstance(action, dict) and "commands" in action
        yield Block("Commands", ("\n" if several else " ").join(map(str, commands)))


def _read_image(item: Item) -> Iterator[Block]:
    yield from _read_text(item, "revised_prompt", "Prompt", is_prose=True)
    if isinstance(result := item.get("result"), str) and result:
        yield Block("Image", f"{format_size(len(result))} of base64; the raw JSON has it", is_prose=True)


def _read_patch(item: Item) -> Iterator[Block]:
    if isinstance(operation := item.get("operation"), dict):
        yield Block("Operation", f"{operation.get('type')} {operation.get('path')}")
        yield from _read_text(operation, "diff", "Diff")


def _read_computer(item: Item) -> Iterator[Block]:
    yield from _read_text(item, "action", "Action")
    yield from _read_text(item, "actions", "Actions")
    yield from _read_text(item, "pending_safety_checks", "Pending safety checks")


def _read_program(item: Item) -> Iterator[Block]:
    yield from _read_text(item, "code", "Code")


class _Kind(NamedTuple):
    """How a kind of step is shown: its label, and the function that reads its blocks."""

    label: str
    read_blocks: Callable[[Item], Iterator[Block]]


_KINDS = {
    "message": _Kind("Message", _read_message),
    "message_creation": _Kind("Message", _read_message),
    "reasoning": _Kind("Reasoning", _read_reasoning),
    "tool_calls": _Kind("Tool calls", _read_json),
    "function": _Kind("Function", _read_function),
    "function_call": _Kind("Function", _read_function),
    "function_call_output": _Kind("Function output", _read_output),
    "custom_tool_call": _Kind("Custom tool", _read_function),
    "custom_tool_call_output": _Kind("Custom tool output", _read_output),
    "code_interpreter": _Kind("Code interpreter", _read_code_interpreter),
    "code_interpreter_call": _Kind("Code interpreter", _read_code_interpreter),
    "file_search": _Kind("File search", _read_file_search),
    "file_search_call": _Kind("File search", _read_file_search),
    "web_search_call": _Kind("Web search", _read_web_search),
    "mcp": _Kind("MCP call", _read_function),
    "mcp_call": _Kind("MCP call", _read_function),
    "mcp_approval_request": _Kind("MCP approval", _read_function),
    "mcp_list_tools": _Kind("MCP tools", _read_tools),
    "tool_search_call": _Kind("Tool search", _read_function),
    "tool_search_output": _Kind("Tools found", _read_tools),
    "shell_call": _Kind("Shell", _read_shell),
    "shell_call_output": _Kind("Shell output", _read_output),
    "local_shell_call": _Kind("Shell", _read_shell),
    "local_shell_call_output": _Kind("Shell output", _read_output),
    "image_generation_call": _Kind("Image", _read_image),
    "apply_patch_call": _Kind("Patch", _read_patch),
    "apply_patch_call_output": _Kind("Patch output", _read_output),
    "computer_call": _Kind("Computer", _read_computer),
    "program": _Kind("Program", _read_program),
    "program_output": _Kind("Program output", _read_output),
    "compaction": _Kind("Compaction", _read_json),
}


def label_for(kind: str) -> str:
    """Return the label of a kind of step; for an unknown kind, the API's own word."""
    return _KINDS[kind].label if kind in _KINDS else shorten(kind, 40)
