"""The answer of a run, or why the model refused."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_openai_run.run_page.formatting import format_value, parse_json
from airflow_provider_openai_run.run_page.markdown import MAX_CHARACTERS, render_markdown
from airflow_provider_openai_run.run_page.steps import StepView
from airflow_provider_openai_run.run_page.xcom_data import XComData


@dataclass(frozen=True, slots=True)
class AnswerView:
    """
    An answer.

    :param text: the answer as the model wrote it; JSON is indented.
    :param html: its Markdown as HTML; None for JSON.
    """

    text: str
    html: str | None = None

    @property
    def is_cut(self) -> bool:
        """Whether the HTML has only the beginning of the text."""
        return self.html is not None and len(self.text) > MAX_CHARACTERS


def read_answer(data: XComData, steps: tuple[StepView, ...]) -> AnswerView | None:
    """
    Return the answer in XCom; without one, the text of the last message among the steps.

    :param data: the data of the run.
    :param steps: the steps of a run that has ended; none for one that is running.
    """
    if data.answer not in (None, ""):
        text = format_value(data.answer)
        return _markdown(text) if isinstance(parse_json(data.answer), str) else AnswerView(text)
    return _markdown(text) if (text := _last_message(steps, "Text")) else None


def read_refusal(data: XComData, steps: tuple[StepView, ...]) -> str | None:
    """
    Return why the model refused, in its own words; None if it did not.

    :param data: the data of the run.
    :param steps: the steps of a run that has ended; none for one that is running.
    """
    if data.refusal not in (None, ""):
        return format_value(data.refusal)
    return _last_message(steps, "Refusal") or None


def _last_message(steps: tuple[StepView, ...], label: str) -> str:
    messages = [step.content for step in steps if step.content.kind == "message"]
    return "\n\n".join(
        block.text for content in messages[-1:] for block in content.blocks if block.label == label
    )


def _markdown(text: str) -> AnswerView:
    return AnswerView(text, render_markdown(text))
