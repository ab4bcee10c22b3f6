"""Create the responses of a bulk task: as many as may be active, and as fast as the API takes them."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Any

from airflow_provider_openai_run.api import retries
from airflow_provider_openai_run.bulk.create_pace import estimate_tokens
from airflow_provider_openai_run.bulk.exchange import CannotCreateError, Failure, Received, failure_of
from airflow_provider_openai_run.bulk.request_lines import merge
from airflow_provider_openai_run.bulk.state import Phase

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from airflow_provider_openai_run.bulk.config import BulkConfig
    from airflow_provider_openai_run.bulk.create_pace import CreatePace
    from airflow_provider_openai_run.bulk.exchange import ResponseExchange
    from airflow_provider_openai_run.bulk.journal import Journal
    from airflow_provider_openai_run.owned_runs.identity import RunIdentity

log = logging.getLogger(__name__)

#: How many requests are recorded as about to be sent at a time, and how many are under way at a time.
_BATCH = 64
_MAX_REQUESTS = 32
#: How often a request is sent again, under the same ``Idempotency-Key``, after its response was lost.
_MAX_RESENDS = 2
_RESEND_PAUSE = 2.0
#: How often a pause checks whether it must end, in seconds.
_CHECK_INTERVAL = 0.5


class Creator:
    """
    Create responses, and record each step in the journal.

    :param config: the task's options.
    :param identity: the task instance, for the ``Idempotency-Key`` and the metadata of the responses.
    :param journal: the journal of the pass.
    :param exchange: sends the requests.
    :param pace: decides how fast.
    :param may_create: whether the task may create further responses now, whatever is active.
    :param on_end: is called with a request that has ended when it was created.
    :param on_active: is called with a request whose response is active.
    """

    def __init__(
        self,
        config: BulkConfig,
        identity: RunIdentity,
        journal: Journal,
        exchange: ResponseExchange,
        pace: CreatePace,
        *,
        may_create: Callable[[], bool],
        on_end: Callable[[int, Received | Failure], Awaitable[None]],
        on_active: Callable[[int], None],
    ) -> None:
        self._config = config
        self._identity = identity
        self._journal = journal
        self._state = journal.state
        self._exchange = exchange
        self._pace = pace
        self._may_create = may_create
        self._on_end = on_end
        self._on_active = on_active
        self._slots = asyncio.Semaphore(_MAX_REQUESTS)
        self._under_way: set[asyncio.Task[None]] = set()
        # What an earlier pass was about to send: a response may exist already, under the same key.
        self._unknown = deque(self._state.positions(Phase.CREATING))
        if self._unknown:
            message = (
                "An earlier process was stopped while it sent up to %s requests; they are sent again under "
                "the same Idempotency-Key"
            )
            log.warning(message, len(self._unknown))

    @property
    def room(self) -> int:
        """How many responses may be created before one that is active must end."""
        return self._config.max_active_runs - self._state.count(Phase.ACTIVE) - len(self._under_way)

    @property
    def can_create(self) -> bool:
        """Whether a response may be created now."""
        has_requests = bool(self._unknown or self._state.count(Phase.PENDING))
        return has_requests and self.room > 0 and self._may_create()

    async def run(self) -> None:
        """
        Create responses until no more may be created, and wait for those under way.

        :raises RunRequestError: if nothing can be created at all.
        """
        try:
            while self.can_create:
                await self._create_batch()
                self._raise_errors()
        finally:
            if self._under_way:
                await asyncio.wait(self._under_way)
        self._raise_errors()

    def _raise_errors(self) -> None:
        for task in [task for task in self._under_way if task.done()]:
            self._under_way.discard(task)
            task.result()

    async def _create_batch(self) -> None:
        """Record the next requests as about to be sent, and send them."""
        size = min(_BATCH, self.room)
        batch = [self._unknown.popleft() for _ in range(min(size, len(self._unknown)))]
        new = self._state.first(Phase.PENDING, size - len(batch))
        if new:
            await self._journal.record({"type": "creating", "requests": [*new]})
        unsent = deque([*batch, *new])
        try:
            while unsent and self._may_create() and not self._has_error():
                await self._send_next(unsent)
        finally:
            if unsent:
                known = set(batch)
                self._unknown.extendleft(reversed([index for index in unsent if index in known]))
                if unsent_new := [index for index in unsent if index not in known]:
                    await self._journal.record({"type": "not_created", "requests": [*unsent_new]})

    async def _send_next(self, unsent: deque[int]) -> None:
        request = self._journal.requests[unsent[0]]
        body = merge(self._config.defaults, request.body)
        body["metadata"] = self._identity.tag(body.get("metadata"))
        tokens = estimate_tokens(body)
        await self._wait_for_pace(tokens)
        await self._slots.acquire()
        if not self._may_create() or self._has_error():
            self._slots.release()
            return
        self._pace.on_sent(tokens, asyncio.get_running_loop().time())
        task = asyncio.create_task(self._create(unsent.popleft(), request.custom_id, body))
        self._under_way.add(task)
        task.add_done_callback(self._on_done)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._slots.release()
        # One with an error stays until it has been raised.
        if not task.cancelled() and task.exception() is None:
            self._under_way.discard(task)

    def _has_error(self) -> bool:
        return any(task.done() for task in self._under_way)

    async def _wait_for_pace(self, tokens: int) -> None:
        loop = asyncio.get_running_loop()
        # For a time, which an event would not know.
        while (now := loop.time()) < (ready_at := self._pace.ready_at(tokens, now)) and self._may_create():  # noqa: ASYNC110
            await asyncio.sleep(min(ready_at - now, _CHECK_INTERVAL))

    async def _create(self, index: int, custom_id: str, body: dict[str, Any]) -> None:
        key = self._identity.idempotency_key(self._state.attempt(index), custom_id)
        while True:
            try:
                result = await self._exchange.create(body, key, self._may_create)
            except CannotCreateError as error:
                await self._journal.record({"type": "not_created", "requests": [index]})
                if error.error is None:
                    return
                raise error.error from None
            if isinstance(result, Received):
                break
            if not retries.may_have_created(result):
                await self._on_end(index, failure_of(result, is_lost=False))
                return
            await self._journal.record({"type": "lost", "request": index})
            if self._state.resends(index) > _MAX_RESENDS:
                await self._on_end(index, failure_of(result, is_lost=True))
                return
            message = (
                "The response to the request '%s' was lost; it is sent again under the same "
                "Idempotency-Key: %s"
            )
            log.warning(message, custom_id, result.message)
            await asyncio.sleep(_RESEND_PAUSE)
        await self._journal.record({"type": "created", "ids": {str(index): result.run_id}})
        if result.is_terminal:
            await self._on_end(index, result)
        else:
            self._on_active(index)
