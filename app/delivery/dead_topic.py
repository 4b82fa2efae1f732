"""The dead letters of a deployment: read, sent once more, and noted as dealt with.

A letter stays where it is: its topic is a log that others read too. That it was sent again or dropped is noted in one
compacted topic, by the place of its payload.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Literal

import orjson

from app.activation.wire import encode, iso
from app.clock import Clock
from app.delivery.dead_letter import Position
from app.delivery.letters import Letter, in_order, mark_of, read_letter, subject
from app.kafka.admin import Admin
from app.kafka.consumer import BulkRead, BulkReader, RawRecord
from app.kafka.producer import Producer
from app.topics import JSON_TYPE, Topics

CHUNK_LETTERS = 500

Action = Literal["retried", "dropped"]


class DeadLetters:
    """Needs an open `admin`, and a started `producer` for all that is not reading."""

    def __init__(self, admin: Admin, reader: BulkReader, producer: Producer, topics: Topics, clock: Clock) -> None:
        self._admin = admin
        self._reader = reader
        self._producer = producer
        self._topics = topics
        self._clock = clock
        self._marks: set[bytes] | None = None

    async def has(self, destination: str) -> bool:
        """Whether there is such a destination on this broker."""
        topic = self._topics.destination_dead(destination)
        return topic in await self._admin.describe([topic])

    async def open(self, destination: str) -> AsyncIterator[Letter]:
        """The letters that nobody has dealt with, each once, in the order in which they were given up.

        Raises:
            ReadError: The topic is not there, or cannot be read.
        """
        marks = await self._dealt_with()
        seen: set[bytes] = set()
        topic = self._topics.destination_dead(destination)
        async for partition, record in self._records(topic):
            at = Position(topic, partition, record.offset)
            letter = read_letter(destination, at=at, key=record.key, value=record.value, headers=record.headers)
            # A letter is there twice where its sender crashed after it was written.
            if letter is not None and letter.mark not in marks and letter.mark not in seen:
                seen.add(letter.mark)
                yield letter

    async def overtaken(self, destination: str, letters: Sequence[Letter], still_open: set[bytes]) -> set[bytes]:
        """Those of which the vendor has been told something newer since, or will be; by their marks.

        Args:
            still_open: Marks of all open letters: what is dead itself has overtaken nothing.
        """
        newest: dict[tuple[object, ...], int] = {}
        wanted = {letter.key for letter in letters}
        topic = self._topics.destination(destination)
        for partition in {letter.source.partition for letter in letters}:
            start = min(letter.source.offset for letter in letters if letter.source.partition == partition)
            async for _, record in self._records(topic, partition, start):
                if record.key not in wanted:
                    continue
                payload = _object(record.value)
                id_, sequence = payload.get("id"), payload.get("sequence")
                mark = mark_of(Position(topic, partition, record.offset), id_ if isinstance(id_, str) else "")
                if isinstance(sequence, int) and mark not in still_open:
                    about = subject(payload)
                    newest[about] = max(newest.get(about, -1), sequence)
        return {letter.mark for letter in letters if newest.get(subject(letter.payload), -1) > letter.sequence}

    async def send_again(self, letters: Sequence[Letter], done: Callable[[int], None]) -> None:
        """Behind all that is in their topics by now, those of one profile in their order, under the same ids.

        They are noted as dealt with when the broker has them; after a crash in between, some are sent once more.

        Args:
            done: Told how many more are written.
        Raises:
            ProduceError: Not all were written; what was not is still open.
        """
        ordered = in_order(letters)
        for at in range(0, len(ordered), CHUNK_LETTERS):
            chunk = ordered[at : at + CHUNK_LETTERS]
            outputs: dict[tuple[str, int], list[tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]]] = {}
            for letter in chunk:
                place = (self._topics.destination(letter.destination), letter.source.partition)
                headers = [("message-id", letter.id.encode()), JSON_TYPE]
                outputs.setdefault(place, []).append((letter.key, letter.again, headers))
            await self._producer.send(outputs)
            await self.note(chunk, "retried")
            done(len(chunk))

    async def note(self, letters: Iterable[Letter], action: Action) -> None:
        """They are dealt with, and open no more."""
        value = encode({"action": action, "at": iso(self._clock.now_ms())})
        notes = [(letter.mark, value, ()) for letter in letters]
        if notes:
            await self._producer.send({(self._topics.dead_settled, 0): notes})

    async def _dealt_with(self) -> set[bytes]:
        if self._marks is None:
            topic = self._topics.dead_settled
            self._marks = set()
            if topic in await self._admin.describe([topic]):
                self._marks = {record.key async for _, record in self._records(topic) if record.key}
        return self._marks

    async def _records(
        self, topic: str, partition: int | None = None, start: int = 0
    ) -> AsyncIterator[tuple[int, RawRecord]]:
        """All that there is of a topic, or of one of its partitions from an offset on."""
        if partition is None:
            facts = await self._admin.describe([topic])
            partitions = range(facts[topic].partitions) if topic in facts else range(1)
        else:
            partitions = range(partition, partition + 1)
        for number in partitions:
            first = (await self._admin.beginning_offsets([(topic, number)]))[topic, number]
            async for records in self._reader.read(BulkRead(topic, number, max(first, start))):
                for record in records:
                    yield number, record


def _object(value: bytes | None) -> dict[str, object]:
    try:
        parsed = orjson.loads(value or b"")
    except orjson.JSONDecodeError:
        return {}
    return parsed if isinstance(parsed, dict) else {}
