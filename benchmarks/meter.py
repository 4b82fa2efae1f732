"""Notes when each record reaches a consumer of the output topic; the latency job runs it as a process of its own."""

import argparse
import asyncio
import time
from pathlib import Path

from aiokafka import AIOKafkaConsumer, TopicPartition

from benchmarks.events import PARTITIONS
from benchmarks.peers.job import say
from benchmarks.verify import read_order

POLL_MS = 200
SILENCE_S_MAX = 30.0


async def meter(brokers: str, topic: str, records: int) -> list[str]:
    """A line `user count seconds` for each record; ends after `records`, or after `SILENCE_S_MAX` without any."""
    arrived: list[tuple[float, bytes]] = []
    consumer = AIOKafkaConsumer(bootstrap_servers=brokers, enable_auto_commit=False, auto_offset_reset="earliest")
    await consumer.start()
    try:
        places = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        say("ready")
        heard_s = time.monotonic()
        while len(arrived) < records and not (arrived and time.monotonic() - heard_s > SILENCE_S_MAX):
            fetched = await consumer.getmany(timeout_ms=POLL_MS)
            if fetched:
                heard_s = time.monotonic()
                arrived += [(heard_s, record.value) for batch in fetched.values() for record in batch]
    finally:
        await consumer.stop()
    return [f"{user} {count} {at_s:.6f}\n" for at_s, value in arrived for user, count in [read_order(value)]]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--brokers", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--records", type=int, required=True)
    parser.add_argument("--log", type=Path, required=True)
    arguments = parser.parse_args()
    arrived = asyncio.run(meter(arguments.brokers, arguments.topic, arguments.records))
    arguments.log.write_text("".join(arrived))
    say("done", len(arrived))


if __name__ == "__main__":
    main()
