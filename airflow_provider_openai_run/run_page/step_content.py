"""What a step holds, by its kind, as titles and blocks of text.

The kinds are those of the Assistants API's run steps and of the Responses API's output items. What has a kind
that nobody has heard of yet is shown as its JSON. Nothing here trusts the shape of anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from airflow_provider_openai_run.run_page.formatting import first_line, plural, pretty, readable, size
from airflow_provider_openai_run.types.message_content import read_content
from airflow_provider_openai_run.types.run import Json


@dataclass(frozen=True, slots=True)
class Block:
    """
    A labelled text.

    :param label: what it is.
    :param text: what it says.
    :param is_prose: whether it is read as sentences, not as code.
    """

    label: str
    text: str
    is_prose: bool = False


@dataclass(frozen=True, slots=True)
class Content:
    """
    What a step holds.

    :param kind: the API's word for what it did.
    :param title: the one line that stands for it.
    :param blocks: the whole of it.
    """

    kind: str
    title: str
    blocks: tuple[Block, ...]


Item: TypeAlias = dict[str, Json]


def content_of(details: Json, kind: str) -> Content:
    """
    Give what a step holds.

    :param details: its ``details``, parsed.
    :param kind: its ``type``.
    """
    if not isinstance(details, dict):
        return Content(kind, "", (Block("Details", readable(details)),) if details is not None else ())
    calls = details.get("tool_calls")
    if isinstance(calls, list) and calls:
        return _of_calls(calls)
    kind = str(details.get("type") or kind)
    return Content(kind, _title(kind, details), tuple(_blocks(kind, details)))


def _of_calls(calls: list[Json]) -> Content:
    contents = [_of_call(call) for call in calls]
    kinds = list(dict.fromkeys(content.kind for content in contents))
    titles = [content.title for content in contents if content.title]
    return Content(
        kinds[0] if len(kinds) == 1 else "tool_calls",
        first_line(" · ".join(titles[:4])) + (f" and {len(titles) - 4} more" if len(titles) > 4 else ""),
        tuple(block for content in contents for block in content.blocks),
    )


def _of_call(call: Json) -> Content:
    """Read a call of the Assistants API: what it did stands under the name of its type."""
    if not isinstance(call, dict):
        return Content("tool_calls", "", (Block("Call", readable(call)),))
    kind = str(call.get("type") or "tool_calls")
    inner = call.get(kind)
    flat = {**call, **inner} if isinstance(inner, dict) else call
    alias = {"function": "function_call", "mcp": "mcp_call"}.get(kind, kind)
    return Content(kind, _title(alias, flat), tuple(_blocks(alias, flat)))


def _title(kind: str, item: Item) -> str:
    name = item.get("name")
    if name and isinstance(name, str):
        server = item.get("server_label")
        return first_line(f"{server}: {name}" if server else name)
    for key in ("code", "input", "query", "queries"):
        if isinstance(value := item.get(key), str) and value:
            return first_line(value)
        if isinstance(value, list) and value and isinstance(value[0], str):
            return first_line(value[0])
    if kind == "mcp_list_tools" and isinstance(item.get("tools"), list):
        return first_line(f"{item.get('server_label')}: {plural(len(item['tools']), 'tool')}")
    texts = (block.text for block in _blocks(kind, item) if block.is_prose)
    return first_line(next(texts, ""))


def _blocks(kind: str, item: Item) -> Iterator[Block]:
    blocks = [block for block in _READERS.get(kind, _unknown)(item) if block.text]
    if error := item.get("error"):
        blocks.append(Block("Error", readable(error)))
    yield from blocks or _unknown(item)


def _unknown(item: Item) -> Iterator[Block]:
    yield Block("As the API sent it", pretty(item))


def _text(item: Item, key: str, label: str, *, is_prose: bool = False) -> Iterator[Block]:
    value = item.get(key)
    if value is not None and value not in ("", [], {}):
        yield Block(label, readable(value), is_prose and isinstance(value, str))


def _items(value: Json) -> list[Item]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _message(item: Item) -> Iterator[Block]:
    for part in read_content(item.get("content")):
        if part.text is None:
            yield Block("Part", pretty(part.raw))
        else:
            yield Block("Refusal" if part.is_refusal else "Text", part.text, is_prose=True)
        cited = [f"{one.get('title') or one.get('filename') or one.get('type')}  {one.get('url') or ''}"
                 for one in _items(part.raw.get("annotations"))]  # fmt: skip
        if cited:
            yield Block("Cited", "\n".join(line.strip() for line in dict.fromkeys(cited)))
    if isinstance(created := item.get("message_creation"), dict) and created.get("message_id"):
        yield Block("Message id", str(created["message_id"]), is_prose=True)
        yield Block("Text", "It stands in the thread, which is not read.", is_prose=True)


def _reasoning(item: Item) -> Iterator[Block]:
    for key, label in (("summary", "Summary"), ("content", "Reasoning")):
        texts = [text for part in _items(item.get(key)) if isinstance(text := part.get("text"), str)]
        if texts:
            yield Block(label, "\n\n".join(texts), is_prose=True)
    if isinstance(encrypted := item.get("encrypted_content"), str) and encrypted:
        yield Block("Encrypted", f"{size(len(encrypted))} that only the API can read", is_prose=True)
    if not item.get("summary") and not item.get("content") and not item.get("encrypted_content"):
        yield Block("Summary", "The API gave none.", is_prose=True)


def _function(item: Item) -> Iterator[Block]:
    yield from _text(item, "arguments", "Arguments")
    yield from _text(item, "input", "Input")
    yield from _text(item, "output", "Output")


def _output(item: Item) -> Iterator[Block]:
    for part in _items(item.get("output")):
        for key, label in (("stdout", "Output"), ("stderr", "Errors"), ("text", "Output")):
            yield from _text(part, key, label)
        if isinstance(outcome := part.get("outcome"), dict):
            yield Block("Outcome", " ".join(str(value) for value in outcome.values()))
    if not _items(item.get("output")):
        yield from _text(item, "output", "Output")
    yield from _text(item, "result", "Result")


def _code_interpreter(item: Item) -> Iterator[Block]:
    yield from _text(item, "code", "Code")
    yield from _text(item, "input", "Code")
    for output in _items(item.get("outputs")):
        image = output.get("image")
        if isinstance(output.get("logs"), str):
            yield Block("Output", output["logs"])
        elif isinstance(image, dict) or output.get("url"):
            yield Block("Image", str(image.get("file_id") if isinstance(image, dict) else output["url"]))
        else:
            yield Block("Output", pretty(output))


def _file_search(item: Item) -> Iterator[Block]:
    queries = item.get("queries")
    if isinstance(queries, list) and queries:
        yield Block("Queries", "\n".join(map(str, queries)))
    for number, hit in enumerate(_items(item.get("results")), 1):
        score = hit.get("score")
        told = f", score {score:.3f}" if isinstance(score, float) else ""
        name = hit.get("filename") or hit.get("file_name") or hit.get("file_id")
        parts = [part["text"] for part in _items(hit.get("content")) if isinstance(part.get("text"), str)]
        text = hit.get("text") if isinstance(hit.get("text"), str) else "\n".join(parts)
        found = text or "(its text was not asked for)"
        yield Block(first_line(f"Hit {number}: {name}{told}"), found, is_prose=True)


def _web_search(item: Item) -> Iterator[Block]:
    action = item.get("action")
    if not isinstance(action, dict):
        return
    yield from _text(action, "query", "Query", is_prose=True)
    yield from _text(action, "url", "Page")
    yield from _text(action, "pattern", "Looked for")
    sources = [str(source.get("url")) for source in _items(action.get("sources")) if source.get("url")]
    if sources:
        yield Block("Sources", "\n".join(sources))


def _tools(item: Item) -> Iterator[Block]:
    lines = [f"{tool.get('name')}: {first_line(str(tool.get('description') or ''), 160)}"
             for tool in _items(item.get("tools"))]  # fmt: skip
    if lines:
        yield Block("Tools", "\n".join(lines))


def _shell(item: Item) -> Iterator[Block]:
    action = item.get("action")
    commands = action.get("commands", action.get("command")) if isinstance(action, dict) else None
    if isinstance(commands, list):
        several = isinstance(action, dict) and "commands" in action
        yield Block("Commands", ("\n" if several else " ").join(map(str, commands)))


def _image(item: Item) -> Iterator[Block]:
    yield from _text(item, "revised_prompt", "Prompt", is_prose=True)
    if isinstance(result := item.get("result"), str) and result:
        yield Block("Image", f"{size(len(result))} as base64; it stands in the raw JSON", is_prose=True)


def _patch(item: Item) -> Iterator[Block]:
    if isinstance(operation := item.get("operation"), dict):
        yield Block("Operation", f"{operation.get('type')} {operation.get('path')}")
        yield from _text(operation, "diff", "Diff")


def _computer(item: Item) -> Iterator[Block]:
    yield from _text(item, "action", "Action")
    yield from _text(item, "actions", "Actions")
    yield from _text(item, "pending_safety_checks", "Pending safety checks")


def _program(item: Item) -> Iterator[Block]:
    yield from _text(item, "code", "Code")


_READERS: dict[str, Callable[[Item], Iterator[Block]]] = {
    "message": _message,
    "message_creation": _message,
    "reasoning": _reasoning,
    "function_call": _function,
    "function_call_output": _output,
    "custom_tool_call": _function,
    "custom_tool_call_output": _output,
    "code_interpreter": _code_interpreter,
    "code_interpreter_call": _code_interpreter,
    "file_search": _file_search,
    "file_search_call": _file_search,
    "web_search_call": _web_search,
    "mcp_call": _function,
    "mcp_approval_request": _function,
    "mcp_list_tools": _tools,
    "tool_search_call": _function,
    "tool_search_output": _tools,
    "shell_call": _shell,
    "local_shell_call": _shell,
    "shell_call_output": _output,
    "local_shell_call_output": _output,
    "image_generation_call": _image,
    "apply_patch_call": _patch,
    "apply_patch_call_output": _output,
    "computer_call": _computer,
    "program": _program,
    "program_output": _output,
}

_WORDS = {
    "message": "Message",
    "message_creation": "Message",
    "reasoning": "Reasoning",
    "function": "Function",
    "function_call": "Function",
    "function_call_output": "Function output",
    "custom_tool_call": "Custom tool",
    "code_interpreter": "Code interpreter",
    "code_interpreter_call": "Code interpreter",
    "file_search": "File search",
    "file_search_call": "File search",
    "web_search_call": "Web search",
    "mcp": "MCP call",
    "mcp_call": "MCP call",
    "mcp_list_tools": "MCP tools",
    "mcp_approval_request": "MCP approval",
    "tool_calls": "Tool calls",
    "tool_search_call": "Tool search",
    "tool_search_output": "Tools found",
    "local_shell_call": "Shell",
    "local_shell_call_output": "Shell output",
    "shell_call": "Shell",
    "shell_call_output": "Shell output",
    "image_generation_call": "Image",
    "apply_patch_call": "Patch",
    "computer_call": "Computer",
    "compaction": "Compaction",
}


def label_for(kind: str) -> str:
    """Give a kind of step as a person says it; one nobody knows, in the API's own word."""
    return _WORDS.get(kind) or first_line(kind, 40)
