from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_openai_run.exceptions import InvalidRunReferenceError, OpenAIRunError
from airflow_provider_openai_run.types.run_ref import RunRef
from tests.json_strategies import quick
from tests.run_strategies import REFUSED_CHARACTERS, good_ids


@quick
@given(good_ids, st.none() | good_ids)
def test_every_opaque_id_is_accepted_as_it_is(run_id: str, thread_id: str | None) -> None:
    ref = RunRef(run_id, thread_id)
    assert (ref.run_id, ref.thread_id) == (run_id, thread_id)


@pytest.mark.parametrize(
    "run_id", ["run_abc123", "resp_0a33", "caresp_1", "7f1d9a52-9c1b-4f5e-8b0a-1d2c3b4a5f60", "1"]
)
def test_ids_of_every_vendor_are_accepted(run_id: str) -> None:
    assert RunRef(run_id, run_id).run_id == run_id


@quick
@given(st.text(max_size=5), st.sampled_from([*REFUSED_CHARACTERS, ".."]), st.text(max_size=5), st.booleans())
def test_an_id_that_would_ask_for_something_else_is_refused_by_the_name_of_its_field(
    before: str, bad: str, after: str, in_thread: bool
) -> None:
    name, ids = (
        ("thread_id", ("r", before + bad + after)) if in_thread else ("run_id", (before + bad + after, "t"))
    )
    with pytest.raises(InvalidRunReferenceError, match=f"^{name} "):
        RunRef(*ids)


@pytest.mark.parametrize(
    "bad", ["", " ", ".", "..", "a/b", "../x", "a?b=c", "a#b", "a%2Fb", "a\\b", "a\nb", "\ud800", "None"]
)
def test_ids_that_no_path_can_hold_are_refused(bad: str) -> None:
    with pytest.raises(InvalidRunReferenceError, match=r"^run_id "):
        RunRef(bad)
    with pytest.raises(InvalidRunReferenceError, match=r"^thread_id "):
        RunRef("r", bad)


@pytest.mark.parametrize("bad", [None, 5, 1.5, True, b"run_1", ["run_1"], {"id": "run_1"}, object()])
def test_a_run_id_that_is_no_string_is_refused_with_its_type(bad: Any) -> None:
    with pytest.raises(InvalidRunReferenceError, match=f"^run_id .*{type(bad).__name__}"):
        RunRef(bad)


@pytest.mark.parametrize("bad", [5, False, b"thread_1", ["thread_1"], {}])
def test_a_thread_id_that_is_no_string_is_refused_with_its_type(bad: Any) -> None:
    with pytest.raises(InvalidRunReferenceError, match=f"^thread_id .*{type(bad).__name__}"):
        RunRef("run_1", bad)


def test_a_refused_id_is_a_value_error_and_one_of_ours() -> None:
    assert issubclass(InvalidRunReferenceError, ValueError)
    assert issubclass(InvalidRunReferenceError, OpenAIRunError)


def test_a_refused_id_of_any_length_is_quoted_in_short() -> None:
    with pytest.raises(InvalidRunReferenceError) as caught:
        RunRef("/" * 100_000)
    assert len(str(caught.value)) < 1000


def test_a_reference_is_named_by_run_and_thread() -> None:
    assert "run_1" in str(RunRef("run_1"))
    assert "run_1" in str(RunRef("run_1", "thread_1"))
    assert "thread_1" in str(RunRef("run_1", "thread_1"))


def test_references_can_be_compared_and_be_keys() -> None:
    assert {RunRef("r", "t"): 1}[RunRef("r", "t")] == 1
    assert RunRef("r", "t") != RunRef("r")
