"""
Evaluate hundreds of deep-research responses each night, within a pool and a token budget.

Each case is a question and the words that its answer must contain. A mapped task asks the question, the next
one grades the answer, and the last one sums up. The pool ``deep_research``, which counts deferred tasks,
limits how many responses are in progress; the budget of the night limits how many are created. Trigger it as
it is, or with other cases; the connection ``openai_default`` names the server.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from airflow.providers.common.compat.sdk import AirflowSkipException
from airflow.sdk import Param, dag, get_current_context, task, task_group

log = logging.getLogger(__name__)

CASES = [
    {"question": "Which year did the Suez Canal open?", "expected": ["1869"]},
    {"question": "What is six times seven? Show two sources.", "expected": ["42"]},
]


def tokens_used() -> int:
    """Return how many tokens the responses of this DAG run have used up to now."""
    ti = get_current_context()["ti"]
    usages = ti.xcom_pull(task_ids=["evaluate.research"], key="token_usage")
    return sum(usage["total_tokens_of_all_rounds"] or 0 for usage in usages if usage)


@dag(
    schedule=None,  # "0 2 * * *", and a start_date, for every night at two
    params={
        "cases": Param(CASES, type="array", description="Questions, and words that the answers contain"),
        "model": Param("o3-deep-research", type="string"),
        "token_budget": Param(20_000_000, type="integer", minimum=1, description="For the whole DAG run"),
        "metadata": Param({}, type="object", description="Metadata of the responses"),
    },
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(seconds=30)},
    render_template_as_native_obj=True,
    tags=["openai", "example"],
    doc_md=__doc__,
)
def openai_nightly_evaluation() -> None:
    """Research each case, grade the answers, and sum up."""

    @task
    def load_cases(params: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        cases: list[dict[str, Any]] = (params or {})["cases"]
        return cases

    # [START howto_nightly_evaluation]
    @task_group
    def evaluate(case: dict[str, Any]) -> None:
        @task.openai_response(
            model="{{ params.model }}",
            tools=[{"type": "web_search_preview"}],
            max_tool_calls=50,
            max_output_tokens=30_000,
            metadata="{{ params.metadata }}",
            pool="deep_research",
            deferrable=True,
            timeout=timedelta(hours=2).total_seconds(),
        )
        def research(case: dict[str, Any], params: dict[str, Any] | None = None) -> str:
            used, budget = tokens_used(), (params or {})["token_budget"]
            if used >= budget:
                raise AirflowSkipException(f"{used:,} tokens of {budget:,} are used")
            question: str = case["question"]
            return question

        @task
        def grade(case: dict[str, Any], answer: str) -> dict[str, Any]:
            missing = [word for word in case["expected"] if word.lower() not in answer.lower()]
            return {"question": case["question"], "passed": not missing, "missing": missing}

        grade(case, research(case))

    @task(trigger_rule="all_done")
    def sum_up() -> dict[str, int]:
        context = get_current_context()
        grades = [grade for grade in context["ti"].xcom_pull(task_ids=["evaluate.grade"]) if grade]
        summary = {
            "cases": len(context["params"]["cases"]),
            "graded": len(grades),
            "passed": sum(grade["passed"] for grade in grades),
            "tokens": tokens_used(),
        }
        log.info("%s", summary)
        return summary

    evaluate.expand(case=load_cases()) >> sum_up()
    # [END howto_nightly_evaluation]


openai_nightly_evaluation()
