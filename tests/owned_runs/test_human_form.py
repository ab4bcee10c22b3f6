"""The form in which a person answers the calls of a round."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_openai_run.owned_runs.human_form import (
    MAX_BODY_BYTES,
    FormError,
    HumanInputForm,
    HumanInputRequest,
)
from airflow_provider_openai_run.types.json import Json
from airflow_provider_openai_run.types.required_action import CallKind, PendingCall


def call(kind: CallKind, name: str = "pay", arguments: Json = "{}", call_id: str = "call_1") -> PendingCall:
    return PendingCall(id=call_id, kind=kind, name=name, arguments=arguments)


def request(*calls: PendingCall) -> HumanInputRequest:
    return HumanInputForm.for_calls(calls).request(calls, ())


def read(event: dict[str, Any], *calls: PendingCall) -> dict[str, bool | str]:
    form = HumanInputForm.for_calls(calls)
    assert HumanInputForm.from_json(json.loads(json.dumps(form.to_json()))) == form
    return form.read(event)


def test_equal_calls_of_other_runs_have_the_same_form() -> None:
    first, second = call("approval"), call("approval", call_id="call_2")
    assert request(first) == request(second)
    assert request(first) != request(call("approval", arguments='{"amount": 5}'))
    assert request(first) != request(call("function"))


def test_a_form_without_approve_and_reject_has_one_button() -> None:
    assert request(call("approval")).options == ["Approve", "Reject"]
    assert request(call("function")).options == ["Submit"]
    assert request(call("approval"), call("approval", call_id="call_2")).options == ["Submit"]


def test_fields_are_required_and_have_no_value_yet() -> None:
    params = request(call("function"), call("approval")).params
    for name in ("call_1", "call_2"):
        assert params[name]["value"] == ""
        assert params[name]["schema"]["type"] == "string"
    json.dumps(params)


def test_a_form_of_many_long_calls_can_be_stored() -> None:
    calls = [call("function", "n" * 500, "ä" * 100_000, f"call_{number}") for number in range(100)]
    form = request(*calls)
    assert len(form.subject) <= 200
    assert len(form.body.encode()) <= MAX_BODY_BYTES
    assert form.body.count("more characters are not shown") == 100


def test_an_approval_that_cannot_be_shown_whole_is_refused() -> None:
    assert "x" * 50_000 in request(call("approval", arguments="x" * 50_000)).body
    with pytest.raises(FormError, match="a form can show 60000"):
        request(call("approval", arguments="x" * 60_000))


@pytest.mark.parametrize(
    ("value", "output"),
    [
        ("noon", "noon"),
        ('{"hour": 12}', '{"hour": 12}'),
        ({"hour": 12}, '{"hour": 12}'),
        ([1, "ä"], '[1, "ä"]'),
        (12, "12"),
        (False, "false"),
        ("a\x00b", "a\ufffdb"),
    ],
)
def test_the_output_of_a_function_is_text_or_json(value: Any, output: str) -> None:
    answers = read({"chosen_options": ["Submit"], "params_input": {"call_1": value}}, call("function"))
    assert answers == {"call_1": output}


@pytest.mark.parametrize("value", ["no", "approve", "", None, True, 1, ["Approve"], {"value": "Approve"}])
def test_only_the_two_words_are_answers_to_an_approval(value: Any) -> None:
    calls = call("approval"), call("approval", call_id="call_2")
    event = {"chosen_options": ["Submit"], "params_input": {"call_1": "Approve", "call_2": value}}
    with pytest.raises(FormError, match=r"pay \(call_2\), answered in field 'call_2', needs 'Approve'"):
        read(event, *calls)


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"chosen_options": None, "params_input": None},
        {"chosen_options": ["Approve"], "params_input": {"call_1": "noon"}},
        {"chosen_options": ["Submit"], "params_input": ["noon"]},
        {"chosen_options": ["Submit"], "params_input": {"output": "noon"}},
    ],
)
def test_an_event_that_answers_nothing_is_refused(event: dict[str, Any]) -> None:
    with pytest.raises(FormError):
        read(event, call("function"))


def test_a_message_about_a_wrong_answer_is_short_and_has_no_credentials() -> None:
    values = {"call_1": "noon", "call_2": "sk-0123456789abcdef " + "x" * 5000}
    event = {"chosen_options": ["Submit"], "params_input": values}
    with pytest.raises(FormError, match=r"not '\*\*\* x") as failed:
        read(event, call("function"), call("approval", call_id="call_2"))
    assert len(str(failed.value)) < 300


def test_a_form_of_a_newer_version_is_read() -> None:
    form = HumanInputForm.for_calls([call("function")])
    stored: Any = form.to_json()
    stored["later"] = stored["fields"][0]["later"] = True
    assert HumanInputForm.from_json(stored) == form
