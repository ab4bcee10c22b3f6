"""Further output that ``include`` names stands in the steps, whichever way the run was waited for."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs

import pytest

from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook
from airflow_provider_openai_run.operators.openai_run import (
    OpenAICreateResponseOperator,
    OpenAICreateRunOperator,
    OpenAIGetRunOperator,
)
from airflow_provider_openai_run.sandbox import Sandbox
from airflow_provider_openai_run.triggers.openai_run import OpenAIRunTrigger
from tests.airflow_task import AirflowTask
from tests.fake_clock import FakeClock
from tests.operators.conftest import MakeGetRun
from tests.operators.test_kept_results import attempts_of, wait
from tests.owned_runs.task_attempts import TaskAttempts
from tests.test_progress import Task, xcom

__all__ = ["xcom"]

SOURCES = "web_search_call.action.sources"
RESULTS = "step_details.tool_calls[*].file_search.results[*].content"
URL = "https://example.com/answer"


def sources(steps: list[dict[str, Any]]) -> list[str]:
    """Return the sources of the web search among the steps."""
    details = [json.loads(step["details"]) for step in steps if step["type"] == "web_search_call"]
    assert len(details) == 1
    return [source["url"] for source in details[0]["action"].get("sources", [])]


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize(("include", "expected"), [(None, []), ([SOURCES], [URL])])
def test_a_retrieved_response_has_the_included_output(
    sandbox: Sandbox,
    make_get_run: MakeGetRun,
    deferrable: bool,
    include: list[str] | None,
    expected: list[str],
) -> None:
    response = sandbox.create_response(script="web_search")
    task = make_get_run(response, include=include, wait_for_completion=True, deferrable=deferrable)
    assert sources(task.run_to_end().xcoms["steps"]) == expected


def test_include_can_be_a_template(sandbox: Sandbox, make_get_run: MakeGetRun) -> None:
    response = sandbox.create_response(script="web_search")
    sandbox.clock.advance(10)
    task = make_get_run(response, include=["{{ params.more }}"], params={"more": SOURCES})
    assert sources(task.run_to_end().xcoms["steps"]) == [URL]


def test_a_kept_response_has_the_included_output(sandbox: Sandbox, fake_clock: FakeClock, xcom: Task) -> None:
    sandbox.set_default_script({"base": "web_search", "seconds": 30})
    operator = OpenAICreateResponseOperator(
        task_id="task", model="gpt-5.2", input="Hi", include=[SOURCES], store=False, deferrable=True
    )
    attempts = attempts_of(operator, xcom)
    deferred = attempts.begin()
    event = wait(deferred, fake_clock, xcom)
    assert event["is_kept"] is True
    sandbox.reset()
    assert sources(attempts.resume(deferred, event)["steps"]) == [URL]


def test_a_created_response_has_the_included_output_on_a_worker(
    sandbox: Sandbox, fake_clock: FakeClock
) -> None:
    sandbox.set_default_script("web_search")
    task = AirflowTask(
        lambda: OpenAICreateResponseOperator(
            task_id="task", model="gpt-5.2", input="Hi", include=[SOURCES], deferrable=False
        ),
        fake_clock,
    )
    assert sources(task.run_to_end().xcoms["steps"]) == [URL]


def test_steps_of_a_created_run_are_listed_with_include(sandbox: Sandbox, fake_clock: FakeClock) -> None:
    sandbox.set_default_script("completed")
    thread = {"messages": [{"role": "user", "content": "Hi"}]}
    task = AirflowTask(
        lambda: OpenAICreateRunOperator(
            task_id="task", assistant_id="asst_1", thread=thread, include=[RESULTS], deferrable=False
        ),
        fake_clock,
    )
    assert task.run_to_end().state == "success"
    listed = [parse_qs(request.query) for request in sandbox.requests if request.path.endswith("/steps")]
    assert listed
    assert all(query["include[]"] == [RESULTS] for query in listed)


def test_the_trigger_of_a_wait_carries_include(sandbox: Sandbox) -> None:
    operator = OpenAICreateResponseOperator(
        task_id="task", model="gpt-5.2", input="Hi", include=[SOURCES], deferrable=True
    )
    deferred = TaskAttempts(operator).begin()
    assert isinstance(deferred.trigger, OpenAIRunTrigger)
    _, kwargs = deferred.trigger.serialize()
    assert json.loads(json.dumps(kwargs))["include"] == [SOURCES]
    assert OpenAIRunTrigger(**kwargs).options.include == (SOURCES,)


@pytest.mark.parametrize("include", ["code_interpreter_call.outputs", [""], [1], {"a": 1}])
def test_an_include_that_is_no_list_of_names_is_refused_at_parse_time(include: Any) -> None:
    with pytest.raises(ValueError, match=r"include must be a list of names .*, not "):
        OpenAIGetRunOperator(task_id="task", run_id="resp_1", include=include)


async def test_the_hook_includes_output_in_runs_and_steps(sandbox: Sandbox) -> None:
    response = sandbox.create_response(script="web_search")
    sandbox.clock.advance(10)
    hook, ids = OpenAIRunHook("openai_default"), {"run_id": response["id"]}
    run = await hook.aget_run(**ids, include=[SOURCES])
    steps = await hook.alist_steps(**ids, include=[SOURCES])
    assert run.steps is not None
    assert [sources([step.to_xcom() for step in each]) for each in (run.steps, steps)] == [[URL], [URL]]


def test_an_api_without_further_output_refuses_include() -> None:
    with pytest.raises(ValueError, match=r"the Batch API has no further output; leave out include=\['x'\]"):
        OpenAIGetRunOperator(task_id="task", run_id="batch_1", api="batches", include=["x"])
