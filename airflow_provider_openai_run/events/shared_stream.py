"""Remembering what was told only once Airflow has it in its database: on Airflow 3.3 and later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.triggers.shared_stream import SharedStreamProducer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

    from airflow.triggers.shared_stream import AdvanceItem

    from airflow_provider_openai_run.events.thread_feed import FeedReader, News


class Delivery:
    """
    News of a thread on their way to all triggers that follow it.

    :param news: the news.
    :param number: how many came before.
    """

    def __init__(self, news: News, number: int) -> None:
        self.news = news
        self.number = number
        self.when_told: list[Callable[[], Awaitable[None]]] = []
        """What is to be done once all that the triggers made of the news is in the database."""


class ThreadProducer(SharedStreamProducer):
    """
    Brings the news of a thread to the triggers, and hears of it when all is told.

    :param follow: begins to follow the thread.
    """

    def __init__(self, follow: Callable[[], Awaitable[FeedReader]]) -> None:
        self._follow = follow
        self._brought = 0
        self._void_before = 0

    async def open_stream(self) -> AsyncGenerator[tuple[Delivery, Delivery], None]:
        """Bring the news, for ever."""
        follower = await self._follow()
        try:
            while True:
                delivery = Delivery(await follower.news(), self._brought)
                self._brought += 1
                yield delivery, delivery
        finally:
            follower.leave()

    async def advance(self, batch: Sequence[AdvanceItem]) -> None:
        """
        Let the triggers write down what they have told, for sure.

        What a trigger writes down includes all it has told before. Once one of them has failed, that is not
        sure of anything brought until then; what is brought later, it takes no part in any more.
        """
        for item in batch:
            delivery: Any = item.broker_payload
            if item.outcome.failed:
                self._void_before = self._brought
            if delivery.number >= self._void_before:
                for write_down in delivery.when_told:
                    await write_down()
