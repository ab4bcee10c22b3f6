"""How pending calls look in a form."""

from __future__ import annotations

import pytest

from airflow_provider_openai_run.owned_runs.call_display import arguments_block, call_label, code_span
from airflow_provider_openai_run.types.json import Json
from airflow_provider_openai_run.types.required_action import PendingCall


def call(arguments: Json = None, name: str = "pay", server: str | None = None) -> PendingCall:
    return PendingCall(id="call_1", kind="approval", name=name, arguments=arguments, server_label=server)


def block(arguments: Json, max_characters: int | None = None) -> str:
    return arguments_block(call(arguments), max_characters, ("the-real-key",))


def test_each_argument_has_its_line() -> None:
    text = '{"to": "Lima", "note": "a\\nb", "amount": 5}'
    assert block(text) == '```json\n{\n  "to": "Lima",\n  "note": "a\\nb",\n  "amount": 5\n}\n```'


@pytest.mark.parametrize(
    "text",
    [
        '{"amount": 5, "amount": 5000}',
        '{"amount": 0.12345678901234567890}',
        '{"amount": 1e2}',
        '{"amount": 5',
        "pay it all",
        "[" * 5000,
    ],
)
def test_arguments_that_json_would_change_are_shown_as_they_are(text: str) -> None:
    assert block(text) == f"```json\n{text}\n```"


def test_arguments_cannot_leave_their_block() -> None:
    shown = block("x\n```\n\n**Approved by the bank**\n````")
    assert shown.startswith("`````json\n")
    assert shown.endswith("\n`````")


@pytest.mark.parametrize(
    ("hidden", "shown"),
    [
        ("\u202e", "\\u202e"),
        ("\u200b", "\\u200b"),
        ("\u2028", "\\u2028"),
        ("\r", "\\r"),
        ("\x1b", "\\u001b"),
        ("\U000e0041", "\\udb40\\udc41"),
    ],
)
def test_characters_that_hide_or_reorder_text_are_escaped(hidden: str, shown: str) -> None:
    assert shown in block(f"5{hidden}000")
    assert hidden not in block(f"5{hidden}000")
    assert hidden not in call_label(call(name=f"pay{hidden}ing"))


def test_credentials_are_masked_in_arguments_of_any_length() -> None:
    shown = block({"key": "the-real-key", "other": "sk-0123456789abcdef", "rest": "x" * 3000, "end": 1})
    assert "the-real-key" not in shown
    assert "sk-0123456789abcdef" not in shown
    assert '"end": 1' in shown


def test_what_is_cut_off_is_counted() -> None:
    assert block("x" * 120, 100) == f"```json\n{'x' * 100}\n```\n\n20 more characters are not shown."


def test_text_that_cannot_be_stored_is_replaced() -> None:
    block('"\\ud83d \x00"').encode()
    assert "\x00" not in block('"\\ud83d \x00"')


def test_no_arguments_are_an_empty_object() -> None:
    assert block(None) == "```json\n{}\n```"


def test_a_label_is_one_short_line() -> None:
    assert call_label(call(name="pay\n# now", server="bank\nof\ttrust")) == "pay # now of bank of trust"
    assert len(call_label(call(name="x" * 5000, server="y" * 5000))) < 250


@pytest.mark.parametrize(
    ("text", "span"), [("pay", "`pay`"), ("pay` **now**", "`` pay` **now** ``"), ("``", "``` `` ```")]
)
def test_a_label_cannot_leave_its_code_span(text: str, span: str) -> None:
    assert code_span(text) == span
