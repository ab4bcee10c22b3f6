"""Store a checkpoint only once Airflow has the events in its database: on Airflow 3.3 and later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.triggers.shared_stream import SharedStreamProducer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

    from airflow.triggers.shared_stream import AdvanceItem

    from airflow_provider_openai_run.events.thread_feed import FeedReader, FeedUpdate


class Delivery:
    """
    One update of a thread, for all triggers that follow it.

    :param update: the update.
    :param number: how many were delivered before it.
    """

    def __init__(self, update: FeedUpdate, number: int) -> None:
        self.update = update
        self.number = number
        self.on_stored: list[Callable[[], Awaitable[None]]] = []
        """What to call once all events that the triggers sent for the update are in the database."""


class ThreadProducer(SharedStreamProducer):
    """
    Deliver the updates of a thread to the triggers, and let them commit their checkpoints.

    :param open_reader: starts to follow the thread.
    """

    def __init__(self, open_reader: Callable[[], Awaitable[FeedReader]]) -> None:
        self._open_reader = open_reader
        self._delivered = 0
        self._first_valid_number = 0

    async def open_stream(self) -> AsyncGenerator[tuple[Delivery, Delivery], None]:
        """Deliver updates without end."""
        reader = await self._open_reader()
        try:
            while True:
                delivery = Delivery(await reader.next_update(), self._delivered)
                self._delivered += 1
                yield delivery, delivery
        finally:
            reader.close()

    async def advance(self, batch: Sequence[AdvanceItem]) -> None:
        """
        Let the triggers commit their checkpoints, now that their events are in the database.

        A trigger's checkpoint includes everything it has sent before. So once a trigger has failed, no
        checkpoint of an update delivered until then is committed; it takes no part in later ones.
        """
        for item in batch:
            delivery: Any = item.broker_payload
            if item.outcome.failed:
                self._first_valid_number = self._delivered
            if delivery.number >= self._first_valid_number:
                for commit in delivery.on_stored:
                    await commit()
