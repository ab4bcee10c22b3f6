"""Every task that a newcomer copies has retries: Airflow and the API both fail now and then."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "example_dags").glob("*.py"))
PAGES = (ROOT / "README.md", ROOT / "docs" / "index.md")
TASK = re.compile(r"OpenAI\w+(Operator|Sensor)|task\.openai_response")


def sources() -> dict[str, str]:
    """Return the example DAGs, and the first whole DAG of each first page."""
    code = {path.name: path.read_text(encoding="utf-8") for path in EXAMPLES}
    for page in PAGES:
        blocks = re.findall(
            r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
        )
        code[page.name] = next(block for block in blocks if "@dag" in block)
    return code


def tasks_without_retries(source: str) -> list[int]:
    """Return the lines of the calls that make a task of this provider without retries."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    if any(
        keyword.arg == "default_args" and "'retries'" in ast.unparse(keyword.value)
        for call in calls
        for keyword in call.keywords
    ):
        return []
    tasks = [call for call in calls if TASK.fullmatch(ast.unparse(call.func))]
    return [call.lineno for call in tasks if not any(keyword.arg == "retries" for keyword in call.keywords)]


@pytest.mark.parametrize("name", sources())
def test_every_task_of_an_example_has_retries(name: str) -> None:
    assert tasks_without_retries(sources()[name]) == []


def test_a_task_without_retries_is_found() -> None:
    assert tasks_without_retries("OpenAIRunSensor(task_id='a')\nOpenAIRunHook()") == [1]
