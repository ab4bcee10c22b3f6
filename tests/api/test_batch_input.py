"""Requests are split into the input files that the Batch API accepts."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_openai_run.api.batch_input import MAX_BYTES, MAX_REQUESTS, split_requests
from airflow_provider_openai_run.sandbox.batch_input import read_batch_input
from tests.json_strategies import quick


def request(custom_id: Any, model: str = "gpt-5.2", **body: Any) -> dict[str, Any]:
    return {"custom_id": custom_id, "body": {"model": model, "input": "Hi", **body}}


def parts_of(requests: list[dict[str, Any]], **limits: int) -> list[int]:
    return [part for part, _ in split_requests(requests, **limits)]


def test_a_line_has_all_that_the_api_needs() -> None:
    [(part, line)] = split_requests([request("a", input="Grüße\n")])
    assert (part, line.count(b"\n"), line[-1:]) == (0, 1, b"\n")
    assert json.loads(line) == {
        "custom_id": "a",
        "method": "POST",
        "url": "/v1/responses",
        "body": {"model": "gpt-5.2", "input": "Grüße\n"},
    }
    assert read_batch_input(line, "/v1/responses").errors == []


def test_the_url_of_a_request_is_kept() -> None:
    [(_, line)] = split_requests([{**request("a"), "url": "/v1/embeddings"}])
    assert json.loads(line)["url"] == "/v1/embeddings"


def test_a_file_ends_at_its_number_of_requests() -> None:
    assert parts_of([request(str(n)) for n in range(7)], max_requests=3) == [0, 0, 0, 1, 1, 1, 2]


def test_a_file_ends_at_its_size() -> None:
    requests = [request(str(n)) for n in range(5)]
    [(_, line)] = split_requests(requests[:1])
    assert parts_of(requests, max_bytes=2 * len(line)) == [0, 0, 1, 1, 2]


def test_each_model_has_files_of_its_own() -> None:
    requests = [request(str(n), model=f"model-{n % 2}") for n in range(6)]
    assert parts_of(requests, max_requests=2) == [0, 1, 0, 1, 2, 3]


@quick
@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 300)), max_size=40),
    st.integers(1, 5),
    st.integers(500, 1500),
)
def test_no_file_is_beyond_a_limit_and_no_request_is_lost(
    sizes: list[tuple[str, int]], max_requests: int, max_bytes: int
) -> None:
    requests = [request(str(n), model, input="x" * size) for n, (model, size) in enumerate(sizes)]
    lines = list(split_requests(requests, max_requests=max_requests, max_bytes=max_bytes))
    assert [json.loads(line)["custom_id"] for _, line in lines] == [each["custom_id"] for each in requests]
    sizes_of: Counter[int] = Counter()
    for part, line in lines:
        sizes_of[part] += len(line)
    assert max(Counter(part for part, _ in lines).values(), default=0) <= max_requests
    assert max(sizes_of.values(), default=0) <= max_bytes
    assert len({(part, json.loads(line)["body"]["model"]) for part, line in lines}) == len(sizes_of)


def test_the_limits_are_those_of_the_api() -> None:
    assert (MAX_REQUESTS, MAX_BYTES) == (50_000, 200_000_000)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (request("a"), r"^request 2 has the custom_id 'a' of a request before it"),
        (request(""), r"^request 2 needs a custom_id, .*, not ''"),
        (request(5), r"^request 2 needs a custom_id, .*, not 5"),
        ({"body": {}}, r"^request 2 needs a custom_id, .*, not None"),
        ({"custom_id": "b", "body": "text"}, r"^request 2 \('b'\) needs a body, .*, not str"),
        (request("b", input="x" * 2000), r"^request 2 has 2,\d+ bytes, and an input file at most 1,000"),
    ],
)
def test_a_request_that_no_batch_takes_is_refused_by_its_position(bad: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        list(split_requests([request("a"), bad], max_bytes=1000))
