from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_openai_run.cancellation import CancelReason
from airflow_provider_openai_run.links.openai_run import LINK_KEY
from airflow_provider_openai_run.progress import PROGRESS_KEY
from airflow_provider_openai_run.run_page.view import RunView, build_view
from tests.run_page.pages import NOW, RUN, make_task, make_view

SENSOR = make_task(operator="OpenAIRunSensor")


def progress(*statuses: tuple[str, float], **values: Any) -> dict[str, Any]:
    """Return the XCom that a waiting task pushes after observing these statuses."""
    entries = [{"status": status, "at": at} for status, at in statuses]
    run = {**RUN, "status": statuses[-1][0], "completed_at": None, "usage": None, "steps": None}
    return {PROGRESS_KEY: {"run": run, "statuses": entries, "polled_at": statuses[-1][1], **values}}


def labelled_texts(view: RunView) -> dict[str, str]:
    return {attribute.label: attribute.text for attribute in view.attributes}


def test_a_completed_run_has_status_duration_and_attributes() -> None:
    view = make_view()
    assert (view.status, view.severity, view.duration) == ("completed", "success", "1 min 00 s")
    assert [(attribute.label, attribute.text) for attribute in view.attributes] == [
        ("Model", "gpt-5.2"),
        ("Run", "run_1"),
        ("Thread", "thread_1"),
        ("Assistant", "asst_1"),
    ]
    assert [timestamp.label for timestamp in view.timestamps] == ["Created", "Started", "Completed"]
    assert view.notices == ("The run has no steps.",)


def test_attributes_under_their_own_keys_equal_the_return_value() -> None:
    assert make_view(RUN).data.attributes == make_view().data.attributes


def test_an_answer_as_return_value_is_not_read_as_attributes() -> None:
    answer = {"status": "fine", "last_error": "none", "model": "T"}
    view = make_view({**RUN, "answer": answer, "return_value": answer})
    assert (view.status, view.errors) == ("completed", ())


@pytest.mark.parametrize(
    ("api", "text"), [("responses", "Responses API"), ("assistants", "Assistants API"), ("new", "new")]
)
def test_the_api_is_named_if_xcom_has_it(api: str, text: str) -> None:
    assert labelled_texts(make_view(api=api))["API"] == text


def test_without_the_xcom_api_no_api_is_named() -> None:
    assert "API" not in labelled_texts(make_view())


@pytest.mark.parametrize(
    ("reason", "text"),
    [*((reason.value, reason.description) for reason in CancelReason), ("new_reason", "new_reason")],
)
def test_a_cancelled_run_says_why_it_was_cancelled(reason: str, text: str) -> None:
    view = make_view({"return_value": {**RUN, "status": "cancelled"}, "cancel_reason": reason})
    assert labelled_texts(view)["Cancelled because"] == text


@pytest.mark.parametrize("reason", [None, "", 7, {"reason": "task_cleared"}])
def test_a_cancel_reason_that_is_not_text_is_left_out(reason: Any) -> None:
    view = make_view({"return_value": RUN, "cancel_reason": reason})
    assert "Cancelled because" not in labelled_texts(view)


def test_the_progress_of_a_deferred_sensor_is_shown() -> None:
    deferred = make_task(operator="OpenAIRunSensor", state="deferred")
    view = make_view(progress(("queued", NOW - 90), ("in_progress", NOW - 60)), task=deferred)
    assert (view.status, view.severity, view.running_since) == ("in_progress", "active", NOW - 100)
    assert view.timeline is not None
    (lane,) = view.timeline.lanes
    assert [bar.tooltip for bar in lane.bars] == ["queued · 30 s", "in_progress"]
    assert [(bar.x, bar.width) for bar in lane.bars] == [(10, 30), (40, 60)]
    assert (view.timestamps[-1].label, view.timestamps[-1].at) == ("Status as of", NOW - 60)
    assert view.notices == ()


def test_a_sensors_return_value_takes_precedence_over_its_progress() -> None:
    returned = {"run_id": "run_1", "thread_id": "thread_1", "status": "completed"}
    view = make_view({**progress(("in_progress", NOW - 60)), "return_value": returned}, task=SENSOR)
    assert (view.status, view.severity) == ("completed", "success")
    assert "The sensor does not retrieve the steps and the answer" in view.notices[0]


@pytest.mark.parametrize("parent", [{"thread_id": None}, {"api": "responses"}])
def test_progress_of_another_run_is_ignored(parent: dict[str, Any]) -> None:
    view = make_view({**progress(("in_progress", NOW - 60)), "run_id": "run_2", **parent})
    assert view.data.attributes["id"] == "run_2"
    assert (view.status, view.usage) == (None, None)


def test_the_error_that_ended_a_wait_has_its_request_id() -> None:
    error = {"type": "RunWaitTimeoutError", "message": "Gave up waiting for run run_1"}
    failed = make_task(operator="OpenAIRunSensor", state="failed")
    view = make_view(progress(("in_progress", NOW - 60), error=error, request_id="req_1"), task=failed)
    (shown,) = view.errors
    assert (shown.title, shown.message) == ("RunWaitTimeoutError", "Gave up waiting for run run_1")
    assert shown.request_id == "req_1"
    assert "see its log" in view.notices[0]


def test_the_last_error_has_all_that_the_api_returned() -> None:
    error = {"code": "rate_limit_exceeded", "message": "Too fast.", "param": "model"}
    (shown,) = make_view(status="failed", last_error=error).errors
    assert (shown.title, shown.message) == ("rate_limit_exceeded", "Too fast.")
    assert shown.details == '{\n  "param": "model"\n}'


def test_an_incomplete_run_shows_the_reason() -> None:
    (error,) = make_view(status="incomplete", incomplete_details={"reason": "max_output_tokens"}).errors
    assert (error.title, error.message) == ("Incomplete", "max_output_tokens")


def test_pending_calls_are_shown_with_their_arguments() -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    action = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": [call]}}
    shown = make_view(status="requires_action", required_action=action).required_action
    assert shown is not None
    assert shown.title == "Waiting for tool outputs"
    assert [(call.name, call.id, call.arguments) for call in shown.calls] == [
        ("f", "call_1", '{\n  "a": 1\n}')
    ]


def test_a_required_action_without_a_description_is_shown() -> None:
    shown = make_view(status="requires_action").required_action
    assert shown is not None
    assert "the API does not name" in shown.title


def test_token_usage_is_a_bar_of_its_parts() -> None:
    usage = {
        "prompt_tokens": 80,
        "completion_tokens": 20,
        "total_tokens": 100,
        "input_tokens_details": {"cached_tokens": 60},
        "output_tokens_details": {"reasoning_tokens": 5},
    }
    shown = make_view(usage=usage).usage
    assert shown is not None
    assert [(part.kind, part.x, part.width) for part in shown.parts] == [
        ("cached", 0, 60),
        ("prompt", 60, 20),
        ("reasoning", 80, 5),
        ("completion", 85, 15),
    ]


def test_the_tokens_of_several_rounds_are_added_up() -> None:
    token_usage = {"rounds": 2, "total_tokens_of_all_rounds": 2500}
    shown = make_view({"return_value": RUN, "token_usage": token_usage}).usage
    assert shown is not None
    assert (shown.total, shown.note) == (
        "2,500",
        "with 2 rounds of tool calls; the bar has the last run only",
    )


@pytest.mark.parametrize("usage", ["many", [], {"prompt_tokens": "12"}, {"total_tokens": -1}, {}])
def test_usage_of_an_unexpected_type_is_left_out(usage: Any) -> None:
    assert make_view(usage=usage).usage is None


@pytest.mark.parametrize(("answer", "text"), [("42", "42"), ({"city": "Oslo"}, '{\n  "city": "Oslo"\n}')])
def test_an_answer_is_text_or_indented_json(answer: Any, text: str) -> None:
    shown = make_view({"return_value": {**RUN, "answer": answer}}).answer
    assert shown is not None
    assert shown.text == text


def test_without_an_answer_in_xcom_the_last_message_is_shown() -> None:
    details = '{"type": "message", "content": [{"type": "output_text", "text": "The answer is 42."}]}'
    shown = make_view(steps=[{"id": "msg_1", "type": "message", "details": details}]).answer
    assert shown is not None
    assert shown.text == "The answer is 42."


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (None, "not started"),
        ("queued", "not started"),
        ("running", "no data of the run yet"),
        ("deferred", "no data of the run yet"),
        ("success", "do_xcom_push=False"),
        ("failed", "See the task's log"),
    ],
)
def test_without_xcoms_a_notice_says_why(state: str | None, text: str) -> None:
    view = make_view({}, task=make_task(state=state))
    assert view.has_run
    assert text in view.notices[0]


@pytest.mark.parametrize(
    "xcoms",
    [
        {},
        {"return_value": {"status": "fine", "id": 7}},
        {"return_value": "run_1", "model": "T", "status": "completed"},
        {"run_id": "manual__1"},
        {"return_value": [1, 2], "usage": {"total_tokens": 1}},
    ],
)
def test_a_task_of_another_provider_has_no_run(xcoms: dict[str, Any]) -> None:
    assert not make_view(xcoms, task=make_task(operator="PythonOperator")).has_run


@pytest.mark.parametrize(
    "xcoms",
    [
        {"run_id": "run_1", "thread_id": "thread_1"},
        {"run_id": "run_1", "api": "new"},
        {"return_value": {"run_id": "run_1", "thread_id": None, "status": "completed"}},
        {"return_value": {"run_id": "run_1", "api": "new", "status": "completed"}},
        {"return_value": {"id": "run_1", "api": "new", "status": "completed"}},
    ],
)
def test_a_run_of_any_operator_is_recognized_by_its_xcoms(xcoms: dict[str, Any]) -> None:
    view = make_view(xcoms, task=make_task(operator="SubclassOfOurs"))
    assert view.has_run
    assert labelled_texts(view)["Run"] == "run_1"


def test_values_stored_by_an_xcom_backend_are_named() -> None:
    view = make_view({**RUN, "steps": "s3://bucket/steps.json", "return_value": "s3://bucket/run.json"})
    assert view.steps is None
    assert "stores steps outside" in view.notices[0]
    assert "s3://bucket/steps.json" in view.notices[0]


@pytest.mark.parametrize("steps", ["not there", 7, {"data": []}])
def test_steps_of_an_unexpected_type_have_a_notice(steps: Any) -> None:
    view = make_view(steps=steps)
    assert view.steps is None
    assert "unknown format" in view.notices[0]


def test_a_run_whose_task_has_ended_has_no_running_clock() -> None:
    assert make_view(status="in_progress", completed_at=None).running_since is None


def test_a_status_ends_with_its_run_though_it_was_polled_later() -> None:
    xcoms = progress(("in_progress", NOW - 90), ("completed", NOW - 10))
    xcoms[PROGRESS_KEY]["run"]["completed_at"] = NOW - 40
    view = make_view(xcoms, task=SENSOR)
    assert view.timeline is not None
    ((bar,),) = [lane.bars for lane in view.timeline.lanes]
    assert bar.tooltip == "in_progress · 50 s"
    assert view.timeline.seconds == 60


def test_a_status_ends_with_its_response_while_a_person_is_waited_for() -> None:
    xcoms = progress(("in_progress", NOW - 90), ("completed", NOW - 10))
    xcoms[PROGRESS_KEY]["run"]["completed_at"] = NOW - 40
    view = make_view(xcoms, task=make_task(state="awaiting_input"))
    assert view.timeline is not None
    status, model, calls = view.timeline.lanes
    assert [lane.name for lane in (status, model, calls)] == ["Status", "Model", "Tool calls"]
    assert status.bars[0].x + status.bars[0].width == calls.bars[0].x == 60


def test_a_status_polled_only_after_the_end_is_not_drawn() -> None:
    xcoms = progress(("in_progress", NOW - 30), ("completed", NOW - 10))
    xcoms[PROGRESS_KEY]["run"]["completed_at"] = NOW - 40
    assert make_view(xcoms, task=SENSOR).timeline is None


@pytest.mark.parametrize("status", ["queued", "requires_action", "completed"])
def test_a_parked_task_waits_for_a_person_whatever_its_run_does(status: str) -> None:
    task = make_task(state="awaiting_input", operator="OpenAICreateResponseOperator")
    view = make_view(progress((status, NOW - 60)), task=task)
    assert (view.status, view.severity, view.run_status) == ("waits for a person", "waiting", status)
    assert view.required_action is not None
    assert view.required_action.title == "Waiting for a person"
    assert view.required_action.link is not None
    assert view.running_since == NOW - 100


def test_a_live_task_answers_the_calls_of_a_completed_response() -> None:
    action = {"submit_tool_outputs": {"tool_calls": [{"id": "call_1", "function": {"name": "f"}}]}}
    xcoms = progress(("completed", NOW - 60))
    xcoms[PROGRESS_KEY]["run"] |= {"required_action": action, "completed_at": NOW - 60}
    view = make_view(xcoms, task=make_task(state="running"))
    assert view.required_action is not None
    assert view.required_action.title == "The task is answering these calls"
    assert view.running_since == NOW - 100


def test_a_refusal_is_shown_with_the_words_of_the_model() -> None:
    assert make_view({"return_value": {**RUN, "answer": None, "refusal": "I can't."}}).refusal == "I can't."
    details = '{"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}'
    view = make_view(steps=[{"id": "msg_1", "type": "message", "details": details}])
    assert (view.refusal, view.answer) == ("No.", None)


def test_an_answer_in_markdown_has_html_and_json_has_none() -> None:
    text = make_view({"return_value": {**RUN, "answer": "**42**"}}).answer
    assert text is not None
    assert (text.text, text.html) == ("**42**", "<p><strong>42</strong></p>\n")
    for answer in ({"city": "Oslo"}, '{"city": "Oslo"}'):
        value = make_view({"return_value": {**RUN, "answer": answer}}).answer
        assert value is not None
        assert value.html is None


def test_the_input_has_prompt_instructions_tools_and_metadata() -> None:
    run = {**RUN, "instructions": "Be brief.", "tools": [{"type": "web_search"}], "metadata": {"team": "a"}}
    view = build_view({"return_value": run}, make_task(), NOW, rendered={"input": "Hi", "tools": "[…]"})
    assert [(block.label, block.is_prose) for block in view.input] == [
        ("Prompt", True),
        ("Instructions", True),
        ("Tools", False),
        ("Metadata", False),
    ]


def test_instructions_that_xcom_lacks_are_those_of_the_rendered_template() -> None:
    view = build_view({"return_value": RUN}, make_task(), NOW, rendered={"instructions": "Be brief."})
    assert [(block.label, block.text) for block in view.input] == [("Instructions", "Be brief.")]


def test_masked_instructions_are_not_shown_from_xcom_either() -> None:
    run = {**RUN, "instructions": "Top secret.", "metadata": {"team": "a"}}
    view = build_view({"return_value": run}, make_task(), NOW, rendered={"instructions": "***"})
    assert [block.label for block in view.input] == ["Metadata"]


@pytest.mark.parametrize("value", [None, "", "None", "***", [], {}])
def test_input_that_is_kept_out_of_the_database_is_left_out(value: Any) -> None:
    names = ("input", "thread", "instructions", "tools", "metadata")
    view = build_view({"return_value": RUN}, make_task(), NOW, rendered=dict.fromkeys(names, value))
    assert view.input == ()


def test_attributes_that_the_api_never_sent_are_not_in_the_raw_json() -> None:
    step = {"id": "step_1", "usage": None, "status": "completed"}
    raw: Any = make_view(thread_id=None, steps=[step]).data.to_json()
    assert "thread_id" not in raw["run"]
    assert raw["run"]["steps"] == [{"id": "step_1", "status": "completed"}]
    assert set(raw) == {"run"}


def test_a_link_to_the_console_leads_to_the_previous_response_too() -> None:
    run = {**RUN, "id": "resp_2", "previous_response_id": "resp_1"}
    view = make_view({"return_value": run, LINK_KEY: "https://console.example/resp_2"})
    assert view.links[-1].url == "https://console.example/resp_2"
    urls = {item.label: item.url for item in view.attributes}
    assert urls["Previous response"] == "https://console.example/resp_1"
