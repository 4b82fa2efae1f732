"""A worker that had lost its partition wrote late: restoring from nothing must not bring its old state back."""

from __future__ import annotations

from pathlib import Path

from app.embedded.broker import EmbeddedBroker
from app.kafka.admin import Admin, TopicSpec
from app.kafka.consumer import BulkRead, BulkReader
from app.kafka.producer import Producer
from app.profiles import codec
from app.profiles.state import Profile
from app.profiles.store import PROFILE, WAITING
from app.stages.restoring import apply
from app.stream.ports import StreamPorts
from app.stream.repair import append_hidden, is_profile_state
from app.stream.store import PartitionStore, StoreBudget, StoreShare
from app.topics import Topics
from app.transport.fence import Fence


def profile_at(w: int) -> bytes:
    profile = Profile()
    profile.w = w
    return codec.encode(profile, 1)


async def test_what_a_foreign_write_hides_is_appended_again(
    broker: EmbeddedBroker, topics: Topics, tmp_path: Path
) -> None:
    ann, bob = PROFILE + b"ann", PROFILE + b"bob"
    store = PartitionStore(tmp_path / "store", 0, StoreShare(StoreBudget()), lambda: 0)
    log = topics.profiles_changelog
    reader = BulkReader(broker.bootstrap)
    async with Admin(broker.bootstrap) as admin, Producer(broker.bootstrap) as mine, Producer(broker.bootstrap) as late:
        await admin.ensure_topics([TopicSpec(log, 1, 1, {"cleanup.policy": "compact"})])

        async def repair(start: int, end: int, newer: set[bytes]) -> int:
            return await append_hidden(log, 0, store, reader, mine, start, end, newer, is_profile_state)

        ports = StreamPorts(
            mine,
            topics.profiles_changelog,
            0,
            Fence(lambda: 0.0, 10.0),
            store.write,
            repair,
            lambda name: None,
            lambda name, s: None,
        )
        first = {ann: profile_at(10), bob: profile_at(11)}
        store.write(first, await ports.append(list(first.items())))
        await late.append(
            log, 0, [(ann, profile_at(3)), (PROFILE + b"gone", profile_at(2)), (WAITING + b"applied", b"member")]
        )
        second = {bob: profile_at(12)}
        last = await ports.append(list(second.items()))
        store.write(second, last)

        newest: dict[bytes, bytes | None] = {}
        async for records in reader.read(BulkRead(log, 0, 0)):
            newest.update((record.key, record.value) for record in records if record.key)
            assert records[-1].offset == last, "the offset that the store stands for is that of our last record"
        assert newest.pop(PROFILE + b"gone") is None, "whom we do not have must not come back"
        assert newest.pop(WAITING + b"applied") is None, "what has been applied must not wait again"
        assert {key: codec.w_of(value or b"") for key, value in newest.items()} == {ann: 10, bob: 12}

        third = {bob: profile_at(13)}
        assert await ports.append(list(third.items())) == last + 1, "and the next append sees no foreign write"
    empty = PartitionStore(tmp_path / "empty", 0, StoreShare(StoreBudget()), lambda: 0)
    apply(empty, list(newest.items()), last)
    assert codec.w_of(empty.get(ann) or b"") == 10
    empty.close()
    store.close()
