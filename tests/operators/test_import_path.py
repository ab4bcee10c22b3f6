"""All operators can be imported from ``operators.openai_run``, and only those that are named are loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest
from airflow.sdk import BaseOperator

from airflow_provider_openai_run.operators import openai_run


@pytest.mark.parametrize("name", openai_run.__all__)
def test_each_operator_can_be_imported(name: str) -> None:
    assert issubclass(getattr(openai_run, name), BaseOperator)
    assert name in dir(openai_run)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="OpenAIDeleteRunOperator"):
        _ = openai_run.OpenAIDeleteRunOperator


def test_only_the_named_operators_are_loaded() -> None:
    program = """
import sys
from airflow_provider_openai_run.operators.openai_run import OpenAIGetRunOperator
package = "airflow_provider_openai_run.operators."
print(*(name.removeprefix(package) for name in sys.modules if name.startswith(package)))
"""
    output = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout
    assert set(output.splitlines()[-1].split()) == {"openai_run", "get_run", "_base", "_right_names"}
