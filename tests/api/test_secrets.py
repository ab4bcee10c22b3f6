from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_openai_run.api.base import Request
from airflow_provider_openai_run.api.http import ApiResponse, parse_or_raise
from airflow_provider_openai_run.exceptions import RunRequestError
from airflow_provider_openai_run.types.redaction import redact, secrets_in_headers
from airflow_provider_openai_run.types.run_ref import RunRef
from tests.json_strategies import quick

SECRETS = [
    "sk-proj-abcdEFGH1234_-xyz9",
    "sk-abcdEFGH1234abcdEFGH1234",
    "sk-svcacct-abcdEFGH1234",
    "sess-abcdEFGH1234abcdEFGH",
]
SENTENCES = [
    "Incorrect API key provided: {}. You can find your API key at https://platform.openai.com/account/api-keys.",
    "Incorrect API key provided: {}",
    "Incorrect API key provided:  '{}'",
    "The key {} is revoked",
    "{}",
    'Bad header {{"Authorization": "Bearer {}"}}',
    "Bad header Authorization:Bearer {}",
    "Bad header authorization: bearer  {}, see the docs",
    "key={}&x=1",
    "OPENAI_API_KEY_{} is unknown",
    "https://user:{}@host/v1",
]
TOKENS = ["eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "0123456789abcdef0123456789abcdef"]
BEARERS = [
    "Authorization: Bearer {}",
    "authorization: bearer {}",
    "'Authorization': 'Bearer {}'",
    "Bearer  {}",
    "Bearer\t{}",
    "bearer:{}",
]


@pytest.mark.parametrize("sentence", SENTENCES)
@pytest.mark.parametrize("secret", SECRETS)
def test_an_api_key_is_masked_in_every_message(secret: str, sentence: str) -> None:
    text = sentence.format(secret)
    assert secret not in redact(text)
    for body in (
        {"error": {"message": text}},
        {"error": text},
        {"detail": text},
        {"detail": [{"msg": text}]},
    ):
        with pytest.raises(RunRequestError) as caught:
            parse_or_raise(
                ApiResponse(401, {}, json.dumps(body).encode()),
                Request("GET", "/responses/run_1"),
                RunRef("responses", "run_1"),
                now=0.0,
            )
        error = caught.value
        assert secret not in str(error)
        assert secret not in json.dumps(error.to_event())


@pytest.mark.parametrize("sentence", BEARERS)
@pytest.mark.parametrize("token", TOKENS)
def test_a_bearer_token_is_masked_in_every_message(token: str, sentence: str) -> None:
    text = redact(f"The header {sentence.format(token)} was refused")
    assert token not in text
    assert "refused" in text


@quick
@given(
    st.text("abcXYZ019_-", min_size=16, max_size=60), st.text("ordinary .;'\"", max_size=600), st.booleans()
)
def test_an_openai_key_is_masked_anywhere_in_a_text(rest: str, around: str, is_last: bool) -> None:
    text = f"{around} sk-{rest}" if is_last else f"{around} 'sk-{rest}', {around}"
    assert rest not in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "No run found with id 'run_abc123'.",
        "No thread found with id 'thread_abc123'.",
        "Rate limit reached for gpt-5.2: a risk-averse, task-based limit of 3 requests.",
        "You exceeded your current quota, please check your plan and billing details.",
        "",
    ],
)
def test_a_text_without_a_secret_is_unchanged(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("key provided: sk-w****00. You can", "key provided: sk-w****00. You can"),
        ("API key provided: sk-w****00. You can", "API key provided: sk-w****00. You can"),
        ("API key provided: sk-proj-********ab12. You", "API key provided: sk-proj-********ab12. You"),
        ("API key provided: sk-proj-abcd1234. You can", "API key provided: ***. You can"),
        ("API key provided: 0123456789. You can", "API key provided: ***. You can"),
        ("Bearer 0123456789, which", "Bearer ***, which"),
        ("proxy http://user:pass@proxy:3128 refused", "proxy http://***@proxy:3128 refused"),
        ("boom \ud83d\x00", "boom \ufffd\ufffd"),
    ],
)
def test_a_text_keeps_what_is_no_secret(text: str, masked: str) -> None:
    assert redact(text) == masked


@pytest.mark.parametrize("secret", ["no-known-shape", "0123456789abcdef", "p4ss", "with space"])
def test_a_known_secret_is_masked_in_any_form(secret: str) -> None:
    assert redact(f"The key {secret} is wrong ({secret})", [secret]) == "The key *** is wrong (***)"


def test_a_short_secret_is_not_masked_within_words() -> None:
    assert redact("A test is the fastest", ["test"]) == "A *** is the fastest"


def test_a_long_text_is_cut_after_it_is_masked() -> None:
    text = redact("x" * 490 + " sk-abcdefghijklmnopqrstuvwxyz" * 10)
    assert len(text) == 500
    assert "sk-" not in text


def test_secrets_are_the_values_of_headers_that_not_all_clients_send() -> None:
    headers = {
        "Authorization": "Bearer no-known-shape",
        "api-key": "azure-key",
        "X-Gateway": "gateway-secret",
        "X-Team": "data",
        "User-Agent": "OpenAI/Python",
        "Accept": "application/json",
        "X-Stainless-Lang": "python-language",
        "OpenAI-Organization": "org-1234567",
    }
    assert secrets_in_headers(headers) == ("no-known-shape", "azure-key", "gateway-secret")
