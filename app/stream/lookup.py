"""One profile and the definitions in force, read from the changelog: beside a stream that runs, or without one."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from app.definitions.model import Catalog
from app.kafka.admin import Admin
from app.kafka.clients import PLAINTEXT
from app.kafka.consumer import BulkRead, BulkReader, ReadError
from app.profiles import codec
from app.profiles.state import Profile
from app.profiles.store import PART, PROFILE
from app.settings import Security
from app.stages.meta import CATALOG_KEY
from app.topics import Topics, partition_of


@dataclass(frozen=True, slots=True)
class Found:
    """What the changelog says."""

    catalog: Catalog | None
    """None where none has been put into effect."""
    profile: Profile | None
    """With all its parts; None where nobody is known under that id."""


class Sought:
    """Takes the records of the profile's partition, in order, and keeps what is about the profile."""

    def __init__(self, profile: str) -> None:
        self._key = PROFILE + profile.encode()
        self._part_prefix = PART + profile.encode()
        self._catalog: bytes | None = None
        self._newest: bytes | None = None
        self._parts: dict[bytes, bytes] = {}

    def take(self, key: bytes | None, value: bytes | None) -> None:
        """One record. Deletions of parts are passed over: they are not of what the newest profile names."""
        if key is None or value is None:
            return
        if key == self._key:
            # A worker that had been replaced may have appended late; what it did not know of wins.
            if self._newest is None or codec.w_of(value) >= codec.w_of(self._newest):
                self._newest = value
        elif key.startswith(self._part_prefix):
            self._parts[key[len(self._part_prefix) :]] = value
        elif key == CATALOG_KEY:
            self._catalog = value

    def found(self) -> Found:
        """What the records so far say.

        Raises:
            CorruptProfile: The profile's record is damaged, or one of its parts is missing.
        """
        catalog = msgspec.json.decode(self._catalog, type=Catalog) if self._catalog is not None else None
        if self._newest is None:
            return Found(catalog, None)
        return Found(catalog, codec.decode(self._newest, lambda names: [self._parts.get(name) for name in names]))


async def look_up(brokers: str, topics: Topics, profile: str, security: Security = PLAINTEXT) -> Found:
    """Read one profile, as of its newest record in the changelog; takes a pass over its partition.

    Raises:
        ReadError: There is no changelog, or it cannot be read.
    """
    topic = topics.profiles_changelog
    async with Admin(brokers, security) as admin:
        there = await admin.describe([topic])
        if topic not in there:
            raise ReadError(f"there is no topic {topic}; `headwater apply` and `headwater up` make the topics")
        partition = partition_of(profile.encode(), there[topic].partitions)
        start = (await admin.beginning_offsets([(topic, partition)]))[topic, partition]
    sought = Sought(profile)
    async for records in BulkReader(brokers, security).read(BulkRead(topic, partition, start)):
        for record in records:
            sought.take(record.key, record.value)
    try:
        return sought.found()
    except codec.CorruptProfile as error:
        raise ReadError(f"{topic}/{partition}: {error}") from error
