"""Records of `events.dead`."""

from __future__ import annotations

import orjson

from app.activation.wire import iso
from app.events.codec import dead_letter
from app.stages.records import InRecord, OutRecord
from app.topics import JSON_TYPE


def dead_record(record: InRecord, topic: str, partition: int, *, reason: str, message: str) -> OutRecord:
    """The dead letter of a record: its key is its position, by which a repeat can be told."""
    position = f"{topic}-{partition}-{record.offset}".encode()
    value = dead_letter(
        reason=reason,
        message=message,
        topic=topic,
        partition=partition,
        offset=record.offset,
        at=iso(record.timestamp),
        original=record.value,
    )
    return position, orjson.dumps(value), (JSON_TYPE, ("message-id", position))
