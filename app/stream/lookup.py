"""One profile or account, and the definitions in force, read from the log: beside a running stream, or without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from app.definitions.model import Catalog
from app.identity import codec as graph_codec
from app.identity.graph import Node
from app.identity.rules import Identifier
from app.ids import profile_id
from app.kafka.admin import Admin
from app.kafka.clients import PLAINTEXT
from app.kafka.consumer import BulkRead, BulkReader, ReadError
from app.profiles import codec
from app.profiles.state import Profile
from app.profiles.store import PART, PROFILE
from app.settings import Security
from app.stages.link_state import NODE
from app.stages.meta import CATALOG_KEY
from app.topics import Collection, Topics, partition_of


@dataclass(frozen=True, slots=True)
class Known:
    """What the graph says of a living profile."""

    profile: str
    identifier: Identifier | None
    """The one of those sought that it was found by; None where it was sought by its id, or by that of one in it."""
    node: Node


@dataclass(frozen=True, slots=True)
class Found:
    """What the log says."""

    catalog: Catalog | None
    """None where none has been put into effect."""
    profile_id: str
    """Of the profile that what was sought belongs to, or would make; of an account its group id."""
    profile: Profile | None
    """With all its parts; None where nobody is known under that id."""
    known: Known | None
    """None where the graph does not know it, and for an account."""
    collection: Collection = "users"


class SoughtNode:
    """Takes the records of the graph's changelog, in order, and keeps those of one profile.

    Args:
        wanted: The profile's id; or identifiers, of which the first that is anybody's counts.
    """

    def __init__(self, wanted: Sequence[Identifier] | str) -> None:
        self._profile = wanted if isinstance(wanted, str) else None
        self._wanted: Sequence[Identifier] = () if isinstance(wanted, str) else wanted
        # To look for the text in the bytes is far cheaper than to decode every profile of the graph.
        self._texts = [wanted.encode()] if isinstance(wanted, str) else [text.encode() for _, text in wanted]
        self._nodes: dict[str, tuple[Node, int]] = {}

    def take(self, key: bytes | None, value: bytes | None) -> None:
        """One record."""
        if key is None or not key.startswith(NODE):
            return
        profile = key[len(NODE) :].decode()
        if value is None:
            self._nodes.pop(profile, None)  # erased, or part of another that says so itself
            return
        is_of_interest = profile == self._profile or profile in self._nodes  # which may have lost the identifier since
        if not is_of_interest and not any(text in value for text in self._texts):
            return
        node, w = graph_codec.decode(value)
        # A worker that had been replaced may have appended late.
        if profile not in self._nodes or self._nodes[profile][1] <= w:
            self._nodes[profile] = node, w

    def found(self) -> Known | None:
        """The living profile, as the records so far have it."""
        gone = {loser for node, _ in self._nodes.values() for loser, _, _ in node.absorbed}
        living = {profile: node for profile, (node, _) in self._nodes.items() if profile not in gone}
        for profile, node in living.items():
            if self._profile is not None and self._profile in (profile, *(loser for loser, _, _ in node.absorbed)):
                return Known(profile, None, node)
        for identifier in self._wanted:
            for profile, node in living.items():
                if identifier in node.ids:
                    return Known(profile, identifier, node)
        return None


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
        if key == self._key and value is None:
            self._newest = None
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

    def catalog(self) -> Catalog | None:
        """The definitions in force, by the records so far."""
        return msgspec.json.decode(self._catalog, type=Catalog) if self._catalog is not None else None

    def profile(self) -> Profile | None:
        """The profile, as the records so far have it; None where there is none, or it was erased.

        Raises:
            CorruptProfile: Its record is damaged, or one of its parts is missing.
        """
        if self._newest is None or codec.is_erased(self._newest):
            return None
        return codec.decode(self._newest, lambda names: [self._parts.get(name) for name in names])


async def look_up(
    brokers: str, topics: Topics, wanted: Sequence[Identifier] | str, security: Security = PLAINTEXT
) -> Found:
    """Read one profile, as of its newest record; takes a pass over the graph's changelog and one over its partition.

    Args:
        wanted: Its id, or that of a profile that has become part of it; or identifiers, of which the first that is
            anybody's counts.

    Raises:
        ReadError: There is no changelog, or it cannot be read.
    """
    async with Admin(brokers, security) as admin:
        log = _Log(admin, BulkReader(brokers, security))
        names = [topics.identity_changelog, topics.profiles_changelog]
        there = {name: topic.partitions for name, topic in (await admin.describe(names)).items()}
        if topics.profiles_changelog not in there:
            raise ReadError(
                f"there is no topic {topics.profiles_changelog}; `headwater apply` and `headwater up` make the topics"
            )
        node = SoughtNode(wanted)
        if topics.identity_changelog in there:
            await log.read(topics.identity_changelog, 0, node)
        known = node.found()
        profile = known.profile if known is not None else wanted if isinstance(wanted, str) else profile_id(*wanted[0])
        while True:
            partition = partition_of(profile.encode(), there[topics.profiles_changelog])
            sought = Sought(profile)
            await log.read(topics.profiles_changelog, partition, sought)
            try:
                held = sought.profile()
            except codec.CorruptProfile as error:
                raise ReadError(f"{topics.profiles_changelog}/{partition}: {error}") from error
            if held is None or held.merging is None or not held.merging.redirect:
                return Found(sought.catalog(), profile, held, known)
            # It became part of another since the graph was read, or the graph does not know it.
            profile = held.merging.redirect


async def look_up_account(brokers: str, topics: Topics, account: str, security: Security = PLAINTEXT) -> Found:
    """Read one account, as of its newest record; takes a pass over its partition.

    Raises:
        ReadError: There is no changelog, or it cannot be read.
    """
    changelog = topics.accounts_changelog
    async with Admin(brokers, security) as admin:
        there = await admin.describe([changelog])
        if changelog not in there:
            raise ReadError(f"there is no topic {changelog}; `headwater apply` and `headwater up` make the topics")
        partition = partition_of(account.encode(), there[changelog].partitions)
        sought = Sought(account)
        await _Log(admin, BulkReader(brokers, security)).read(changelog, partition, sought)
    try:
        held = sought.profile()
        # One without a name has yet to be made: what makes it waits.
        is_made = held is not None and bool(held.identifiers)
        return Found(sought.catalog(), account, held if is_made else None, None, "accounts")
    except codec.CorruptProfile as error:
        raise ReadError(f"{changelog}/{partition}: {error}") from error


class _Log:
    def __init__(self, admin: Admin, reader: BulkReader) -> None:
        self._admin = admin
        self._reader = reader

    async def read(self, topic: str, partition: int, into: Sought | SoughtNode) -> None:
        """All that there is of a partition."""
        start = (await self._admin.beginning_offsets([(topic, partition)]))[topic, partition]
        async for records in self._reader.read(BulkRead(topic, partition, start)):
            for record in records:
                into.take(record.key, record.value)
