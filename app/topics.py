"""Topic names, what all records have, and the rule by which a key gets its partition."""

from dataclasses import dataclass
from typing import Literal

DEAD_SUFFIX = ".dead"
JSON_TYPE = ("content-type", b"application/json")
JSON_HEADERS = (JSON_TYPE,)
"""Of every record whose value is JSON."""

Collection = Literal["users", "accounts"]
"""What profiles are of: people, or the accounts that they belong to."""


@dataclass(frozen=True, slots=True)
class Topics:
    """Every topic's name, with the deployment's prefix before it."""

    prefix: str = ""

    @property
    def events_raw(self) -> str:
        """In: messages of Segment's spec, any key, any producer."""
        return f"{self.prefix}events.raw"

    @property
    def events_dead(self) -> str:
        """Out: what was no valid event, with the reason and its position."""
        return f"{self.prefix}events.dead"

    @property
    def profiles_in(self) -> str:
        """The truth: everything that changes a profile, keyed by profile."""
        return f"{self.prefix}profiles.in"

    @property
    def profiles_changelog(self) -> str:
        """Compacted: what a lost store is restored from; one partition for each of `profiles.in`."""
        return f"{self.prefix}headwater.profiles.changelog"

    @property
    def accounts_in(self) -> str:
        """The same of accounts: everything that changes one, keyed by its id, which is its `groupId`."""
        return f"{self.prefix}accounts.in"

    @property
    def accounts_changelog(self) -> str:
        """Compacted: what a lost store of accounts is restored from; one partition for each of `accounts.in`."""
        return f"{self.prefix}headwater.accounts.changelog"

    def source_of(self, collection: Collection) -> str:
        """The topic that profiles of a collection are folded from."""
        return self.profiles_in if collection == "users" else self.accounts_in

    @property
    def identity_links(self) -> str:
        """What `resolve` cannot decide by itself, in one order for all: one partition."""
        return f"{self.prefix}identity.links"

    @property
    def identity_assignments(self) -> str:
        """Compacted: whose an identifier is; a partition for each of `events.raw`, with what that has met."""
        return f"{self.prefix}identity.assignments"

    @property
    def identity_changelog(self) -> str:
        """Compacted: the graph, which a lost store of `link` is restored from; one partition."""
        return f"{self.prefix}headwater.identity.changelog"

    @property
    def regulations(self) -> str:
        """Compacted: what the law asked for, and the parts of its receipts; one partition. Holds nobody's data."""
        return f"{self.prefix}regulations"

    @property
    def changes(self) -> str:
        """Out: CloudEvents of every membership and trait change."""
        return f"{self.prefix}changes"

    @property
    def dead_settled(self) -> str:
        """Compacted: which dead letters were sent again or dropped; one partition. Holds nobody's data."""
        return f"{self.prefix}headwater.dead.settled"

    def destination(self, name: str) -> str:
        """Out: one destination's payloads, keyed by profile."""
        return f"{self.prefix}destinations.{name}"

    def lists_changelog(self, name: str) -> str:
        """Compacted: who is to be on a destination's lists, and who is; one partition, as the destination's own."""
        return f"{self.prefix}headwater.lists.{name}.changelog"

    def destination_dead(self, name: str) -> str:
        """Out: payloads that were refused or given up on, with request and response."""
        return self.destination(name) + DEAD_SUFFIX


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a key by Kafka's own rule (murmur2), which any other producer's default gives too."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def murmur2(data: bytes) -> int:
    """Austin Appleby's MurmurHash2 with the seed that Kafka's clients use. Pure Python: cache what it gives."""
    length = len(data)
    m = 0x5BD1E995
    mask = 0xFFFFFFFF
    h = 0x9747B28C ^ length
    whole = length & ~3
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at : at + 4], "little") * m & mask
        k = (k ^ (k >> 24)) * m & mask
        h = (h * m & mask) ^ k
    if length != whole:
        h ^= int.from_bytes(data[whole:], "little")
        h = h * m & mask
    h = (h ^ (h >> 13)) * m & mask
    return h ^ (h >> 15)


def stream_group(topics: Topics) -> str:
    """The stream workers' consumer group."""
    return f"{topics.prefix}headwater.stream"


def delivery_group(topics: Topics) -> str:
    """The senders' consumer group; whoever makes payloads in bulk looks how far it is."""
    return f"{topics.prefix}headwater.delivery"
