"""From the topic's batches to the lanes: what an earlier owner has noted is known before the first payload is taken."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from app.activation.outcome import Response
from app.delivery.feeds import Feeds
from app.delivery.sender import DRAIN_S
from app.delivery.work import Record as LaneRecord
from app.transport.batches import TP, Batch
from tests.delivery.jumping import run_jumping
from tests.delivery.records import record
from tests.delivery.rig import running
from tests.delivery.test_sender import Vendor, rig
from tests.simulation.log import Record

TOPIC = "destinations.crm"
HERE = TP(TOPIC, 0)


def batch(count: int) -> Batch:
    ours = (record(offset, f"p{offset}") for offset in range(count))
    return Batch(HERE, [Record(one.offset, one.key, one.value, 0) for one in ours])


def test_what_was_settled_before_is_not_sent_and_the_note_is_kept_until_it_is_read():
    async def main() -> None:
        vendor = Vendor()
        made = rig(vendor)
        shares: list[Mapping[str, frozenset[int]]] = []

        async def notes(tps: Sequence[TP]) -> Mapping[TP, str]:
            await asyncio.sleep(5)
            return {HERE: "v1 1 0-2,4"}

        feeds = Feeds({TOPIC: made.sender}, lambda tp, full: None, shares.append, notes)
        async with running(made):
            feeds.assigned([HERE, TP("elsewhere", 0)], 1)
            feeds.offer(batch(7))
            await asyncio.sleep(1)
            assert (feeds.committable(), feeds.waiting(TOPIC)) == ({}, 7)
            await made.settled(0, 7)
            assert [id_ for _, id_ in vendor.seen] == ["p0-0", "p4-4", "p6-6"]
            assert feeds.committable() == {HERE: 7}
        assert shares == [{TOPIC: {0}}]
        feeds.close()

    run_jumping(main())


def test_what_is_committed_says_what_is_settled_behind_it():
    async def main() -> None:
        made = rig(Vendor(Response(503)))

        async def notes(tps: Sequence[TP]) -> Mapping[TP, str]:
            return {}

        feeds = Feeds({TOPIC: made.sender}, lambda tp, full: None, lambda held: None, notes)
        async with running(made):
            feeds.assigned([HERE], 1)
            feeds.offer(batch(4))
            await made.until(lambda: made.count("delivered") == 3)
            (committed,) = feeds.committable().values()
            assert (committed, getattr(committed, "note", None)) == (0, "v1 1 0-2")
            await made.settled(0, 4)
            (committed,) = feeds.committable().values()
            assert (committed, getattr(committed, "note", None)) == (4, "")
        feeds.close()

    run_jumping(main())


def test_a_revocation_waits_for_requests_under_way_but_not_for_long():
    async def main() -> None:
        loop = asyncio.get_running_loop()
        vendor = Vendor(delay_s=1.0)
        made = rig(vendor, in_flight_max=2)

        async def notes(tps: Sequence[TP]) -> Mapping[TP, str]:
            return {}

        feeds = Feeds({TOPIC: made.sender}, lambda tp, full: None, lambda held: None, notes)
        async with running(made):
            feeds.assigned([HERE], 1)
            feeds.offer(batch(6))
            await asyncio.sleep(0.5)
            began_s = loop.time()
            await feeds.checkpoint([HERE])
            assert loop.time() - began_s < 1.0
            assert [*feeds.committable().values()] == [2]
            feeds.assigned([HERE], 2)
            feeds.offer(Batch(HERE, batch(6).records[2:]))
            vendor.delay_s = 100.0
            await asyncio.sleep(0.5)
            began_s = loop.time()
            await feeds.checkpoint([HERE])
            assert abs(loop.time() - began_s - DRAIN_S) < 0.1
            feeds.assigned([HERE], 3)
            vendor.delay_s = 0.0
            feeds.offer(Batch(HERE, batch(6).records[2:]))
            await made.settled(0, 6, timeout_s=200)
        assert [id_ for _, id_ in vendor.seen] == ["p0-0", "p1-1", "p2-2", "p3-3", *(f"p{n}-{n}" for n in range(2, 6))]
        feeds.close()

    run_jumping(main())


class Receiver:
    def __init__(self) -> None:
        self.suspended = 0

    async def take(self, partition: int, records: Sequence[LaneRecord]) -> None: ...

    def assign(self, partition: int, next_offset: int, note: str = "") -> None: ...

    def note(self, partition: int) -> str:
        return ""

    def go_on(self) -> None: ...

    def revoke(self, partition: int) -> None: ...

    def committable(self, partition: int) -> int | None:
        return None

    async def suspend(self) -> None:
        self.suspended += 1


async def test_before_partitions_go_only_their_receivers_are_asked_to_end_and_each_once():
    ads, crm = Receiver(), Receiver()
    told: list[dict[str, frozenset[int]]] = []

    async def nothing(tps: Sequence[TP]) -> Mapping[TP, str]:
        return {}

    feeds = Feeds({"ads": ads, "crm": crm}, lambda tp, full: None, lambda held: told.append(dict(held)), nothing)
    await feeds.checkpoint([TP("ads", 0), TP("ads", 1), TP("other", 0)])
    assert (ads.suspended, crm.suspended) == (1, 0)
    feeds.assigned([TP("ads", 0)], 1)
    assert told == [{"ads": {0}, "crm": set()}]
    feeds.close()
