"""The input of a run: the prompt, the instructions, the tools, the metadata."""

from __future__ import annotations

from collections.abc import Mapping

from airflow_provider_openai_run.run_page.formatting import format_value, parse_json
from airflow_provider_openai_run.run_page.step_content import Block
from airflow_provider_openai_run.types.json import Json
from airflow_provider_openai_run.types.redaction import MASK

#: Arguments of the operators that hold the prompt; XCom does not have it, the rendered templates do.
_PROMPT_FIELDS = (
    ("input", "Prompt"),
    ("thread", "Thread"),
    ("additional_messages", "Additional messages"),
    ("additional_instructions", "Additional instructions"),
    ("prompt", "Stored prompt"),
    ("tool_outputs", "Tool outputs"),
)
#: Attributes of the run, or else the arguments of the same name.
_ATTRIBUTES = (("instructions", "Instructions"), ("tools", "Tools"), ("metadata", "Metadata"))

#: What stands for an argument that is not set, or that the task does not let into the database.
_EMPTY: tuple[Json, ...] = (None, "", "None", MASK, [], {})


def read_input(run: Mapping[str, Json], rendered: Mapping[str, Json]) -> tuple[Block, ...]:
    """
    Return the input of a run; what is not known, or is kept out of the database, is left out.

    :param run: the run's attributes.
    :param rendered: the task's rendered template fields.
    """
    prompts = [(label, rendered.get(name)) for name, label in _PROMPT_FIELDS]
    attributes = [
        (label, run.get(name) if run.get(name) not in _EMPTY else rendered.get(name))
        for name, label in _ATTRIBUTES
        # What masked_fields hides, the page does not show from elsewhere either.
        if rendered.get(name) != MASK
    ]
    return tuple(
        Block(label, format_value(value), is_prose=isinstance(parse_json(value), str))
        for label, value in (*prompts, *attributes)
        if value not in _EMPTY
    )
