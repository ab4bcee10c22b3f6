"""A run whose texts try to inject HTML, scripts and template code into a page."""

from __future__ import annotations

from typing import Any

from airflow_provider_openai_run.sandbox import Sandbox

MARK = "pwned"
ATTACKS = (
    f"<script>window.{MARK} = 1; alert(1)</script>",
    f'<img src=x onerror="window.{MARK} = 1">',
    f"</pre></details></main><script>window.{MARK} = 1</script>",
    f'<svg onload="window.{MARK} = 1"></svg>',
    f"javascript:window.{MARK}=1",
    "{{ 7 * 7 }} {% raw %}",
    "\"><iframe srcdoc='<script>parent.pwned = 1</script>'></iframe>",
    "\u202emoc.elpmaxe\u202c \x00 \u2028",
)
MARKDOWN_ATTACKS = (
    f"[click](javascript:window.{MARK}=1)",
    f"[click](JaVaScRiPt&colon;window.{MARK}=1)",
    f"[click][1]\n\n[1]: javascript:window.{MARK}=1",
    f"<javascript:window.{MARK}=1>",
    "[click](data:text/html;base64,PHNjcmlwdD4=)",
    "[click](vbscript:x)",
    "[click](//evil.example/x)",
    "[click](file:///etc/passwd)",
    "![image](https://evil.example/pixel.png)",
    f'![image](x" onerror="window.{MARK}=1)',
    f'[title](https://evil.example "x" onmouseover="window.{MARK}=1")',
    f"```html onload=window.{MARK}=1\n<script>window.{MARK} = 1</script>\n```",
    f"| a |\n|:-:|\n| <img src=x onerror=window.{MARK}=1> |",
    "<style>* { display: none }</style>",
)
EVERYTHING = "\n".join(ATTACKS)


def hostile_run(sandbox: Sandbox) -> dict[str, Any]:
    """
    Create the run in a sandbox, failed, and return its JSON.

    :param sandbox: the sandbox to create it in.
    """
    now = int(sandbox.clock.now())
    return sandbox.seed_run(
        {
            "id": "run_hostile",
            "object": "thread.run",
            "thread_id": "thread_hostile",
            "assistant_id": EVERYTHING,
            "model": ATTACKS[1],
            "instructions": EVERYTHING,
            "status": "failed",
            "created_at": now - 30,
            "started_at": now - 29,
            "failed_at": now,
            "tools": [{"type": ATTACKS[0]}],
            "metadata": {ATTACKS[0]: ATTACKS[1]},
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2, ATTACKS[0]: 1},
            "last_error": {"code": ATTACKS[2], "message": EVERYTHING, "url": ATTACKS[4]},
            "required_action": None,
        },
        [_step(number, attack, now) for number, attack in enumerate(ATTACKS)],
    )


def hostile_response(sandbox: Sandbox) -> dict[str, Any]:
    """
    Create a completed response whose answer is hostile Markdown, and return its JSON with a ``thread_id``.

    :param sandbox: the sandbox to create it in.
    """
    now = int(sandbox.clock.now())
    text = "\n\n".join(("# A heading", *MARKDOWN_ATTACKS, *ATTACKS))
    content = [{"type": "output_text", "text": text, "annotations": []}]
    message = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed"}
    response = {
        "id": "resp_hostile",
        "object": "response",
        "model": "gpt-5.2",
        "status": "completed",
        "created_at": now - 30,
        "completed_at": now,
        "output": [{**message, "content": content}],
        "error": None,
    }
    return {**sandbox.seed_response(response), "thread_id": None}


def _step(number: int, attack: str, now: int) -> dict[str, Any]:
    function = {"name": attack, "arguments": attack, "output": attack}
    code = {"input": attack, "outputs": [{"type": "logs", "logs": attack}]}
    search = {"results": [{"file_name": attack, "score": 0.5, "content": [{"type": "text", "text": attack}]}]}
    return {
        "id": f"step_{number}",
        "object": "thread.run.step",
        "type": "tool_calls",
        "status": attack if number % 2 else "completed",
        "created_at": now - 29 + number,
        "completed_at": now - 28 + number,
        "step_details": {
            "type": "tool_calls",
            "tool_calls": [
                {"id": attack, "type": "function", "function": function},
                {"id": attack, "type": "code_interpreter", "code_interpreter": code},
                {"id": attack, "type": "file_search", "file_search": search},
                {"id": attack, "type": attack, attack: {attack: attack}},
            ],
        },
        "usage": None,
        "last_error": {"code": attack, "message": attack},
    }
