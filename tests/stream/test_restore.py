"""Changelogs become stores again: partitions side by side, over gaps, from where a store was or from the start."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from app.clock import SystemClock
from app.embedded.broker import EmbeddedBroker
from app.errors import StateError, StateErrorReason
from app.ids import TimeMs
from app.kafka.admin import Admin, TopicSpec
from app.kafka.consumer import BulkRead, BulkReader
from app.kafka.producer import Producer
from app.profiles import codec, seen
from app.profiles.state import Profile
from app.profiles.store import META, PROFILE
from app.stages import restoring
from app.stages.meta import Meta
from app.stages.restoring import LogFacts, meta_of
from app.stream.restore import TOMBSTONES_KEPT_MS, Restore
from app.stream.store import PartitionStore, StoreBudget, StoreShare
from app.topics import Topics

PARTITIONS = 4
PROFILES = 40
VERSIONS = 25
EPOCH = "abcdef"
COMPACTED = {
    "cleanup.policy": "compact",
    "min.cleanable.dirty.ratio": "0.01",
    "segment.ms": "1",
    "delete.retention.ms": "0",
}


class LaterClock(SystemClock):
    """A clock that a test sets forward."""

    ahead_ms = 0

    def now_ms(self) -> TimeMs:
        return TimeMs(super().now_ms() + self.ahead_ms)


@dataclass
class Bench:
    """Changelogs on the broker, and stores to restore them into."""

    topics: Topics
    brokers: str
    folder: Path
    admin: Admin
    producer: Producer
    clock: LaterClock = field(default_factory=LaterClock)
    share: StoreShare = field(default_factory=lambda: StoreShare(StoreBudget(8 << 20, 8 << 20)))
    progress: dict[int, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))
    change_facts: Callable[[LogFacts], LogFacts] = lambda facts: facts
    most_at_once: int = 0
    _at_once: int = 0

    def restore(self, parallel: int = 4) -> Restore:
        def told(partition: int, done: int, total: int) -> None:
            self.progress[partition].append((done, total))

        reader = BulkReader(self.brokers)
        return Restore(
            self.topics.profiles_changelog,
            restoring.apply,
            lambda partition, store, facts: restoring.check(partition, restoring.meta_of(store), facts),
            reader,
            self._facts,
            self.clock,
            told,
            parallel=parallel,
        )

    async def _facts(self, partition: int) -> LogFacts:
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        place = (self.topics.profiles_changelog, partition)
        start = (await self.admin.beginning_offsets([place]))[place]
        end = (await self.admin.end_offsets([place]))[place]
        self._at_once -= 1
        return self.change_facts(LogFacts("profiles.in", EPOCH, 10_000, None, start, end))

    def store(self, partition: int) -> PartitionStore:
        return PartitionStore(self.folder / str(partition), partition, self.share, self.clock.now_ms)

    async def append(self, partition: int, version: int) -> None:
        """A batch: a state of every profile, its ids, its meta record."""
        records: list[tuple[bytes | None, bytes | None]] = [
            (PROFILE + b"%d" % number, state(version)) for number in range(PROFILES)
        ]
        records.append((seen.packed_key(1, version), seen.seen_hash(b"%d" % partition, str(version))))
        records.append((META, Meta(src_next=version + 1, epoch=EPOCH).encode()))
        await self.producer.append(self.topics.profiles_changelog, partition, records)

    async def records(self, partition: int) -> int:
        read = BulkRead(self.topics.profiles_changelog, partition, 0)
        return sum([len(records) async for records in BulkReader(self.brokers).read(read)])


def state(version: int) -> bytes:
    profile = Profile()
    profile.w = version
    profile.armed_due = 1_000 + version
    return codec.encode(profile, 1)


def check_is_at(store: PartitionStore, partition: int, version: int) -> None:
    assert dict(store.profiles()) == {b"%d" % number: state(version) for number in range(PROFILES)}
    assert len(list(store.timers_until(1 << 40, 10_000))) == PROFILES
    hashes = [seen.seen_hash(b"%d" % partition, str(each)) for each in range(version + 1)]
    assert store.get_many([seen.seen_key(1, hashed) for hashed in hashes]) == [b""] * len(hashes)
    assert meta_of(store) == Meta(src_next=version + 1, epoch=EPOCH)


@pytest.fixture
async def bench(broker: EmbeddedBroker, topics: Topics, tmp_path: Path) -> AsyncIterator[Bench]:
    async with Admin(broker.bootstrap) as admin, Producer(broker.bootstrap) as producer:
        await admin.ensure_topics([TopicSpec(topics.profiles_changelog, PARTITIONS, 1, COMPACTED)])
        made = Bench(topics, broker.bootstrap, tmp_path, admin, producer)
        for version in range(VERSIONS):
            await asyncio.gather(*(made.append(partition, version) for partition in range(PARTITIONS)))
        yield made


async def test_four_partitions_at_once_over_the_gaps_of_compaction(bench: Bench) -> None:
    end = VERSIONS * (PROFILES + 2)
    async with asyncio.timeout(60):
        # Compaction runs in its own time; each look is a whole read.
        while await bench.records(0) > end // 2:
            pass
    stores = [bench.store(partition) for partition in range(PARTITIONS)]
    try:
        restore = bench.restore()
        restored = await asyncio.gather(*(restore.run(p, store) for p, store in enumerate(stores)))
        for partition, store in enumerate(stores):
            check_is_at(store, partition, VERSIONS - 1)
            assert restored[partition].log_end == end
            assert 0 < restored[partition].records <= end
            assert store.log_offset() == end - 1
            assert store.flushed_at_ms() > 0
            steps = bench.progress[partition]
            assert steps == sorted(steps)
            assert steps[-1] == (end, end), "what is left has to reach nothing, gaps or not"
        assert restored[0].records <= end // 2
        assert bench.most_at_once > 1
    finally:
        for store in stores:
            store.close()


async def test_no_more_at_once_than_allowed(bench: Bench) -> None:
    stores = [bench.store(partition) for partition in range(PARTITIONS)]
    try:
        restore = bench.restore(parallel=1)
        await asyncio.gather(*(restore.run(p, store) for p, store in enumerate(stores)))
        assert bench.most_at_once == 1
    finally:
        for store in stores:
            store.close()


async def test_a_store_is_brought_on_from_where_it_was(bench: Bench) -> None:
    store = bench.store(0)
    try:
        first = await bench.restore().run(0, store)
        assert (await bench.restore().run(0, store)).records == 0
        await bench.append(0, VERSIONS)
        again = await bench.restore().run(0, store)
        assert again.records <= PROFILES + 2
        assert again.log_end == first.log_end + PROFILES + 2
        check_is_at(store, 0, VERSIONS)
    finally:
        store.close()


async def test_a_store_that_may_have_missed_deletions_is_filled_from_the_start(bench: Bench) -> None:
    store = bench.store(0)
    try:
        await bench.restore().run(0, store)
        store.write({PROFILE + b"deleted since": state(1)}, store.log_offset())
        await bench.append(0, VERSIONS)
        bench.clock.ahead_ms = TOMBSTONES_KEPT_MS + 60_000
        again = await bench.restore().run(0, store)
        assert again.records >= PROFILES
        check_is_at(store, 0, VERSIONS)
    finally:
        store.close()


async def test_a_store_behind_a_changelog_that_was_cut_is_filled_from_the_start(bench: Bench) -> None:
    store = bench.store(0)
    try:
        store.write({PROFILE + b"of old": state(1)}, 3)
        store.flush()
        bench.change_facts = lambda facts: replace(facts, changelog_start=PROFILES + 2)
        await bench.restore().run(0, store)
        assert store.get(PROFILE + b"of old") is None
        assert store.get(PROFILE + b"7") == state(VERSIONS - 1)
    finally:
        store.close()


async def test_a_changelog_that_ends_before_the_store_is_refused(bench: Bench) -> None:
    store = bench.store(0)
    try:
        restored = await bench.restore().run(0, store)
        bench.change_facts = lambda facts: replace(facts, changelog_end=restored.log_end - 1)
        with pytest.raises(StateError) as refused:
            await bench.restore().run(0, store)
        assert refused.value.reason is StateErrorReason.CHANGELOG_LOST
        check_is_at(store, 0, VERSIONS - 1)
    finally:
        store.close()


async def test_what_does_not_fit_is_refused_after_the_restore(bench: Bench) -> None:
    store = bench.store(0)
    try:
        bench.change_facts = lambda facts: replace(facts, epoch="another")
        with pytest.raises(StateError) as refused:
            await bench.restore().run(0, store)
        assert refused.value.reason is StateErrorReason.SOURCE_RECREATED
    finally:
        store.close()
