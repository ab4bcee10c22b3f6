from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_openai_run.exceptions import InvalidRunReferenceError, OpenAIRunError
from airflow_provider_openai_run.types.run_ref import RunRef, check_id
from tests.json_strategies import quick
from tests.run_strategies import REFUSED_CHARACTERS, good_ids


@quick
@given(good_ids, st.none() | good_ids)
def test_every_opaque_id_is_accepted_unchanged(run_id: str, parent_id: str | None) -> None:
    ref = RunRef("assistants", run_id, parent_id)
    assert (ref.run_id, ref.parent_id) == (run_id, parent_id)


@pytest.mark.parametrize(
    "run_id", ["run_abc123", "resp_0a33", "caresp_1", "7f1d9a52-9c1b-4f5e-8b0a-1d2c3b4a5f60", "1"]
)
def test_ids_of_every_vendor_are_accepted(run_id: str) -> None:
    assert RunRef("assistants", run_id, run_id).run_id == run_id


@quick
@given(st.text(max_size=5), st.sampled_from([*REFUSED_CHARACTERS, ".."]), st.text(max_size=5), st.booleans())
def test_an_id_that_would_change_the_path_is_refused_by_its_name(
    before: str, bad: str, after: str, in_parent: bool
) -> None:
    bad_id = before + bad + after
    name, ids = ("parent_id", ("r", bad_id)) if in_parent else ("run_id", (bad_id, "t"))
    with pytest.raises(InvalidRunReferenceError, match=f"^{name} "):
        RunRef("assistants", *ids)


@pytest.mark.parametrize(
    "bad", ["", " ", ".", "..", "a/b", "../x", "a?b=c", "a#b", "a%2Fb", "a\\b", "a\nb", "\ud800", "None"]
)
def test_ids_that_no_path_can_contain_are_refused(bad: str) -> None:
    with pytest.raises(InvalidRunReferenceError, match=r"^run_id "):
        RunRef("responses", bad)
    with pytest.raises(InvalidRunReferenceError, match=r"^parent_id "):
        RunRef("assistants", "r", bad)
    with pytest.raises(InvalidRunReferenceError, match=r"^thread_id "):
        check_id("thread_id", bad)


@pytest.mark.parametrize("bad", [None, 5, 1.5, True, b"run_1", ["run_1"], {"id": "run_1"}, object()])
def test_a_run_id_that_is_not_a_string_is_refused_with_its_type(bad: Any) -> None:
    with pytest.raises(InvalidRunReferenceError, match=f"^run_id .*{type(bad).__name__}"):
        RunRef("responses", bad)


@pytest.mark.parametrize("bad", [5, False, b"thread_1", ["thread_1"], {}])
def test_a_parent_id_that_is_not_a_string_is_refused_with_its_type(bad: Any) -> None:
    with pytest.raises(InvalidRunReferenceError, match=f"^parent_id .*{type(bad).__name__}"):
        RunRef("assistants", "run_1", bad)


def test_a_refused_id_is_a_value_error_and_one_of_ours() -> None:
    assert issubclass(InvalidRunReferenceError, ValueError)
    assert issubclass(InvalidRunReferenceError, OpenAIRunError)


def test_a_refused_id_of_any_length_is_quoted_in_short() -> None:
    with pytest.raises(InvalidRunReferenceError) as caught:
        RunRef("responses", "/" * 100_000)
    assert len(str(caught.value)) < 1000


def test_a_template_that_rendered_to_none_is_explained() -> None:
    with pytest.raises(InvalidRunReferenceError, match="rendered to 'None': the XCom or param"):
        RunRef("responses", "None")


def test_a_reference_is_named_by_run_and_parent() -> None:
    assert str(RunRef("responses", "run_1")) == "run run_1"
    assert str(RunRef("assistants", "run_1", "thread_1")) == "run run_1 on thread_1"


def test_references_can_be_compared_and_be_keys() -> None:
    assert {RunRef("assistants", "r", "t"): 1}[RunRef("assistants", "r", "t")] == 1
    assert RunRef("assistants", "r", "t") != RunRef("responses", "r")


def test_an_id_of_more_than_1000_characters_is_refused() -> None:
    assert RunRef("responses", "r" * 1_000).run_id == "r" * 1_000
    with pytest.raises(InvalidRunReferenceError, match="40,000 characters") as caught:
        RunRef("responses", "r" * 40_000)
    assert len(str(caught.value)) < 500
