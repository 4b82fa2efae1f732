"""Feeds and who receives: lists have one writer at a time."""

from __future__ import annotations

from collections.abc import Sequence

from app.delivery.feeds import Feeds
from app.delivery.work import Record
from app.transport.batches import TP


class Receiver:
    def __init__(self) -> None:
        self.suspended = 0

    async def take(self, partition: int, records: Sequence[Record]) -> None: ...

    def assign(self, partition: int, next_offset: int) -> None: ...

    def revoke(self, partition: int) -> None: ...

    def committable(self, partition: int) -> int | None:
        return None

    async def suspend(self) -> None:
        self.suspended += 1


async def test_before_partitions_go_only_their_receivers_are_asked_to_end_and_each_once():
    ads, crm = Receiver(), Receiver()
    told: list[dict[str, int]] = []
    feeds = Feeds({"ads": ads, "crm": crm}, lambda tp, full: None, lambda held: told.append(dict(held)))
    await feeds.checkpoint([TP("ads", 0), TP("ads", 1), TP("other", 0)])
    assert (ads.suspended, crm.suspended) == (1, 0)
    feeds.assigned([TP("ads", 0)], 1)
    assert told == [{"ads": 1, "crm": 0}]
    feeds.close()
