"""The stream's graph on one page, and the Faust app that runs it.

    events.raw ──► resolve ──► profiles.in ──► compute ──┬──► destinations.<name>
                      │             ▲                    ├──► changes
                      │             └── timers ──────────┤
                      └──► events.dead ◄─────────────────┴──► headwater.profiles.changelog

Both agents take whole batches and hand each to its partition's lane, which computes it and commits it. Faust keeps
what it is good at (agents, topics, assignment, rebalance); it owns no table, no commit and no recovery here.
"""

from __future__ import annotations

from collections.abc import AsyncIterable
from dataclasses import dataclass
from pathlib import Path

import faust

from app.stream.lanes import Lanes
from app.stream.transport import Batch, BatchConsumer, BatchSchema, BatchTransport, Progress
from app.topics import Topics

SESSION_S = 15.0
"""A worker that is not heard of for so long has lost its partitions."""


@dataclass(frozen=True, slots=True)
class AppOptions:
    """What a Faust app of ours is told."""

    group: str
    """The consumer group; also the app's id."""
    instance: str
    """This worker's name in the group: restarted under it within the session, it gets its partitions back at once."""
    brokers: str
    data_dir: Path
    poll_records: int = 4_000
    commit_interval_s: float = 1.0
    session_s: float = SESSION_S


def faust_app(options: AppOptions, progress: Progress) -> faust.App:
    """A Faust app on the micro-batch transport that commits what `progress` says."""
    app = faust.App(
        options.group,
        broker=[f"kafka://{address}" for address in options.brokers.split(",")],
        store="memory://",
        datadir=str(options.data_dir / "faust"),
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=options.instance,
        consumer_max_fetch_size=4 << 20,
        broker_max_poll_records=options.poll_records,
        broker_commit_interval=options.commit_interval_s,
        broker_session_timeout=options.session_s,
        broker_heartbeat_interval=options.session_s / 5,
        stream_wait_empty=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        web_enabled=False,
    )
    transport = BatchTransport(app.conf.broker, app)

    class Consumer(BatchConsumer):
        pass

    Consumer.progress = progress
    transport.Consumer = Consumer
    app.transport = transport
    return app


def add_agents(app: faust.App, topics: Topics, lanes: Lanes) -> None:
    """The graph above."""
    schema = BatchSchema()

    @app.agent(app.topic(topics.events_raw, schema=schema), name="resolve")
    async def resolve(batches: AsyncIterable[Batch]) -> None:
        async for batch in batches:
            lanes.offer(batch)

    @app.agent(app.topic(topics.profiles_in, schema=schema), name="compute")
    async def compute(batches: AsyncIterable[Batch]) -> None:
        async for batch in batches:
            lanes.offer(batch)
