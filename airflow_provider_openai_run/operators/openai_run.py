"""
The import path of all operators.

Each operator has a module of its own, which is imported when the operator is first named: a DAG file pays
only for the operators that it uses. Airflow takes long to create a class with as many arguments as the API
has.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_openai_run.operators.bulk_responses import OpenAIBulkResponsesOperator
    from airflow_provider_openai_run.operators.cancel_run import OpenAICancelRunOperator
    from airflow_provider_openai_run.operators.create_response import OpenAICreateResponseOperator
    from airflow_provider_openai_run.operators.create_run import OpenAICreateRunOperator
    from airflow_provider_openai_run.operators.get_run import OpenAIGetRunOperator
    from airflow_provider_openai_run.operators.submit_tool_outputs import OpenAISubmitToolOutputsOperator

__all__ = [
    "OpenAIBulkResponsesOperator",
    "OpenAICancelRunOperator",
    "OpenAICreateResponseOperator",
    "OpenAICreateRunOperator",
    "OpenAIGetRunOperator",
    "OpenAISubmitToolOutputsOperator",
]

_MODULES = {
    "OpenAIBulkResponsesOperator": "bulk_responses",
    "OpenAICancelRunOperator": "cancel_run",
    "OpenAICreateResponseOperator": "create_response",
    "OpenAICreateRunOperator": "create_run",
    "OpenAIGetRunOperator": "get_run",
    "OpenAISubmitToolOutputsOperator": "submit_tool_outputs",
}


def __getattr__(name: str) -> Any:
    """
    Return an operator, importing its module.

    :param name: one of ``__all__``.
    :raises AttributeError: for any other name.
    """
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__package__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    """Return the names of the operators beside those that are defined here."""
    return sorted({*globals(), *__all__})
