"""Strategies for runs of every shape, and for valid ids."""

from __future__ import annotations

import json

from hypothesis import strategies as st

from airflow_provider_openai_run.types.run import Run, RunError, RunStep, Usage
from airflow_provider_openai_run.types.run_ref import RunRef
from airflow_provider_openai_run.types.status import STATUSES
from tests.json_strategies import json_objects, json_values

#: Characters that no id may contain, because they would change the path of a URL.
REFUSED_CHARACTERS = "/\\?#% \t\n\r\x00\x1f\x7f\x85\x9f\xa0\u2028\u3000"

good_ids = st.text(
    st.characters(categories=("L", "M", "N", "P", "S"), exclude_characters=REFUSED_CHARACTERS), min_size=1
).filter(lambda text: ".." not in text and text not in {".", "None"})

refs = st.builds(RunRef, st.sampled_from(["responses", "batches"]), good_ids) | st.builds(
    RunRef, st.just("assistants"), good_ids, good_ids
)

counts = st.none() | st.integers()
usages = st.none() | st.builds(
    Usage,
    prompt_tokens=counts,
    completion_tokens=counts,
    total_tokens=counts,
    details=json_objects.filter(
        lambda details: not details.keys() & {"prompt_tokens", "completion_tokens", "total_tokens"}
    ),
)
errors = st.none() | st.builds(
    RunError,
    code=st.none() | st.text(),
    message=st.none() | st.text(),
    details=json_objects.filter(lambda details: not details.keys() & {"code", "message"}),
)
words = st.none() | st.text()
times = st.none() | st.integers()
steps = st.builds(
    RunStep,
    id=words,
    object=words,
    created_at=times,
    type=words,
    status=words,
    details=json_values.map(json.dumps),
    completed_at=times,
    usage=usages,
    last_error=errors,
)
runs = st.builds(
    Run,
    id=st.text(min_size=1),
    thread_id=words,
    assistant_id=words,
    model=words,
    instructions=json_values,
    tools=st.none() | st.lists(json_values),
    file_ids=st.lists(st.text()),
    metadata=st.none() | json_objects,
    status=st.sampled_from([*STATUSES, None, "brand_new"]),
    created_at=times,
    started_at=times,
    completed_at=times,
    object=words,
    usage=usages,
    steps=st.none() | st.lists(steps, max_size=3).map(tuple),
    last_error=errors,
    required_action=st.none() | json_objects,
    incomplete_details=st.none() | json_objects,
    conversation_id=words,
    endpoint=words,
    request_counts=st.none() | json_objects,
    output_file_id=words,
    expired_at=times,
    raw=st.none() | json_objects,
)
