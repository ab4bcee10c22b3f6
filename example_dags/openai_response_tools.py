"""
Let a model call Python functions, round after round, without occupying a worker while it works.

Each time the model asks, the task resumes on a worker, calls the functions in ``tool_handlers`` with the
model's arguments, submits what they return, and defers again. ``token_budget`` and ``max_tool_rounds``
limit the conversation. Trigger it as it is, or with another ``question`` and ``model``.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from airflow.sdk import Param, dag, task

from airflow_provider_openai_run.operators.openai_run import OpenAICreateResponseOperator

log = logging.getLogger(__name__)

CITY = {
    "type": "object",
    "properties": {"city": {"type": "string", "description": "Such as Oslo"}},
    "required": ["city"],
    "additionalProperties": False,
}


# [START howto_openai_tool_functions]
def get_weather(city: str) -> dict[str, str]:
    """Return the weather; a real function would query a warehouse or another API."""
    return {"city": city, "weather": "rain", "temperature": "11 °C"}


def get_time(city: str) -> str:
    """Return the local time."""
    return f"It is noon in {city}."


# [END howto_openai_tool_functions]


@dag(
    schedule=None,
    params={
        "question": Param(
            "What is the weather like in Oslo and in Lima, and what time is it?", type="string"
        ),
        "model": Param("gpt-5.2", type="string"),
        "metadata": Param({}, type="object", description="Metadata of the responses"),
    },
    render_template_as_native_obj=True,
    tags=["openai", "example"],
    doc_md=__doc__,
)
def openai_response_tools() -> None:
    """Create a response, answer its tool calls, and report on it."""
    # [START howto_openai_tool_handlers]
    response = OpenAICreateResponseOperator(
        task_id="response",
        model="{{ params.model }}",
        input="{{ params.question }}",
        metadata="{{ params.metadata }}",
        tools=[
            {"type": "function", "name": "get_weather", "parameters": CITY, "strict": True},
            {"type": "function", "name": "get_time", "parameters": CITY, "strict": True},
        ],
        tool_handlers={"get_weather": get_weather, "get_time": get_time},
        token_budget=20_000,
        max_tool_rounds=5,
        deferrable=True,
        poll_interval=2,
        timeout=timedelta(minutes=15).total_seconds(),
        retries=2,
        retry_delay=timedelta(seconds=10),
    )
    # [END howto_openai_tool_handlers]

    @task
    def report(answer: str, token_usage: dict[str, int]) -> str:
        log.info(
            "%s (%s rounds, %s tokens)",
            answer,
            token_usage["rounds"],
            token_usage["total_tokens_of_all_rounds"],
        )
        return answer

    report(response.output["answer"], response.output["token_usage"])


openai_response_tools()
