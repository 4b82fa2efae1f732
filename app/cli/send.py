"""`headwater send`: recorded events to Kafka."""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, BinaryIO

import orjson
import typer

from app.api.ingest import Spreader
from app.cli import brokers as broker_address
from app.cli import output
from app.cli.options import CONFIG_DEFAULT, DATA_DEFAULT, Brokers, Config, Data, Json
from app.cli.output import CommandError
from app.events.model import id_text
from app.kafka.admin import Admin
from app.kafka.producer import Producer
from app.settings import Settings
from app.topics import Topics

CHUNK_RECORDS = 1_000
CHUNK_BYTES_MAX = 16 * 1024 * 1024
LINE_BYTES_MAX = 8 * 1024 * 1024
"""What the topic takes."""
PROBLEMS_SHOWN_MAX = 20


@dataclass(frozen=True, slots=True)
class Line:
    """One line that can be sent, or why it cannot."""

    number: int
    key: bytes | None
    value: bytes
    problem: str = ""


def send(
    file: Annotated[str, typer.Argument(metavar="FILE.jsonl", help="JSON lines; - for stdin.", show_default=False)],
    topic: Annotated[str, typer.Option("--topic", "-t", help="Instead of events.raw; the full name.")] = "",
    rate: Annotated[float | None, typer.Option("--rate", min=0.001, help="Events per second; without it, at once.")] = (
        None
    ),
    raw: Annotated[bool, typer.Option("--raw", help="Send lines that are no JSON too.")] = False,
    config: Config = CONFIG_DEFAULT,
    data: Data = DATA_DEFAULT,
    brokers: Brokers = "",
    as_json: Json = False,
) -> None:
    """Produce recorded events, one JSON object on each line; each is keyed by its userId, else its anonymousId.

    A line that is no JSON is reported with its number and left out; the others are sent, and the exit code is 1.
    Done when Kafka has acknowledged everything.

    \b
    Examples:
      headwater send events.jsonl
      headwater send events.jsonl --rate 500
      gunzip -c events.jsonl.gz | headwater send - --brokers kafka-1:9092 --topic events.raw
    """
    settings = broker_address.settings(config, brokers)
    address = broker_address.resolve(settings, data, brokers)
    topic = topic or Topics(settings.kafka.topic_prefix).events_raw
    sent, problems = asyncio.run(_send(file, settings, address, topic, rate, raw))
    if as_json:
        output.answer({"sent": sent, "topic": topic, "refused": problems})
    else:
        left_out = f", {output.counted(problems, 'line')} left out" if problems else ""
        print(f"{output.counted(sent, 'event')} sent to {topic}{left_out}", flush=True)
    raise typer.Exit(output.FAILED if problems else output.DONE)


def lines(source: BinaryIO, raw: bool) -> Iterator[Line]:
    """The lines of a file that are not empty, bounded in length."""
    for number in itertools.count(1):
        line = source.readline(LINE_BYTES_MAX + 1)
        if not line:
            return
        if len(line) > LINE_BYTES_MAX:
            while line and not line.endswith(b"\n"):
                line = source.readline(LINE_BYTES_MAX)
            yield Line(number, None, b"", f"longer than {LINE_BYTES_MAX} bytes")
            continue
        value = line.rstrip(b"\r\n")
        if value.strip():
            yield _line(number, value, raw)


def _line(number: int, value: bytes, raw: bool) -> Line:
    try:
        message = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        return Line(number, None, value, "" if raw else f"not JSON: {error}")
    if not isinstance(message, dict):
        return Line(number, None, value)
    key = id_text(message.get("userId")) or id_text(message.get("anonymousId"))
    return Line(number, key.encode() if key else None, value)


async def _send(
    file: str, settings: Settings, brokers: str, topic: str, rate: float | None, raw: bool
) -> tuple[int, int]:
    """How many were sent, and how many lines were left out."""
    sent = problems = 0
    security = settings.kafka.security
    with _opened(file) as source, output.progress("sending") as bar:
        async with Admin(brokers, security) as admin:
            there = await admin.describe([topic])
        if topic not in there:
            raise CommandError(f"there is no topic {topic}; `headwater apply` and `headwater up` make the topics")
        async with Producer(brokers, security) as producer:
            spreader = Spreader(topic, there[topic].partitions)
            async for chunk in _chunks(source, rate, raw):
                good = [line for line in chunk if not line.problem]
                for line in chunk:
                    if line.problem:
                        problems += 1
                        if problems <= PROBLEMS_SHOWN_MAX:
                            output.say(f"{file}:{line.number}: {line.problem}")
                await producer.send(spreader.spread((line.key, line.value) for line in good))
                sent += len(good)
                bar.advance(len(good))
    if problems > PROBLEMS_SHOWN_MAX:
        output.say(f"{file}: {output.counted(problems - PROBLEMS_SHOWN_MAX, 'more line')} left out")
    return sent, problems


@contextmanager
def _opened(file: str) -> Iterator[BinaryIO]:
    try:
        source = sys.stdin.buffer if file == "-" else Path(file).open("rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror}", code=output.WRONG_USAGE) from None
    with source:
        yield source


async def _chunks(source: BinaryIO, rate: float | None, raw: bool) -> AsyncIterator[list[Line]]:
    """Lines in chunks; with a rate, small ones, each when it is due.

    Reading blocks the loop while a pipe has nothing: there is nothing else to do then.
    """
    size = CHUNK_RECORDS if rate is None else max(1, min(CHUNK_RECORDS, int(rate / 20)))
    started_s, count, size_bytes = time.monotonic(), 0, 0
    chunk: list[Line] = []
    for line in lines(source, raw):
        chunk.append(line)
        size_bytes += len(line.value)
        if len(chunk) >= size or size_bytes >= CHUNK_BYTES_MAX:
            yield chunk
            count, size_bytes = count + len(chunk), 0
            chunk = []
            if rate is not None:
                await asyncio.sleep(max(0.0, started_s + count / rate - time.monotonic()))
    if chunk:
        yield chunk
