"""A Faust app on the micro-batch transport, and its life inside one event loop."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faust

from app.transport import memory
from app.transport.batches import TP, Batch, BatchConsumer, BatchSchema, BatchTransport, Progress

SESSION_S = 15.0
"""A worker that is not heard of for so long has lost its partitions."""


@dataclass(frozen=True, slots=True)
class AppOptions:
    """What an app is told."""

    group: str
    """The consumer group; also the app's id."""
    instance: str
    """This worker's name in the group: restarted under it within the session, it gets its partitions back at once."""
    brokers: str
    data_dir: Path
    poll_records: int = 4_000
    fetch_bytes_max: int = 4 << 20
    """Of each partition, in one fetch; a lane that is behind gets its batches this large."""
    commit_interval_s: float = 1.0
    session_s: float = SESSION_S


Agent = Callable[[AsyncIterable[Batch]], Awaitable[None]]


class BatchApp:
    """One Faust app: add agents, `start`, wait for `crashed`, `stop`.

    Args:
        progress: What may be committed, and who is told of rebalances.
    """

    def __init__(self, options: AppOptions, progress: Progress) -> None:
        self.faust = _faust_app(options)
        self.session_s = options.session_s
        self._schema = BatchSchema()
        self._progress = progress
        transport = BatchTransport(self.faust.conf.broker, self.faust)

        class Consumer(BatchConsumer):
            """Each app has its own progress."""

        Consumer.progress = progress
        transport.Consumer = Consumer
        self.faust.transport = transport

    def agent(self, topic: str, name: str) -> Callable[[Agent], Any]:
        """A decorator: this coroutine gets the topic's batches."""
        return self.faust.agent(self.faust.topic(topic, schema=self._schema), name=name)  # type: ignore[no-any-return]

    async def start(self) -> None:
        """Join the group; assignments arrive later, by `Progress`."""
        self.faust.conf.datadir.parent.mkdir(parents=True, exist_ok=True)
        self.faust.finalize()
        await self.faust.start()
        memory.tune()

    async def crashed(self) -> BaseException:
        """Return, with the reason, once Faust has given up."""
        await self.faust._crashed.wait()
        return self.faust.crash_reason or RuntimeError("no reason given")

    @property
    def joined(self) -> bool:
        """Whether the group has given this member an assignment, if an empty one."""
        return bool(self.faust.consumer_generation_id)

    async def stop(self) -> None:
        """Commit what is done and leave."""
        await self.faust.stop()

    # the consumer, for those that pace it

    def hold(self, tp: TP, full: bool) -> None:
        """Do not fetch a partition for now, or do again."""
        consumer: BatchConsumer = self.faust.consumer
        if full:
            consumer.on_buffer_full(tp)
        else:
            consumer.on_buffer_drop(tp)

    def heartbeat_age_s(self) -> float:
        """Seconds since the group's coordinator last took this member for alive."""
        consumer: BatchConsumer = self.faust.consumer
        return consumer.heartbeat_age_s()

    def highwater(self, tp: TP) -> int:
        """The offset behind a partition's newest record, as of its last fetch; 0 before the first, and if not ours."""
        consumer: BatchConsumer = self.faust.consumer
        try:
            return consumer.highwater(tp) or 0
        except AssertionError:
            return 0  # aiokafka's word for it; another thread may have taken the partition away this very moment


def _faust_app(options: AppOptions) -> faust.App:
    return faust.App(
        options.group,
        broker=[f"kafka://{address}" for address in options.brokers.split(",")],
        store="memory://",
        datadir=str(options.data_dir / "faust"),
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=options.instance,
        consumer_max_fetch_size=options.fetch_bytes_max,
        broker_max_poll_records=options.poll_records,
        broker_commit_interval=options.commit_interval_s,
        broker_session_timeout=options.session_s,
        broker_heartbeat_interval=options.session_s / 5,
        stream_wait_empty=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        web_enabled=False,
    )
