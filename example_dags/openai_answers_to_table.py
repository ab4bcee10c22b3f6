"""
Read product reviews with a model, and store what it found as rows of a table.

Each answer fits a pydantic model, whose fields are the table's columns. The connection ``reviews_db`` names
the database, of any kind that has a hook of Airflow's common SQL provider: SQLite, Postgres, Snowflake, … A
second run for the same reviews replaces their rows. The connection ``openai_default`` names the server.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal

from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator
from airflow.sdk import BaseHook, Param, dag, task
from pydantic import BaseModel, Field

REVIEWS = [
    {"id": 1, "text": "Arrived broken, and my mails are not answered."},
    {"id": 2, "text": "Does what it should. The manual could be better."},
]


# [START howto_answers_to_table]
class Review(BaseModel):
    """One review, as the columns of the table."""

    product_area: Literal["delivery", "quality", "support", "other"]
    stars: int = Field(ge=1, le=5)
    summary: str


CREATE_TABLE = """
    CREATE TABLE IF NOT EXISTS reviews (
        id INTEGER PRIMARY KEY,
        product_area VARCHAR(20) NOT NULL,
        stars INTEGER NOT NULL,
        summary TEXT NOT NULL
    )
"""


@dag(
    schedule=None,
    params={
        "reviews": Param(REVIEWS, type="array", description="Each with an id and a text"),
        "model": Param("gpt-5.2", type="string"),
    },
    default_args={"retries": 2, "retry_delay": timedelta(seconds=10)},
    tags=["openai", "example"],
    doc_md=__doc__,
)
def openai_answers_to_table() -> None:
    """Create the table, read each review, and store the rows."""
    table = SQLExecuteQueryOperator(task_id="table", conn_id="reviews_db", sql=CREATE_TABLE)

    @task
    def load_reviews(params: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        reviews: list[dict[str, Any]] = (params or {})["reviews"]
        return reviews

    @task.openai_response(
        model="{{ params.model }}",
        instructions="Classify the review, and summarize it in one sentence.",
        text_format=Review,
        deferrable=True,
        timeout=timedelta(minutes=15).total_seconds(),
    )
    def read(review: dict[str, Any]) -> str:
        text: str = review["text"]
        return text

    @task
    def store(reviews: list[dict[str, Any]], answers: list[dict[str, Any]]) -> None:
        columns = ["id", *Review.model_fields]
        rows = [
            (review["id"], *(answer[column] for column in columns[1:]))
            for review, answer in zip(reviews, answers, strict=True)
        ]
        hook: Any = BaseHook.get_hook("reviews_db")
        hook.insert_rows("reviews", rows, target_fields=columns, replace=True, replace_index="id")

    reviews = load_reviews()
    table >> store(reviews, read.expand(review=reviews))
    # [END howto_answers_to_table]


openai_answers_to_table()
