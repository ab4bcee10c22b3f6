"""The results of a batch: the lines of its output file and of its error file."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING

from airflow_provider_openai_run.sandbox.errors import APIError
from airflow_provider_openai_run.sandbox.responses import create_response
from airflow_provider_openai_run.sandbox.timeline import opaque_id

if TYPE_CHECKING:
    from airflow_provider_openai_run.sandbox.batch_scripts import BatchScript
    from airflow_provider_openai_run.sandbox.scripts import JsonObject
    from airflow_provider_openai_run.sandbox.store import Store

#: The errors of the requests that were not carried out, by the last status of the batch.
_NOT_EXECUTED = {
    "expired": {
        "code": "batch_expired",
        "message": "This request could not be executed before the completion window expired.",
    },
    "cancelled": {
        "code": "batch_cancelled",
        "message": "This request was not executed because the batch was cancelled.",
    },
}


class BatchResults:
    """
    The results of a batch, added as its requests are carried out in the order of the input file.

    :param batch_id: ID of the batch, from which the IDs of its requests are derived.
    :param requests: the lines of its input file.
    :param script: its script.
    """

    def __init__(self, batch_id: str, requests: list[JsonObject], script: BatchScript) -> None:
        self._batch_id = batch_id
        self._requests = requests
        self._script = script
        self._position = 0
        self._completed = 0
        self._failed = 0
        self._output: list[str] = []
        self._errors: list[str] = []
        self._usage = {"input": 0, "cached": 0, "output": 0, "reasoning": 0}

    @property
    def output(self) -> bytes:
        """The content of the output file."""
        return "".join(self._output).encode()

    @property
    def errors(self) -> bytes:
        """The content of the error file."""
        return "".join(self._errors).encode()

    @property
    def usage(self) -> JsonObject:
        """The sum of the tokens of all requests."""
        used = self._usage
        return {
            "input_tokens": used["input"],
            "input_tokens_details": {"cached_tokens": used["cached"]},
            "output_tokens": used["output"],
            "output_tokens_details": {"reasoning_tokens": used["reasoning"]},
            "total_tokens": used["input"] + used["output"],
        }

    def counts(self, *, is_valid: bool) -> JsonObject:
        """
        Return the batch's ``request_counts``.

        :param is_valid: whether the input file has been validated; the counts are 0 before.
        """
        total = len(self._requests) if is_valid else 0
        return {"total": total, "completed": self._completed, "failed": self._failed}

    def carry_out(self, store: Store, done: int) -> None:
        """
        Carry out requests.

        :param store: the sandbox's data.
        :param done: how many are done from then on.
        """
        while self._position < done:
            self._position += 1
            request = self._requests[self._position - 1]
            status, body = self._answer(store, request, self._position)
            response = {"status_code": status, "request_id": secrets.token_hex(16), "body": body}
            line = self._line(self._position, request, response, None)
            if status == 200:
                self._completed += 1
                self._output.append(line)
                self._add_usage(body.get("usage") or {})
            else:
                self._failed += 1
                self._errors.append(line)

    def give_up(self, status: str) -> None:
        """
        Add errors for the requests that were not carried out.

        :param status: the last status of the batch.
        """
        while self._position < len(self._requests):
            self._position += 1
            request = self._requests[self._position - 1]
            self._errors.append(self._line(self._position, request, None, _NOT_EXECUTED[status]))
            self._failed += 1

    def _answer(self, store: Store, request: JsonObject, number: int) -> tuple[int, JsonObject]:
        """Return the HTTP status and the body of the answer to a request."""
        if self._script.fails(number):
            message = "The server had an error processing your request. Sorry about that!"
            error = APIError(self._script.fail_status, message, type_="server_error")
            return error.status, error.body()
        response_id = opaque_id("resp", self._batch_id, number)
        body = {**request["body"], "background": False}
        origin = {"batch_id": self._batch_id, "custom_id": request["custom_id"]}
        try:
            answer = create_response(store, body, response_id=response_id, origin=origin)
        except APIError as error:
            return error.status, error.body()
        # Tens of thousands of them would stay in memory; the output file has them all.
        del store.responses[response_id]
        return 200, answer

    def _line(
        self, number: int, request: JsonObject, response: JsonObject | None, error: JsonObject | None
    ) -> str:
        line = {
            "id": opaque_id("batch_req", self._batch_id, number),
            "custom_id": request["custom_id"],
            "response": response,
            "error": error,
        }
        return json.dumps(line) + "\n"

    def _add_usage(self, usage: JsonObject) -> None:
        self._usage["input"] += usage.get("input_tokens", 0)
        self._usage["output"] += usage.get("output_tokens", 0)
        self._usage["cached"] += usage.get("input_tokens_details", {}).get("cached_tokens", 0)
        self._usage["reasoning"] += usage.get("output_tokens_details", {}).get("reasoning_tokens", 0)
