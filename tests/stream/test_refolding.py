"""The log of several partitions is read as one, in the order in which messages came."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import orjson

from app.definitions.model import Catalog, Definition
from app.kafka.consumer import RawRecord
from app.profiles.state import Profile
from app.stages import envelope
from app.stages.records import InRecord
from app.stages.refold import Refold, wanted
from app.stream.refolding import Stretch, feed
from tests.simulation.log import Record

START_MS = 1_767_225_600_000
CATALOG = Catalog((Definition("seen", "trait", "event('A').unique(property('n'))"),))
ANN, PHONE = ("user_id", "ann"), ("device", "phone")


def event(
    offset: int, at_ms: int, key: bytes = b"prf_1", *, id_: str = "", ids: Sequence[tuple[str, str]] = (ANN,)
) -> Record:
    message = orjson.dumps({"type": "track", "event": "A", "properties": {"n": offset}})
    value = envelope.event(START_MS + at_ms, id_ or f"m:{at_ms}", "track", "A", ids, message)
    return Record(offset, key, value, START_MS + at_ms + 5)


async def batches(*lists: list[Record]) -> AsyncIterator[list[RawRecord]]:
    for records in lists:
        yield [*records]


class Noted(Refold):
    """Notes what it is given: ten times the partition, and the offset."""

    def __init__(self) -> None:
        super().__init__("in", 0, {"prf_1", "prf_2"}, PHONE, Profile(), CATALOG, until=None, is_whole=True)
        self.taken: list[int] = []

    def take(self, partition: int, record: InRecord, body: envelope.Body) -> None:
        self.taken.append(10 * partition + record.offset)
        super().take(partition, record, body)


def fold() -> Refold:
    made = Refold("in", 0, {"prf_1", "prf_2"}, PHONE, Profile(), CATALOG, until=None, is_whole=True)
    made.take(0, Record(0, None, None, START_MS), envelope.CatalogChange(CATALOG))
    return made


def stretch(partition: int, *lists: list[Record], is_cut: bool = False) -> Stretch:
    return Stretch(partition, is_cut, batches(*lists), frozenset((b"prf_1", b"prf_2")))


async def test_the_earlier_goes_first_and_a_partition_keeps_its_order() -> None:
    made = Noted()
    one = stretch(0, [event(1, 10), event(2, 5)], [event(3, 40)])
    other = stretch(1, [], [event(1, 7, b"prf_2"), event(2, 30, b"prf_2")])
    await feed(made, [one, other])
    assert made.taken == [11, 1, 2, 12, 3]


async def test_others_and_what_cannot_be_read_are_passed_over() -> None:
    made = fold()
    records = [event(1, 10, b"prf_3"), Record(2, b"prf_1", b"{", START_MS), Record(3, b"prf_1", None, START_MS)]
    await feed(made, [stretch(0, [*records, event(4, 11), event(5, 12, ids=(PHONE, ANN))])])
    folded = made.done(START_MS + 50)
    assert (folded.left_events, folded.taken_events) == (1, 1)
    assert folded.taken.identifiers == [PHONE]


async def test_a_copy_that_was_passed_on_counts_once() -> None:
    made = fold()
    await feed(made, [stretch(0, [event(1, 10, id_="m:x")]), stretch(1, [event(1, 10, b"prf_2", id_="m:x")])])
    assert made.done(START_MS + 50).left_events == 1


async def test_since_when_there_is_a_log() -> None:
    cut, whole = stretch(0, [event(7, 10, b"prf_3"), event(8, 20)], is_cut=True), stretch(1, [event(0, 1)])
    await feed(fold(), [cut, whole])
    assert (cut.since_ms, whole.since_ms) == (START_MS + 15, None)


def test_timers_and_merges_are_none_of_it() -> None:
    keys = frozenset((b"prf_1",))
    for value in (envelope.timer(START_MS), envelope.absorb(START_MS, "m:1", "prf_2"), envelope.refresh(START_MS)):
        assert wanted(Record(0, b"prf_1", value, START_MS), keys) is None
    assert wanted(Record(0, None, envelope.catalog(CATALOG), START_MS), keys) == envelope.CatalogChange(CATALOG)
