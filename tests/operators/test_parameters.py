"""The signature of an operator is the only list of the API's parameters."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_openai_run.operators import create_response, create_run
from airflow_provider_openai_run.operators._owned_run import OwnedRunOperator
from airflow_provider_openai_run.operators.openai_run import (
    OpenAICreateResponseOperator,
    OpenAICreateRunOperator,
    OpenAISubmitToolOutputsOperator,
)
from airflow_provider_openai_run.sandbox import Sandbox
from tests.owned_runs.fresh_runs import _runs_end_at_once  # noqa: F401 - a fixture
from tests.owned_runs.task_attempts import TaskAttempts, bodies

REQUIRED: dict[Any, dict[str, Any]] = {
    create_response: {"model": "gpt-5.2", "input": "Hi"},
    create_run: {"assistant_id": "asst_1", "thread": {}},
}
NAMES = {create_response: "OpenAICreateResponseOperator", create_run: "OpenAICreateRunOperator"}


@pytest.mark.parametrize("module", [create_response, create_run])
def test_a_parameter_is_added_by_one_line_of_the_signature(sandbox: Sandbox, module: Any) -> None:
    source = Path(module.__file__).read_text(encoding="utf-8")
    signature = "        extra_params: dict[str, Any] | None = None,\n"
    assert source.count(signature) == 1
    changed = source.replace(signature, f"        added_by_the_api: Any = None,\n{signature}")
    namespace: dict[str, Any] = {"__name__": module.__name__}
    exec(compile(changed, module.__file__, "exec"), namespace)  # noqa: S102 - our own source
    operator = namespace[NAMES[module]]
    assert "added_by_the_api" in operator.template_fields
    task = operator(task_id="task", added_by_the_api={"a": 1}, **REQUIRED[module])
    TaskAttempts(task).begin()
    path = "/responses" if module is create_response else "/runs"
    assert bodies(sandbox, path)[0]["added_by_the_api"] == {"a": 1}


@pytest.mark.parametrize(
    "operator",
    [
        OpenAICreateResponseOperator,
        OpenAICreateRunOperator,
        OpenAISubmitToolOutputsOperator,
        OwnedRunOperator,
    ],
)
def test_every_parameter_of_an_operator_is_documented(operator: type[OwnedRunOperator]) -> None:
    parameters = inspect.signature(operator.__init__).parameters.values()
    names = {item.name for item in parameters if item.kind is item.KEYWORD_ONLY}
    inherited = {"wait_for_completion", "cancel_on_kill", "cancel_on_timeout", "multiple_outputs"}
    own = names if operator is OwnedRunOperator else names - inherited
    documented = inspect.getdoc(operator) or ""
    assert [name for name in own - {"multiple_outputs"} if f":param {name}:" not in documented] == []
