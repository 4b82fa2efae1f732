"""Produces events at a steady rate, each stamped when it is sent; the latency job runs it as a process of its own."""

import argparse
import asyncio
import itertools
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from aiokafka import AIOKafkaProducer

from app.topics import partition_of
from benchmarks.events import ORDER, PARTITIONS, events
from benchmarks.peers.job import say


def now(_: int) -> datetime:
    return datetime.now(UTC)


async def load(arguments: argparse.Namespace) -> list[str]:
    """Sends the seed's events from number `skip` on; gives a line `user count seconds` for each order."""
    stream = events(arguments.seed, arguments.skip + arguments.events, clock=now)
    orders: Counter[str] = Counter()
    for event in itertools.islice(stream, arguments.skip):
        orders[event.user] += event.name == ORDER
    sent: list[str] = []
    acks = []
    producer = AIOKafkaProducer(bootstrap_servers=arguments.brokers, acks="all", linger_ms=0)
    await producer.start()
    try:
        begun_s = time.monotonic()
        for number, event in enumerate(stream):
            early_s = begun_s + number / arguments.rate - time.monotonic()
            if early_s > 0:
                await asyncio.sleep(early_s)
            key = event.user.encode()
            if event.name == ORDER:
                orders[event.user] += 1
                sent.append(f"{event.user} {orders[event.user]} {time.monotonic():.6f}\n")
            place = partition_of(key, PARTITIONS)
            acks.append(await producer.send(arguments.topic, event.value, key=key, partition=place))
        await asyncio.gather(*acks)
    finally:
        await producer.stop()
    return sent


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("brokers", "topic", "log"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("events", "skip", "rate", "seed"):
        parser.add_argument(f"--{name}", type=int, required=True)
    arguments = parser.parse_args()
    sent = asyncio.run(load(arguments))
    Path(arguments.log).write_text("".join(sent))
    say("done", arguments.events)


if __name__ == "__main__":
    main()
