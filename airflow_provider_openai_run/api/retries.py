"""Which failed requests are sent again, in which operation, and why: one table that all callers read. No I/O.

It stands in this package, and not beside the polling policy, because reading a response
(:mod:`airflow_provider_openai_run.api.http`) needs it, and the ``polling`` package is a layer above.
The table in ``docs/waiting.md`` is compared with it by a test.

https://platform.openai.com/docs/guides/error-codes/api-errors has the statuses and codes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_openai_run.exceptions import RunRequestError

#: What a request is sent for. ``poll``: while waiting for a run. ``hook``: any other call of the hook, where
#: the OpenAI SDK retries by itself, up to the connection's ``max_retries``. ``create`` and ``submit``: the
#: requests of a task that makes runs. ``cancel``: cancelling a run, which goes through the hook.
Operation: TypeAlias = Literal["poll", "hook", "create", "submit", "cancel"]

_EVERYWHERE = frozenset[Operation]({"poll", "hook", "create", "submit", "cancel"})
_IF_REPEATABLE = frozenset[Operation]({"poll", "hook", "cancel"})
_POLL = frozenset[Operation]({"poll"})
_NOWHERE = frozenset[Operation]()

#: How long after the start of a wait a 404 may be the API's own delay, in seconds.
NOT_FOUND_GRACE = 30.0

#: The API has no code for this error: https://platform.openai.com/docs/assistants/deep-dive#thread-locks.
_ACTIVE_RUN = re.compile(r"already has an active run", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRule:
    """
    How one kind of failure is handled.

    :param name: identifies the rule; a :class:`~airflow_provider_openai_run.exceptions.RunRequestError`
        carries it.
    :param condition: which failures it is for, in words, for the documentation.
    :param reason: why they are handled this way, for the documentation.
    :param retried: the operations in which the same request is sent again.
    :param is_final: whether a retry of the task that creates the run would fail the same way.
    :param may_have_created: whether a request that creates a run may have created it all the same.
    :param may_have_ended: whether the response to a cancel may mean that the run has ended already.
    """

    name: str
    condition: str
    reason: str
    retried: frozenset[Operation] = _NOWHERE
    is_final: bool = False
    may_have_created: bool = False
    may_have_ended: bool = False


NO_RESPONSE = RetryRule(
    name="no_response",
    condition="time-out, or a connection that fails or breaks",
    retried=_IF_REPEATABLE,
    may_have_created=True,
    reason="a run may have been created although its response was lost",
)
CONNECTION_LOOKUP = RetryRule(
    name="connection_lookup",
    condition="Airflow cannot look up the connection",
    retried=_IF_REPEATABLE,
    reason="nothing was sent; a worker looks it up again for two minutes in any case",
)
MALFORMED = RetryRule(
    name="malformed",
    condition="3xx, or 2xx with a body that is not the JSON it should be",
    retried=_POLL,
    may_have_created=True,
    may_have_ended=True,
    reason="often a page of a proxy or a gateway",
)
CONVERSATION_LOCKED = RetryRule(
    name="conversation_locked",
    condition="code `conversation_locked`",
    retried=_EVERYWHERE - {"hook", "cancel"},
    reason="another response is being added to the conversation; nothing was created",
)
THREAD_BUSY = RetryRule(
    name="thread_busy",
    condition="400 or 409 that says the thread already has an active run",
    retried=_POLL,
    reason="nothing was created; `on_active_run` decides what to do about the active run",
)
RETRY_ADVISED = RetryRule(
    name="retry_advised",
    condition="4xx with `x-should-retry: true`",
    retried=_EVERYWHERE,
    reason="the server knows best, and a 4xx says that nothing was done",
)
BAD_REQUEST = RetryRule(
    name="bad_request",
    condition="400",
    is_final=True,
    may_have_ended=True,
    reason="the same request fails again; for a cancel it may mean that the run has ended",
)
UNPROCESSABLE = RetryRule(
    name="unprocessable",
    condition="422",
    is_final=True,
    may_have_ended=True,
    reason="the same request fails again; for a cancel it may mean that the run has ended",
)
UNAUTHORIZED = RetryRule(
    name="unauthorized", condition="401, 403", reason="the credentials must be changed first"
)
NOT_FOUND = RetryRule(
    name="not_found",
    condition="404",
    is_final=True,
    may_have_ended=True,
    reason=f"in the first {NOT_FOUND_GRACE:g} s of a wait it can be the API's own delay: polled again then",
)
REQUEST_TIMEOUT = RetryRule(
    name="request_timeout",
    condition="408",
    retried=_IF_REPEATABLE,
    may_have_created=True,
    reason="the request may have been carried out",
)
CONFLICT = RetryRule(
    name="conflict",
    condition="409",
    retried=_IF_REPEATABLE,
    may_have_ended=True,
    reason="a lock that is held for a short time; for a cancel it may also mean that the run has ended",
)
TOO_EARLY = RetryRule(
    name="too_early", condition="425", retried=_POLL, reason="the server wants the request later"
)
RATE_LIMITED = RetryRule(name="rate_limited", condition="429", retried=_EVERYWHERE, reason="nothing was done")
UNAVAILABLE = RetryRule(name="unavailable", condition="503", retried=_EVERYWHERE, reason="nothing was done")
SERVER_ERROR = RetryRule(
    name="server_error",
    condition="any other 5xx",
    retried=_IF_REPEATABLE,
    may_have_created=True,
    may_have_ended=True,
    reason="a run may have been created all the same; for a cancel it may mean that the run has ended",
)
CLIENT_ERROR = RetryRule(
    name="client_error",
    condition="any other 4xx",
    may_have_ended=True,
    reason="the same request is likely to fail again; for a cancel it may mean that the run has ended",
)

#: The whole table, in the order of the documentation.
RULES = (
    NO_RESPONSE,
    CONNECTION_LOOKUP,
    MALFORMED,
    CONVERSATION_LOCKED,
    THREAD_BUSY,
    RETRY_ADVISED,
    RATE_LIMITED,
    UNAVAILABLE,
    SERVER_ERROR,
    REQUEST_TIMEOUT,
    CONFLICT,
    TOO_EARLY,
    NOT_FOUND,
    UNAUTHORIZED,
    BAD_REQUEST,
    UNPROCESSABLE,
    CLIENT_ERROR,
)
_BY_NAME = {rule.name: rule for rule in RULES}
_BY_STATUS: dict[int, RetryRule] = {
    400: BAD_REQUEST,
    401: UNAUTHORIZED,
    403: UNAUTHORIZED,
    404: NOT_FOUND,
    408: REQUEST_TIMEOUT,
    409: CONFLICT,
    422: UNPROCESSABLE,
    425: TOO_EARLY,
    429: RATE_LIMITED,
    503: UNAVAILABLE,
}


def classify(
    http_status: int, code: str | None = None, headers: Mapping[str, str] | None = None, message: str = ""
) -> RetryRule:
    """
    Return the rule for a response, by the API's code and ``x-should-retry`` before its status.

    ``x-should-retry: false`` keeps the request from being sent again at once; a wait polls on all the same,
    at its own pace and at most ``max_consecutive_failures`` times.

    :param http_status: the HTTP status; below 400 it was a redirect, or the body was malformed.
    :param code: the API's error code, such as ``conversation_locked``.
    :param headers: the response's headers, with lower-case names or in a case-insensitive mapping.
    :param message: the API's own error message.
    """
    if http_status < HTTPStatus.BAD_REQUEST:
        return MALFORMED
    should_retry = parse_should_retry(headers or {})
    is_client_error = http_status < HTTPStatus.INTERNAL_SERVER_ERROR
    if code == "conversation_locked":
        rule = CONVERSATION_LOCKED
    elif http_status in (HTTPStatus.BAD_REQUEST, HTTPStatus.CONFLICT) and _ACTIVE_RUN.search(message):
        rule = THREAD_BUSY
    elif should_retry and is_client_error:
        rule = RETRY_ADVISED
    else:
        rule = _BY_STATUS.get(http_status) or (CLIENT_ERROR if is_client_error else SERVER_ERROR)
    return _apply_should_retry(rule, should_retry)


def _apply_should_retry(rule: RetryRule, should_retry: bool | None) -> RetryRule:  # noqa: FBT001 - the header
    """Return the rule without retries other than those of a wait, if the server forbids them."""
    return replace(rule, retried=rule.retried & _POLL) if should_retry is False else rule


def parse_should_retry(headers: Mapping[str, str]) -> bool | None:
    """
    Return what the ``x-should-retry`` header says; None without one.

    :param headers: with lower-case names or in a case-insensitive mapping.
    """
    value = (headers.get("x-should-retry") or "").strip().lower()
    return {"true": True, "false": False}.get(value)


def rule_of(error: RunRequestError) -> RetryRule | None:
    """
    Return the rule for a failed request; None for one that was never sent.

    :param error: the error.
    """
    rule = _BY_NAME.get(error.retry_rule or "")
    if rule is None and error.http_status is not None:
        rule = classify(error.http_status, error.code)
    elif rule is None and error.is_retryable:
        rule = NO_RESPONSE
    return None if rule is None else _apply_should_retry(rule, error.should_retry)


def is_retried(error: RunRequestError, operation: Operation) -> bool:
    """
    Return whether an operation sends the request again after an error.

    :param error: the error.
    :param operation: what the request was for.
    """
    rule = rule_of(error)
    return rule is not None and operation in rule.retried


def is_final(error: RunRequestError) -> bool:
    """
    Return whether a retry of the task would meet the same error: the API refuses the request itself.

    :param error: the error of a request that creates a run.
    """
    rule = rule_of(error)
    return rule is not None and rule.is_final


def is_thread_busy(error: RunRequestError) -> bool:
    """
    Return whether a run was not created because the thread has an active run already.

    :param error: the error of a request that creates a run.
    """
    return error.retry_rule == THREAD_BUSY.name


def may_have_created(error: RunRequestError) -> bool:
    """
    Return whether the run may have been created although the request failed.

    :param error: the error of a request that creates a run.
    """
    rule = rule_of(error)
    return rule is not None and rule.may_have_created


def may_have_ended(error: RunRequestError) -> bool:
    """
    Return whether a run may not have been cancelled because it has ended, or is being cancelled already.

    Only the status counts: servers differ in their codes.

    :param error: the error of a request that cancels a run.
    """
    return error.http_status is not None and classify(error.http_status).may_have_ended
