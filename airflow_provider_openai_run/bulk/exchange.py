"""The requests about one response of a bulk task: create it, retrieve it, cancel it.

They are sent by the poller of the connection, so that one rate limiter and one set of connections serves
them and the polls.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_openai_run.api import retries
from airflow_provider_openai_run.api.http import parse_or_raise
from airflow_provider_openai_run.api.registry import get_api
from airflow_provider_openai_run.bulk.request_lines import dump_line
from airflow_provider_openai_run.bulk.state import GONE, LOST, REFUSED, is_answered
from airflow_provider_openai_run.exceptions import (
    ConnectionLookupError,
    RunAuthenticationError,
    RunNotFoundError,
    RunRequestError,
)
from airflow_provider_openai_run.types.redaction import redact
from airflow_provider_openai_run.types.run_ref import RunRef
from airflow_provider_openai_run.types.status import classify_status

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_provider_openai_run.api.base import Request
    from airflow_provider_openai_run.api.http import ApiResponse
    from airflow_provider_openai_run.api.retries import Operation
    from airflow_provider_openai_run.bulk.create_pace import CreatePace
    from airflow_provider_openai_run.triggerer.ad_hoc_requests import AdHocRequests
    from airflow_provider_openai_run.types.json import Json

#: The API whose runs a bulk task creates.
API = get_api("responses")

#: The first and the longest pause before a request is sent again, in seconds.
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 30.0

#: How often a pause checks whether it must end, in seconds.
_CHECK_INTERVAL = 0.5

#: The API's code for an account without credit. It comes as a 429, and waiting does not help.
_NO_CREDIT = "insufficient_quota"

_TOKEN_KEYS = ("input_tokens", "output_tokens", "total_tokens")


@dataclass(frozen=True, slots=True)
class Received:
    """
    A response object as the API sent it.

    :param body: its JSON.
    :param request_id: the ``x-request-id`` of the HTTP response.
    :param http_status: the HTTP status.
    """

    body: dict[str, Json]
    request_id: str | None
    http_status: int

    @property
    def run_id(self) -> str:
        """The id of the response."""
        return str(self.body["id"])

    @property
    def status(self) -> str:
        """The status of the response."""
        return str(self.body.get("status"))

    @property
    def is_terminal(self) -> bool:
        """Whether the response has ended."""
        return classify_status(self.status).is_terminal

    @property
    def tokens(self) -> tuple[int, int, int]:
        """Input, output and total tokens; 0 where the API does not say."""
        usage = self.body.get("usage")
        values = [usage.get(key) if isinstance(usage, dict) else 0 for key in _TOKEN_KEYS]
        counts = [value if isinstance(value, int) and value > 0 else 0 for value in values]
        return counts[0], counts[1], counts[2] or counts[0] + counts[1]

    def to_line(self, custom_id: str) -> bytes:
        """Return it in the form of the Batch API's output."""
        response: dict[str, Json] = {
            "status_code": self.http_status,
            "request_id": self.request_id,
            "body": self.body,
        }
        error = None if is_answered(self.status) else self._error()
        return dump_line({"id": self.run_id, "custom_id": custom_id, "response": response, "error": error})

    def _error(self) -> dict[str, Json]:
        error = self.body.get("error")
        if isinstance(error, dict) and error.get("message"):
            return {"code": error.get("code"), "message": error.get("message")}
        details = self.body.get("incomplete_details")
        reason = details.get("reason") if isinstance(details, dict) else None
        return {"code": reason or self.status, "message": f"The response ended as {self.status}"}


@dataclass(frozen=True, slots=True)
class Failure:
    """
    A request that has no response.

    :param status: ``refused``, ``lost`` or ``gone``.
    :param error: why.
    """

    status: str
    error: RunRequestError

    def to_line(self, custom_id: str) -> bytes:
        """Return it in the form of the Batch API's output."""
        error: dict[str, Json] = {
            "code": self.error.code or self.status,
            "message": redact(self.error.message),
            "http_status": self.error.http_status,
            "request_id": self.error.request_id,
        }
        return dump_line({"id": None, "custom_id": custom_id, "response": None, "error": error})


class CannotCreateError(Exception):
    """
    A response was certainly not created, and the request is not sent again now.

    :param error: why no other response can be created either; None if the task stops for another reason.
    """

    def __init__(self, error: RunRequestError | None) -> None:
        super().__init__("stopped" if error is None else error.message)
        self.error = error


class ResponseExchange:
    """
    Create, retrieve and cancel responses.

    :param requests: sends the requests.
    :param pace: reads the API's headers.
    :param max_consecutive_failures: how often a request is sent again after failures in a row.
    """

    def __init__(self, requests: AdHocRequests, pace: CreatePace, max_consecutive_failures: int) -> None:
        self._requests = requests
        self._pace = pace
        self._max_failures = max_consecutive_failures

    async def create(
        self, body: dict[str, Json], idempotency_key: str, may_continue: Callable[[], bool]
    ) -> Received | RunRequestError:
        """
        Send the request that creates a response until it was carried out, refused for good, or lost.

        A request that was certainly not carried out is sent again, as
        :mod:`airflow_provider_openai_run.api.retries` says. One whose response was lost is not.

        :param body: the parameters of the response.
        :param idempotency_key: sent as ``Idempotency-Key``.
        :param may_continue: whether the request may be sent again; asked while it waits for that.
        :return: the response; an error that says that it was refused, or that it may have been created.
        :raises CannotCreateError: if it was not created and must not be sent again.
        """
        request = API.create(None, body)
        request = dataclasses.replace(
            request, headers={**request.headers, "Idempotency-Key": idempotency_key}
        )
        pause, failures = _FIRST_PAUSE, 0
        while True:
            try:
                return await self._send(request, None)
            except RunRequestError as error:
                failures += 1
                if isinstance(error, RunAuthenticationError | ConnectionLookupError):
                    raise CannotCreateError(error) from error
                if not retries.is_retried(error, "create"):
                    return error
                if error.code == _NO_CREDIT or failures >= self._max_failures:
                    raise CannotCreateError(error) from error
                await _sleep(max(pause, error.retry_after or 0.0), may_continue)
                if not may_continue():
                    raise CannotCreateError(None) from error
                pause = min(2 * pause, _LONGEST_PAUSE)

    async def retrieve(self, run_id: str, include: Sequence[str] = ()) -> Received | Failure:
        """
        Retrieve a response.

        :param run_id: its id.
        :param include: names of output that the API leaves out otherwise.
        :return: the response; a failure if the API does not know it.
        :raises RunRequestError: if the API fails too often in a row.
        """
        ref = RunRef(API.name, run_id)
        return await self._send_repeatedly(API.retrieve(ref, include), ref, "poll")

    async def cancel(self, run_id: str) -> Received | Failure:
        """
        Cancel a response, or retrieve it if it has ended.

        :param run_id: its id.
        :raises RunRequestError: if the API fails too often in a row.
        """
        ref = RunRef(API.name, run_id)
        try:
            return await self._send_repeatedly(API.cancel(ref), ref, "cancel")
        except RunRequestError as error:
            if not retries.may_have_ended(error):
                raise
        return await self.retrieve(run_id)

    async def _send_repeatedly(
        self, request: Request, ref: RunRef, operation: Operation
    ) -> Received | Failure:
        pause, failures = _FIRST_PAUSE, 0
        while True:
            try:
                received = await self._send(request, ref)
            except RunNotFoundError as error:
                return Failure(GONE, error)
            except RunRequestError as error:
                failures += 1
                if not retries.is_retried(error, operation) or failures >= self._max_failures:
                    raise
                await asyncio.sleep(max(pause, error.retry_after or 0.0))
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                # Some gateways return another id each time: the response is known by the one it was asked by.
                return dataclasses.replace(received, body={**received.body, "id": ref.run_id})

    async def _send(self, request: Request, ref: RunRef | None) -> Received:
        response: ApiResponse = await self._requests.send(request, ref)
        if ref is None:
            self._pace.on_response(response.headers, asyncio.get_running_loop().time())
        base_url: Any = self._requests.base_url
        body = parse_or_raise(response, request, ref, now=time.time(), base_url=base_url)
        return Received(body, response.request_id, response.http_status)


async def _sleep(seconds: float, may_continue: Callable[[], bool]) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while (left := end - loop.time()) > 0 and may_continue():  # noqa: ASYNC110 - for a time
        await asyncio.sleep(min(left, _CHECK_INTERVAL))


def failure_of(error: RunRequestError, *, is_lost: bool) -> Failure:
    """
    Return the failure of a request that creates a response.

    :param error: why it failed.
    :param is_lost: whether the response may exist all the same.
    """
    return Failure(LOST if is_lost else REFUSED, error)
