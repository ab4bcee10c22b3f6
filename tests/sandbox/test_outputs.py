"""Structured output, reasoning, tools, images, citations and refusals, through the real SDK."""

from __future__ import annotations

import base64
import json
from typing import Any

import openai
import pydantic
import pytest
from openai.types.responses import Response

from airflow_provider_openai_run.sandbox import Sandbox, Script, Step
from tests.sandbox.conftest import Http


class Weather(pydantic.BaseModel):
    city: str
    celsius: float
    sky: list[str]


SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 50}},
    "required": ["city", "days"],
    "additionalProperties": False,
}


def create(client: openai.OpenAI, script: str, **params: Any) -> Response:
    defaults = {"model": "gpt-5.2", "input": "Well?", "metadata": {"sandbox_script": script}}
    response: Response = client.responses.create(**{**defaults, **params})
    return response


def output_items(response: Response) -> list[dict[str, Any]]:
    return [item.to_dict() for item in response.output]


def test_a_response_fits_the_schema_of_its_request(client: openai.OpenAI) -> None:
    text = {"format": {"type": "json_schema", "name": "weather", "schema": SCHEMA, "strict": True}}
    assert json.loads(create(client, "completed", text=text).output_text) == {"city": "sample", "days": 50}


def test_the_sdk_parses_a_structured_response(client: openai.OpenAI) -> None:
    response = client.responses.parse(model="gpt-5.2", input="Weather?", text_format=Weather)
    assert response.output_parsed == Weather(city="sample", celsius=42, sky=["sample"])


def test_a_response_in_json_mode_is_an_object(client: openai.OpenAI) -> None:
    response = create(client, "completed", text={"format": {"type": "json_object"}})
    assert json.loads(response.output_text) == {"answer": "The answer is 42."}


def test_the_own_text_of_a_script_is_kept_in_structured_output(
    client: openai.OpenAI, sandbox: Sandbox
) -> None:
    sandbox.add_script("prose", Script(phases=((0, "completed"),), steps=(Step(text="Not JSON."),)))
    text = {"format": {"type": "json_schema", "name": "weather", "schema": SCHEMA}}
    assert create(client, "prose", text=text).output_text == "Not JSON."


@pytest.mark.parametrize(
    ("response_format", "text"),
    [
        (
            {"type": "json_schema", "json_schema": {"name": "w", "schema": SCHEMA}},
            '{"city": "sample", "days": 50}',
        ),
        ({"type": "json_object"}, '{"answer": "The answer is 42."}'),
        ({"type": "text"}, "The answer is 42."),
        ("auto", "The answer is 42."),
    ],
)
def test_a_run_fits_the_response_format_of_its_request(
    sandbox: Sandbox, http: Http, response_format: Any, text: str
) -> None:
    run = sandbox.create_run(script="instant", response_format=response_format)
    messages = http("GET", f"/v1/threads/{run['thread_id']}/messages").json()["data"]
    assert messages[0]["content"] == [{"type": "text", "text": {"value": text, "annotations": []}}]


def test_a_response_has_a_reasoning_summary(client: openai.OpenAI) -> None:
    response = create(client, "reasoning")
    reasoning, message = output_items(response)
    assert reasoning["type"] == "reasoning"
    assert reasoning["summary"][0]["text"] == "**Working it out**\n\n6 times 7 is 42."
    assert message["type"] == "message"
    assert response.usage is not None
    assert response.usage.output_tokens_details.reasoning_tokens == 64
    assert response.usage.total_tokens == 214 + 150


def test_a_response_has_a_web_search_and_a_cited_url(client: openai.OpenAI) -> None:
    sources = "web_search_call.action.sources"
    search, message = output_items(create(client, "web_search", include=[sources]))
    assert (search["type"], search["id"][:3], search["action"]["type"]) == (
        "web_search_call",
        "ws_",
        "search",
    )
    assert [source["url"] for source in search["action"]["sources"]] == ["https://example.com/answer"]
    content = message["content"][0]
    citation = content["annotations"][0]
    assert (citation["type"], citation["url"]) == ("url_citation", "https://example.com/answer")
    cited = content["text"][citation["start_index"] : citation["end_index"]]
    assert cited == "([example.com](https://example.com/answer))"


def test_output_that_is_not_included_is_left_out(client: openai.OpenAI) -> None:
    response = create(client, "web_search")
    assert "sources" not in output_items(response)[0]["action"]
    again = client.responses.retrieve(response.id, include=["web_search_call.action.sources"])
    assert "sources" in output_items(again)[0]["action"]
    found = create(client, "file_search", include=["file_search_call.results"])
    assert output_items(found)[0]["results"][0]["text"] == "The answer is 42."
    assert output_items(client.responses.retrieve(found.id))[0]["results"] is None


def test_a_name_that_the_api_does_not_know_is_refused(client: openai.OpenAI) -> None:
    response = create(client, "web_search")
    with pytest.raises(openai.BadRequestError, match=r"Invalid value: 'sources'\. Supported"):
        client.responses.retrieve(response.id, include=["sources"])  # type: ignore[list-item]


def test_a_response_has_an_mcp_call(client: openai.OpenAI) -> None:
    tools, call, message = output_items(create(client, "mcp"))
    assert tools["type"] == "mcp_list_tools"
    assert [tool["name"] for tool in tools["tools"]] == ["roll"]
    assert (call["type"], call["name"], call["output"], call["error"]) == ("mcp_call", "roll", "7", None)
    assert call["arguments"] == '{"dice": "2d6"}'
    assert message["type"] == "message"


def test_a_response_has_an_image(client: openai.OpenAI) -> None:
    image, _ = output_items(create(client, "image_generation"))
    assert (image["type"], image["output_format"]) == ("image_generation_call", "png")
    assert base64.b64decode(image["result"]).startswith(b"\x89PNG\r\n\x1a\n")


def test_a_response_cites_a_file(client: openai.OpenAI) -> None:
    search, message = output_items(create(client, "citations"))
    assert search["type"] == "file_search_call"
    content = message["content"][0]
    citation = content["annotations"][0]
    assert (citation["type"], citation["filename"]) == ("file_citation", "handbook.txt")
    assert content["text"][citation["index"] :] == "【4:0†handbook.txt】"


def test_a_run_cites_a_file(sandbox: Sandbox, http: Http) -> None:
    run = sandbox.create_run(script="citations")
    sandbox.clock.advance(3)
    text = http("GET", f"/v1/threads/{run['thread_id']}/messages").json()["data"][0]["content"][0]["text"]
    annotation = text["annotations"][0]
    assert annotation["file_citation"] == {"file_id": "file-sandbox"}
    assert text["value"][annotation["start_index"] : annotation["end_index"]] == annotation["text"]
    assert annotation["text"] == "【4:0†handbook.txt】"


def test_a_response_and_a_run_can_be_refused(client: openai.OpenAI, sandbox: Sandbox, http: Http) -> None:
    response = create(client, "refusal")
    refusal = {"type": "refusal", "refusal": "I'm sorry, I can't help with that."}
    assert response.output_text == ""
    assert output_items(response)[0]["content"] == [refusal]
    run = sandbox.create_run(script="refusal")
    sandbox.clock.advance(3)
    messages = http("GET", f"/v1/threads/{run['thread_id']}/messages").json()["data"]
    assert messages[0]["content"] == [refusal]
