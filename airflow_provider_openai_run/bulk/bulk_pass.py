"""One pass of a bulk task on a worker: create what may be created, and write down what has ended.

A pass ends when all requests have ended, when nothing can be created until an active response ends, or when
it must stop. The journal says at each moment what a next pass needs to know, so a pass may be killed at any
point of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Any

from airflow_provider_openai_run.bulk.create_pace import CreatePace
from airflow_provider_openai_run.bulk.creator import Creator
from airflow_provider_openai_run.bulk.exchange import API, Failure, Received, ResponseExchange
from airflow_provider_openai_run.bulk.state import Phase, is_answered
from airflow_provider_openai_run.polling.options import PollState
from airflow_provider_openai_run.polling.policy import RunPoller
from airflow_provider_openai_run.triggerer import connection_poller
from airflow_provider_openai_run.types.outcome import Outcome
from airflow_provider_openai_run.types.run_ref import RunRef

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from airflow_provider_openai_run.bulk.config import BulkConfig
    from airflow_provider_openai_run.bulk.journal import Journal
    from airflow_provider_openai_run.bulk.stop_signal import StopSignal
    from airflow_provider_openai_run.owned_runs.identity import RunIdentity
    from airflow_provider_openai_run.polling.options import PollOptions

log = logging.getLogger(__name__)

#: How many responses are retrieved or cancelled at a time.
_MAX_REQUESTS = 32
#: How many requests that failed a pass names in the log.
_MAX_NAMED = 20
#: How many seconds a pass that must stop waits for requests under way.
_STOP_TIMEOUT = 10.0
_KILL_TIMEOUT = 2.0
#: How many seconds after its creation a response is first polled, at most.
_FIRST_POLL = 5.0


class BulkPass:
    """
    One pass over the requests of a bulk task.

    :param config: the task's options.
    :param identity: the task instance.
    :param journal: the journal; the pass has begun in it.
    :param options: how to poll; its deadline is that of the pass.
    :param stop_signal: is set when the task is killed.
    :param on_end: called after each request that has ended.
    """

    def __init__(
        self,
        config: BulkConfig,
        identity: RunIdentity,
        journal: Journal,
        *,
        options: PollOptions,
        stop_signal: StopSignal,
        on_end: Callable[[], None],
    ) -> None:
        self._config = config
        self._journal = journal
        self._state = journal.state
        self._options = options
        self._stop_signal = stop_signal
        self._on_end = on_end
        self._slots = asyncio.Semaphore(_MAX_REQUESTS)
        self._changed = asyncio.Event()
        self._named = 0
        self._error: BaseException | None = None
        self._creating: asyncio.Task[None] | None = None
        self._followed: dict[int, asyncio.Task[None]] = {}
        self._fetching: set[int] = set()
        self._requests = connection_poller.open_ad_hoc_requests(config.conn_id)
        pace = CreatePace(config.requests_per_minute, config.tokens_per_minute)
        self._exchange = ResponseExchange(self._requests, pace, options.max_consecutive_failures)
        self._creator = Creator(
            config,
            identity,
            journal,
            self._exchange,
            pace,
            may_create=self._may_create,
            on_end=self._end,
            on_active=self._on_active,
        )
        stop_signal.listen(self._changed)

    @property
    def is_over_budget(self) -> bool:
        """Whether the tokens are used up before all requests have ended."""
        budget = self._config.token_budget
        is_complete = self._state.count(Phase.ENDED) == self._state.total
        return budget is not None and self._state.total_tokens >= budget and not is_complete

    @property
    def has_failed(self) -> bool:
        """Whether more requests have failed than may fail."""
        return self._state.failed > self._config.max_failures(self._state.total)

    @property
    def is_past_deadline(self) -> bool:
        """Whether the time of the task is over."""
        return self._options.deadline is not None and time.time() >= self._options.deadline

    @property
    def must_stop(self) -> bool:
        """Whether active responses must be cancelled."""
        return self.is_over_budget or self.is_past_deadline or self._stop_signal.is_set

    @property
    def is_complete(self) -> bool:
        """Whether nothing is active, and nothing may be created."""
        is_idle = not (self._is_creating() or self._followed or self._state.count(Phase.ACTIVE))
        return is_idle and (self.has_failed or self._state.count(Phase.ENDED) == self._state.total)

    async def run(self, ended: Iterable[int] = ()) -> None:
        """
        Create and follow responses until the pass is over; then :attr:`is_complete` says whether the task is.

        :param ended: the requests whose responses have ended, as a trigger has seen.
        :raises RunRequestError: if nothing can be created, or the API fails too often in a row.
        """
        for index in ended:
            if self._state.phase(index) is Phase.ACTIVE:
                self._follow(index, has_ended=True)
        if self._creator.can_create or not self._config.deferrable:
            for index in self._state.positions(Phase.ACTIVE):
                self._follow(index)
        while not self.must_stop and self._error is None:
            self._changed.clear()
            if self._creator.can_create and not self._is_creating():
                self._creating = asyncio.create_task(self._creator.run())
                self._creating.add_done_callback(self._on_done)
            if self.is_complete or (self._config.deferrable and self._is_waiting()):
                break
            await self._wait_for_change()
        await self._finish()
        if self._error is not None:
            raise self._error

    async def cancel_active(self) -> int:
        """Cancel all active responses, and return how many may still be running."""
        indexes = self._state.positions(Phase.ACTIVE)
        results = await asyncio.gather(*map(self._cancel, indexes), return_exceptions=True)
        errors = [each for each in results if isinstance(each, BaseException)]
        if errors:
            message = "%s of %s responses could not be cancelled, and may still be running: %s"
            log.warning(message, len(errors), len(indexes), errors[0])
        return len(errors)

    async def close(self) -> None:
        """End everything that is under way, and close the connections."""
        await _cancel_tasks([*self._followed.values(), *([self._creating] if self._creating else [])])
        self._requests.close()
        await connection_poller.wait_until_closed()

    def _may_create(self) -> bool:
        return not (self.has_failed or self.must_stop or self._error)

    def _is_creating(self) -> bool:
        return self._creating is not None and not self._creating.done()

    def _is_waiting(self) -> bool:
        """Whether nothing can be done until an active response ends."""
        return bool(self._state.count(Phase.ACTIVE)) and not (
            self._is_creating() or self._fetching or self._creator.can_create
        )

    async def _wait_for_change(self) -> None:
        deadline = self._options.deadline
        seconds = None if deadline is None else max(0.0, deadline - time.time())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()

    async def _finish(self) -> None:
        """Let requests that are under way end: what they create, or retrieve, must be known."""
        timeout = _KILL_TIMEOUT if self._stop_signal.is_set else _STOP_TIMEOUT
        tasks = [self._followed[index] for index in self._fetching]
        if self._creating is not None and not self._creating.done():
            tasks.append(self._creating)
        if tasks:
            await asyncio.wait(tasks, timeout=timeout)
        await _cancel_tasks(list(self._followed.values()))

    def _on_active(self, index: int) -> None:
        if self._creator.can_create or not self._config.deferrable:
            self._follow(index)

    def _follow(self, index: int, *, has_ended: bool = False) -> None:
        if index in self._followed:
            return
        if has_ended:
            self._fetching.add(index)
        task = asyncio.create_task(self._follow_to_end(index, has_ended=has_ended))
        self._followed[index] = task
        task.add_done_callback(lambda task: self._on_followed(index, task))

    def _on_followed(self, index: int, task: asyncio.Task[None]) -> None:
        self._followed.pop(index, None)
        self._fetching.discard(index)
        self._on_done(task)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None and self._error is None:
            self._error = error
        self._changed.set()

    async def _follow_to_end(self, index: int, *, has_ended: bool) -> None:
        """Poll an active response until it has ended, and write its answer."""
        if not has_ended:
            await self._wait_for_end(index)
        while not await self._fetch(index):
            await self._wait_for_end(index)

    async def _wait_for_end(self, index: int) -> None:
        ref = RunRef(API.name, self._state.run_id(index))
        not_before = time.time() + min(self._options.poll_interval, _FIRST_POLL)
        poller = RunPoller(ref, self._options, poll_state=PollState(not_before=not_before))
        subscription = connection_poller.subscribe(self._config.conn_id, poller)
        try:
            while not isinstance(decision := await subscription.next_event(), Outcome):
                # Not each change of thousands of responses.
                for message in decision.log_messages:
                    if message.level >= logging.WARNING:
                        log.log(message.level, message.text)
        finally:
            subscription.close()

    async def _fetch(self, index: int) -> bool:
        """Retrieve a response, and write its answer if it has ended; return whether it has."""
        self._fetching.add(index)
        try:
            async with self._slots:
                received = await self._exchange.retrieve(self._state.run_id(index), self._include(index))
            if is_ended := isinstance(received, Failure) or received.is_terminal:
                await self._end(index, received)
            return is_ended
        finally:
            self._fetching.discard(index)
            self._changed.set()

    def _include(self, index: int) -> list[str]:
        """Return the names of output that the API leaves out of a response unless it is asked for."""
        own = self._journal.requests[index].body.get("include")
        include = self._config.defaults.get("include") if own is None else own
        return [name for name in include if isinstance(name, str)] if isinstance(include, list) else []

    async def _cancel(self, index: int) -> None:
        async with self._slots:
            received = await self._exchange.cancel(self._state.run_id(index))
        if isinstance(received, Failure) or received.is_terminal:
            await self._end(index, received)

    async def _end(self, index: int, result: Received | Failure) -> None:
        custom_id = self._journal.requests[index].custom_id
        tokens = result.tokens if isinstance(result, Received) else (0, 0, 0)
        await self._journal.record_end(index, result.status, tokens, result.to_line(custom_id))
        if not is_answered(result.status) and self._named < _MAX_NAMED:
            self._named += 1
            log.info("The request %r ended as %s", custom_id, result.status)
        self._on_end()
        self._changed.set()


async def _cancel_tasks(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
