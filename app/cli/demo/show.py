"""The middle of the demo: the stream goes in, and what comes out is watched until nothing is missing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import orjson

from app.cli.demo.board import Board
from app.cli.demo.deployment import Deployment
from app.cli.demo.feeder import KeyValue, Post, feed
from app.cli.demo.log_reader import LogRead
from app.cli.demo.shop import Plan
from app.cli.demo.view import View
from app.kafka.consumer import LogFollower
from app.kafka.producer import Producer
from app.settings import Settings
from app.topics import Topics, partition_of

TICK_S = 0.25
SETTLE_MS_MAX = 20_000
"""After the last change is due: what has not come by then is missing."""
QUIET_MS = 1_500
"""After the last expected change has come: what comes in this time is one too many."""


async def show(plan: Plan, board: Board, view: View, deployment: Deployment, settings: Settings) -> LogRead:
    """Send everything, watch until all has come or has had its time; gives what the log holds."""
    topics, log_read = Topics(settings.kafka.topic_prefix), LogRead()
    async with (
        Producer(deployment.brokers) as producer,
        LogFollower(deployment.brokers, (topics.changes, topics.events_dead)) as follower,
    ):
        await _warm_up(producer, topics.events_raw, settings.kafka.partitions)
        records = plan.records(board.start())
        post = _post(producer, topics.events_raw, settings.kafka.partitions)
        feeding = asyncio.create_task(feed(records, post, board), name="feed")
        following = asyncio.create_task(_follow(follower, topics, log_read, board), name="follow")
        failing = asyncio.create_task(_fail(deployment), name="watch the processes")
        try:
            await _watch(plan, board, view, log_read, feeding, [following, failing])
        finally:
            for task in (feeding, following, failing):
                task.cancel()
            await asyncio.gather(feeding, following, failing, return_exceptions=True)
    return log_read


async def _warm_up(producer: Producer, topic: str, partitions: int) -> None:
    """One page view to each partition: a topic just made may keep its first record waiting, and the plan does not."""
    call = orjson.dumps({"type": "page", "name": "Home", "anonymousId": "warm-up"})
    await producer.send({(topic, partition): [(b"warm-up", call, ())] for partition in range(partitions)})


async def _watch(
    plan: Plan,
    board: Board,
    view: View,
    log_read: LogRead,
    feeding: asyncio.Task[None],
    endless: Sequence[asyncio.Task[None]],
) -> None:
    quiet_since_ms: int | None = None
    while True:
        running = {task for task in (feeding, *endless) if not task.done()}
        await asyncio.wait(running, timeout=TICK_S, return_when=asyncio.FIRST_COMPLETED)
        for task in (feeding, *endless):
            if task.done():
                task.result()  # raises what ended it
        board.sample()
        view.show(board)
        if not feeding.done():
            continue
        now_ms = board.elapsed_ms
        if not _has_all(plan, board, log_read):
            quiet_since_ms = None
        elif quiet_since_ms is None:
            quiet_since_ms = now_ms
        if quiet_since_ms is not None and now_ms - quiet_since_ms >= QUIET_MS:
            return
        if now_ms >= board.last_due_ms + SETTLE_MS_MAX:
            return


def _has_all(plan: Plan, board: Board, log_read: LogRead) -> bool:
    return (
        board.received.delivered_count >= board.expected_count
        and log_read.changes_count >= board.changes_count
        and len(log_read.dead) >= len(plan.broken)
        and board.elapsed_ms >= board.last_due_ms
    )


def _post(producer: Producer, topic: str, partitions: int) -> Post:
    async def post(batch: Sequence[KeyValue]) -> None:
        by_place: dict[tuple[str, int], list[tuple[bytes, bytes | None, tuple[()]]]] = {}
        for key, value in batch:
            by_place.setdefault((topic, partition_of(key, partitions)), []).append((key, value, ()))
        await producer.send(by_place)

    return post


async def _follow(follower: LogFollower, topics: Topics, log_read: LogRead, board: Board) -> None:
    async for records in follower:
        for record in records:
            value = record.value or b"null"
            if record.topic == topics.changes:
                log_read.take_change(value, record.headers)
            else:
                log_read.take_dead(value)
        board.dead_count = len(log_read.dead)


async def _fail(deployment: Deployment) -> None:
    raise await deployment.failure()
