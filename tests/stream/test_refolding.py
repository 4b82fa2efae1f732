"""The log of several partitions is read as one, in the order in which messages came."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import orjson

from app.definitions.model import Catalog, Definition
from app.kafka.consumer import BulkRead, RawRecord
from app.profiles.merging import Merging
from app.profiles.state import Profile
from app.stages import envelope
from app.stages.anew import wanted
from app.stages.pieces import Pieces
from app.stages.records import InRecord
from app.stages.refold import Refold
from app.stream.refolding import Job, Partition, Read, Stretch, feed, read_for
from app.topics import Topics
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
    return Partition(partition, is_cut, batches(*lists)).stretch(frozenset((b"prf_1", b"prf_2")))


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
    assert (cut.partition.since_ms, whole.partition.since_ms) == (START_MS + 15, None)


def test_timers_and_merges_are_none_of_it() -> None:
    for value in (envelope.timer(START_MS), envelope.absorb(START_MS, "m:1", "prf_2"), envelope.refresh(START_MS)):
        assert wanted(Record(0, b"prf_1", value, START_MS)) is None
    assert wanted(Record(0, None, envelope.catalog(CATALOG), START_MS)) == envelope.CatalogChange(CATALOG)


class Reader:
    """A log of one partition; counts how often it is read."""

    def __init__(self, records: list[Record]) -> None:
        self._records = records
        self.times = 0

    def read(self, read: BulkRead) -> AsyncIterator[list[RawRecord]]:
        self.times += 1
        return batches(*([record] for record in self._records[read.start :]))


class Start:
    """Where it begins."""

    async def beginning_offsets(self, places: Sequence[tuple[str, int]]) -> dict[tuple[str, int], int]:
        return dict.fromkeys(places, 1)


class Failing(Noted):
    """Cannot be read to."""

    def take(self, partition: int, record: InRecord, body: envelope.Body) -> None:
        raise ValueError("no")


async def read(reader: Reader, *jobs: Job[Noted]) -> list[Read[Noted] | Exception]:
    return await read_for(Start(), reader, Topics(), 1, jobs)  # type: ignore[arg-type]


async def test_the_log_is_read_once_for_all_who_are_folded_anew() -> None:
    records = [event(at, 10 * at, b"prf_%d" % (at % 3)) for at in range(7)]
    reader = Reader([*records, Record(7, None, envelope.catalog(CATALOG), START_MS)])
    whole: list[bool] = []

    def begin(is_whole: bool) -> Noted:
        whole.append(is_whole)
        return Noted()

    jobs = [Job([f"prf_{number}"], Pieces(None), begin) for number in (1, 2, 1, 3)]
    found = await read(reader, *jobs)
    assert reader.times == 1
    assert [each.fold.taken for each in found if isinstance(each, Read)] == [[1, 4, 7], [2, 5, 7], [1, 4, 7], [7]]
    assert [each.since_ms for each in found if isinstance(each, Read)] == [START_MS + 15] * 4
    assert whole == [False] * 4


async def test_one_who_cannot_be_folded_does_not_hold_up_the_others() -> None:
    reader = Reader([event(at, 10 * at) for at in range(5)])
    jobs = [Job(["prf_1"], Pieces(None), lambda _, make=make: make()) for make in (Failing, Noted)]
    failed, done = await read(reader, *jobs)
    assert isinstance(failed, ValueError)
    assert isinstance(done, Read)
    assert done.fold.taken == [1, 2, 3, 4]


async def test_those_with_pieces_are_read_to_before() -> None:
    piece = envelope.imports(START_MS, "spl_1@x", "spl_1/taken", [b"never unpacked"], {20454: b"12345678"}, "taken")[0]
    reader = Reader([event(0, 1), Record(1, b"prf_1", piece, START_MS), event(2, 10)])
    pieces = Pieces(Merging(absorbed=["spl_1/taken"]))
    known: list[bool] = []

    def begin(_: bool) -> Noted:
        known.append(bool(pieces._found))
        return Noted()

    (found,) = await read(reader, Job(["prf_1"], pieces, begin))
    assert (reader.times, known) == (2, [True])
    assert isinstance(found, Read)
    assert found.fold.taken == [1, 2]
