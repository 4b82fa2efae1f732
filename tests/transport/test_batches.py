"""The micro-batch transport on a real broker: what agents get, what is committed, and what a rebalance does."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import RequestTimedOutError

from app.embedded.broker import EmbeddedBroker
from app.kafka.admin import Admin, TopicSpec
from app.kafka.producer import Producer
from app.topics import Topics
from app.transport.apps import AppOptions, BatchApp
from app.transport.batches import TP, Batch, Committable

SESSION_S = 6.0
"""The least that a broker of stock settings allows."""


class Worker:
    """One member of the group: an app whose progress is what the test says, and a diary."""

    def __init__(
        self, broker: EmbeddedBroker, topic: str, folder: Path, instance: str, commit_interval_s: float
    ) -> None:
        self.topic = topic
        self.taken: dict[int, list[int]] = defaultdict(list)
        """Partition → offsets in the order in which they were handed over."""
        self.batches: list[Batch] = []
        self.diary: list[tuple[str, frozenset[int]]] = []
        self.done: dict[TP, int] = {}
        self.follow = True
        """Whether all that was handed over counts as done."""
        self.flowing_at_checkpoint: list[bool] = []
        self.on_checkpoint: Callable[[], None] = lambda: None
        self._changed = asyncio.Event()
        options = AppOptions(
            group=f"{topic}.group", instance=instance, brokers=broker.bootstrap, data_dir=folder / instance,
            poll_records=20, commit_interval_s=commit_interval_s, session_s=SESSION_S,
        )  # fmt: skip
        self.app = BatchApp(options, self)

        @self.app.agent(topic, "take")
        async def take(batches: AsyncIterable[Batch]) -> None:
            async for batch in batches:
                self._take(batch)

    def _take(self, batch: Batch) -> None:
        self.batches.append(batch)
        self.taken[batch.tp.partition] += [record.offset for record in batch.records]
        if self.follow:
            self.done[batch.tp] = batch.records[-1].offset + 1
        self._changed.set()

    # Progress

    def committable(self) -> Mapping[TP, int]:
        return dict(self.done)

    async def checkpoint(self, revoked: Iterable[TP]) -> None:
        self.diary.append(("checkpoint", frozenset(tp.partition for tp in revoked)))
        self.flowing_at_checkpoint.append(self.app.faust.consumer.flow_active)
        self.on_checkpoint()

    def assigned(self, partitions: Iterable[TP], generation: int) -> None:
        held = set(partitions)
        self.diary.append(("assigned", frozenset(tp.partition for tp in held)))
        self.done = {tp: offset for tp, offset in self.done.items() if tp in held}
        self._changed.set()

    @property
    def held(self) -> frozenset[int]:
        assigned = [partitions for what, partitions in self.diary if what == "assigned"]
        return assigned[-1] if assigned else frozenset()

    async def until(self, met: Callable[[], bool], within_s: float = 60.0) -> None:
        async with asyncio.timeout(within_s):
            while not met():
                self._changed.clear()
                await self._changed.wait()


@dataclass
class Group:
    """A topic, its group, and members that are stopped at the end."""

    broker: EmbeddedBroker
    topic: str
    folder: Path
    admin: Admin
    producer: Producer
    partitions: int
    running: list[Worker] = field(default_factory=list)

    async def join(self, instance: str, *, commit_interval_s: float = 0.1, follow: bool = True) -> Worker:
        worker = Worker(self.broker, self.topic, self.folder, instance, commit_interval_s)
        worker.follow = follow
        self.running.append(worker)
        await worker.app.start()
        return worker

    async def leave(self, worker: Worker) -> None:
        self.running.remove(worker)
        await worker.app.stop()

    async def send(self, partition: int, count: int) -> None:
        await self.producer.append(self.topic, partition, [(None, b"%d" % number) for number in range(count)])

    async def committed(self) -> dict[int, int | None]:
        places = [(self.topic, partition) for partition in range(self.partitions)]
        found = await self.admin.committed(f"{self.topic}.group", places)
        return {partition: offset for (_, partition), offset in found.items()}

    async def committed_is(self, wanted: dict[int, int | None], within_s: float = 30.0) -> None:
        """Wait until these are committed; each look is a round trip to the broker."""
        async with asyncio.timeout(within_s):
            while await self.committed() != wanted:
                pass


@asynccontextmanager
async def group(broker: EmbeddedBroker, topics: Topics, folder: Path, partitions: int) -> AsyncIterator[Group]:
    topic = f"{topics.prefix}batches"
    async with Admin(broker.bootstrap) as admin, Producer(broker.bootstrap) as producer:
        await admin.ensure_topics([TopicSpec(topic, partitions, 1)])
        made = Group(broker, topic, folder, admin, producer, partitions)
        try:
            yield made
        finally:
            for worker in list(made.running):
                await made.leave(worker)


@asynccontextmanager
async def member(broker: EmbeddedBroker, topics: Topics, folder: Path) -> AsyncIterator[tuple[Group, Worker, Any]]:
    """The only member of a group of one partition, and its consumer's thread."""
    async with group(broker, topics, folder, partitions=1) as made:
        worker = await made.join("a")
        await worker.until(lambda: worker.held == {0})
        yield made, worker, worker.app.faust.consumer._thread


async def test_batches_are_of_one_partition_each_and_in_order(
    broker: EmbeddedBroker, topics: Topics, tmp_path: Path
) -> None:
    async with group(broker, topics, tmp_path, partitions=3) as made:
        for partition in range(3):
            await made.send(partition, 50)
        worker = await made.join("a")
        await worker.until(lambda: sum(map(len, worker.taken.values())) >= 150)
        for partition in range(3):
            await made.send(partition, 30)
        await worker.until(lambda: sum(map(len, worker.taken.values())) >= 240)
        assert worker.taken == {partition: list(range(80)) for partition in range(3)}
        assert all(len(batch.records) <= 20 for batch in worker.batches)
        assert max(len(batch.records) for batch in worker.batches) > 1, "single records are no batches"
        assert {record.value for record in worker.batches[0].records} <= {b"%d" % number for number in range(50)}
        assert worker.app.joined
        assert worker.app.highwater(TP(made.topic, 0)) == 80


async def test_only_what_progress_says_is_committed_and_a_stop_commits_too(
    broker: EmbeddedBroker, topics: Topics, tmp_path: Path
) -> None:
    async with group(broker, topics, tmp_path, partitions=2) as made:
        await made.send(0, 40)
        await made.send(1, 40)
        worker = await made.join("a", follow=False)
        await worker.until(lambda: sum(map(len, worker.taken.values())) >= 80)
        worker.done[TP(made.topic, 0)] = 7
        await made.committed_is({0: 7, 1: None})
        worker.done[TP(made.topic, 0)] = 9
        worker.done[TP(made.topic, 5)] = 3  # of a partition that is not this worker's
        await made.committed_is({0: 9, 1: None})
        # What is said just before the stop is committed by it: the next look is after the stop.
        worker.done[TP(made.topic, 1)] = 40
        await made.leave(worker)
        assert await made.committed() == {0: 9, 1: 40}
        again = await made.join("a")
        await again.until(lambda: len(again.taken[0]) >= 31)
        assert again.taken == {0: list(range(9, 40))}


async def test_a_note_goes_with_the_offset_and_is_committed_anew_when_it_changes(
    broker: EmbeddedBroker, topics: Topics, tmp_path: Path
) -> None:
    async with group(broker, topics, tmp_path, partitions=1) as made:
        await made.send(0, 10)
        worker = await made.join("a", commit_interval_s=1_000.0, follow=False)
        await worker.until(lambda: len(worker.taken[0]) == 10)
        consumer, tp = worker.app.faust.consumer, TP(made.topic, 0)
        for offset, note, committed in ((5, "7-9", True), (5, "6-9", True), (5, "6-9", False), (10, "", True)):
            worker.done[tp] = Committable(offset, note)
            assert await consumer.commit() is committed
            assert await made.admin.notes(f"{made.topic}.group", [(made.topic, 0)]) == {(made.topic, 0): note}
            assert await made.committed() == {0: offset}


async def test_a_commit_that_failed_does_not_count_as_done(
    broker: EmbeddedBroker, topics: Topics, tmp_path: Path
) -> None:
    async with group(broker, topics, tmp_path, partitions=1) as made:
        await made.send(0, 10)
        # Committed by hand only: the periodic task does not come by within the test.
        worker = await made.join("a", commit_interval_s=1_000.0, follow=False)
        await worker.until(lambda: len(worker.taken[0]) == 10)
        consumer = worker.app.faust.consumer
        real = consumer._commit
        tp = TP(made.topic, 0)
        worker.done[tp] = 5

        async def refused(offsets: Mapping[TP, int]) -> bool:
            return False

        consumer._commit = refused
        assert await consumer.commit() is False
        assert consumer._committed_offset[tp] is None
        assert await made.committed() == {0: None}
        consumer._commit = real
        assert await consumer.commit() is True
        assert consumer._committed_offset[tp] == 5
        assert await made.committed() == {0: 5}
        assert await consumer.commit() is False, "there is nothing new"


async def test_a_partition_that_is_held_is_not_fetched_while_the_other_goes_on(
    broker: EmbeddedBroker, topics: Topics, tmp_path: Path
) -> None:
    async with group(broker, topics, tmp_path, partitions=2) as made:
        worker = await made.join("a")
        await worker.until(lambda: worker.held == {0, 1})
        await made.send(0, 5)
        await made.send(1, 5)
        await worker.until(lambda: len(worker.taken[0]) == 5 and len(worker.taken[1]) == 5)
        worker.app.hold(TP(made.topic, 0), True)
        # A fetch of both may be under way; what follows it is of the other partition alone.
        await made.send(1, 30)
        await worker.until(lambda: len(worker.taken[1]) == 35)
        before = len(worker.taken[0])
        await made.send(0, 30)
        for number in range(5):
            await made.send(1, 10)
            await worker.until(lambda: len(worker.taken[1]) == 35 + 10 * (number + 1))  # noqa: B023
        assert len(worker.taken[0]) == before
        worker.app.hold(TP(made.topic, 0), False)
        await worker.until(lambda: len(worker.taken[0]) == 35)
        assert worker.taken == {0: list(range(35)), 1: list(range(85))}


@pytest.mark.timeout(120)
async def test_a_second_member_joins_and_leaves_and_nothing_is_left_out(
    broker: EmbeddedBroker, topics: Topics, tmp_path: Path
) -> None:
    async with group(broker, topics, tmp_path, partitions=2) as made:
        first = await made.join("a")
        await first.until(lambda: first.held == {0, 1})
        for partition in range(2):
            await made.send(partition, 100)
        await made.committed_is({0: 100, 1: 100})
        # From here on the first member takes records and finishes none of them, until it has to at the checkpoint.
        first.follow = False
        for partition in range(2):
            await made.send(partition, 20)
        await first.until(lambda: {len(offsets) for offsets in first.taken.values()} == {120})
        assert await made.committed() == {0: 100, 1: 100}
        first.on_checkpoint = lambda: first.done.update({TP(made.topic, partition): 110 for partition in range(2)})
        second = await made.join("b")
        await second.until(lambda: len(second.held) == 1)
        await first.until(lambda: len(first.held) == 1)
        (kept,), (lost,) = first.held, second.held
        assert {kept, lost} == {0, 1}
        assert first.diary[-2:] == [("checkpoint", frozenset({0, 1})), ("assigned", frozenset({kept}))]
        assert first.flowing_at_checkpoint[-1], "Faust's own callback, which stops the flow, comes after the checkpoint"
        assert await made.committed() == {0: 110, 1: 110}, "what the checkpoint finished is committed before it is lost"
        await second.until(lambda: len(second.taken[lost]) >= 10)
        await first.until(lambda: len(first.taken[kept]) >= 130)
        assert second.taken[lost] == list(range(110, 120))
        assert first.taken[kept] == [*range(120), *range(110, 120)], "what is kept starts over from what is committed"
        first.on_checkpoint = lambda: None
        # A static member that stops is waited for; then its session runs out, and the first one takes over.
        await made.committed_is({kept: 110, lost: 120})
        await made.leave(second)
        await first.until(lambda: first.held == {0, 1})
        first.follow = True
        for partition in range(2):
            await made.send(partition, 5)
        await made.committed_is({0: 125, 1: 125})
        assert set(first.taken[kept]) == set(range(125))
        assert set(first.taken[lost]) | set(second.taken[lost]) == set(range(125)), "each record, at least once"
        assert first.taken[lost][120:] == list(range(120, 125)), "what the other one committed is not read again"


async def test_a_restart_under_the_same_name_gets_its_partitions_back_at_once(
    broker: EmbeddedBroker, topics: Topics, tmp_path: Path
) -> None:
    async with group(broker, topics, tmp_path, partitions=2) as made:
        first, second = await made.join("a"), await made.join("b")
        await first.until(lambda: len(first.held) == 1)
        await second.until(lambda: len(second.held) == 1)
        mine, seen = second.held, len(first.diary)
        await made.leave(second)
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        again = await made.join("b")
        await again.until(lambda: again.held == mine)
        assert loop.time() - started_s < SESSION_S / 2, "it waited for the session of its former self to run out"
        assert first.diary[seen:] == [], "the other member was not disturbed"


async def test_heartbeats_age_when_the_coordinator_is_out_of_reach(
    broker: EmbeddedBroker, topics: Topics, tmp_path: Path
) -> None:
    async with member(broker, topics, tmp_path) as (_, worker, thread):
        coordinator = thread._consumer._coordinator
        beats: asyncio.Queue[bool] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        stamped, send = coordinator._do_heartbeat, coordinator._send_req

        async def counted() -> bool:
            good: bool = await stamped()
            loop.call_soon_threadsafe(beats.put_nowait, good)
            return good

        coordinator._do_heartbeat = counted
        async with asyncio.timeout(30):
            assert await beats.get()
            assert await beats.get()
        assert worker.app.heartbeat_age_s() < SESSION_S / 2

        async def unanswered(request: object) -> object:
            raise RequestTimedOutError

        coordinator._send_req = unanswered
        async with asyncio.timeout(30):
            while await beats.get():
                pass
            stamp_s = thread.last_heartbeat_s
            age_s = worker.app.heartbeat_age_s()
            assert not await beats.get()
        assert thread.last_heartbeat_s == stamp_s, "a beat that nobody answered counts for nothing"
        assert worker.app.heartbeat_age_s() > age_s
        coordinator._send_req = send
        async with asyncio.timeout(30):
            while not await beats.get():
                pass
        assert thread.last_heartbeat_s > stamp_s


async def test_a_member_comes_back_to_its_group_when_no_broker_was_known(
    broker: EmbeddedBroker, topics: Topics, tmp_path: Path
) -> None:
    async with member(broker, topics, tmp_path) as (made, worker, thread):
        client, coordinator = thread._consumer._client, thread._consumer._coordinator
        known, asked, loop = client.get_random_node, asyncio.Event(), asyncio.get_running_loop()

        def nobody() -> None:
            loop.call_soon_threadsafe(asked.set)

        client.get_random_node = nobody
        thread.thread_loop.call_soon_threadsafe(coordinator.coordinator_dead)
        async with asyncio.timeout(30):
            await asked.wait()
        client.get_random_node = known
        await made.send(0, 5)
        await worker.until(lambda: worker.taken[0] == [0, 1, 2, 3, 4])
        await made.committed_is({0: 5})


async def test_a_member_that_cannot_take_part_in_its_group_any_more_gives_up(
    broker: EmbeddedBroker, topics: Topics, tmp_path: Path
) -> None:
    async with member(broker, topics, tmp_path) as (_, worker, thread):
        coordinator = thread._consumer._coordinator

        async def unexpected() -> None:
            raise RuntimeError("something that nobody thought of")

        coordinator.ensure_coordinator_known = unexpected
        thread.thread_loop.call_soon_threadsafe(coordinator.coordinator_dead)
        async with asyncio.timeout(30):
            assert "something that nobody thought of" in repr(await worker.app.crashed())
