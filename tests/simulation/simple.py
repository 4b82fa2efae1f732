"""`events.raw` → `profiles.in` by a simple rule: a message is its userId's, else its anonymousId's.

For worlds that are about something else than identity: who is who follows from each message alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from app.errors import InvalidEvent, InvalidEventReason
from app.events.codec import decode
from app.events.model import event_name
from app.identity.identifiers import Identifiers
from app.identity.rules import Identifier, IdentityRules
from app.ids import profile_id
from app.stages import envelope
from app.stages.dead import dead_record
from app.stages.records import InRecord, Work
from app.topics import Topics, partition_of

OWNERS_MAX = 200_000
"""How many identifiers' profiles are remembered; hashing one again costs more than looking it up."""

_JSON = (("content-type", b"application/json"),)


class SimpleResolveStage:
    """Resolves one partition of `events.raw`. It keeps no state: identity is a function of the message.

    Args:
        partitions: Of `profiles.in`.
    """

    def __init__(self, topics: Topics, partition: int, partitions: int, rules: IdentityRules) -> None:
        self._source = topics.events_raw
        self._target = topics.profiles_in
        self._dead = topics.events_dead
        self._partition = partition
        self._partitions = partitions
        self._identifiers = Identifiers(rules)
        self._owners: dict[tuple[str, str], tuple[bytes, int]] = {}

    def process(self, records: Sequence[InRecord], now_ms: int) -> Work:
        """The records that go to `profiles.in` and `events.dead`.

        Args:
            now_ms: The wall clock: a record that claims to have been appended later than now was appended now.
        """
        work = Work(src_next=records[-1].offset + 1)
        facts = work.facts
        facts.records = len(records)
        forward: dict[int, list[tuple[bytes | None, bytes | None, tuple[tuple[str, bytes], ...]]]] = {}
        for record in records:
            raw = record.value
            at_ms = min(record.timestamp, now_ms)
            try:
                message = decode(raw)
                found = self._identifiers.of(message)
                owner = owner_of(found)
            except InvalidEvent as error:
                facts.invalid[error.reason] = facts.invalid.get(error.reason, 0) + 1
                dead = dead_record(record, self._source, self._partition, reason=error.reason, message=error.message)
                work.emit(self._dead, self._partition, dead)
                continue
            key, partition = self._owner(owner)
            sent_id = message.get("messageId")
            # Without an id of its own a message is known by its position, so that passing it on twice counts once.
            id_ = f"m:{sent_id}" if sent_id is not None else f"o:{self._partition}:{record.offset}"
            assert raw is not None
            value = envelope.event(at_ms, id_, message["type"], event_name(message), found, raw)
            forward.setdefault(partition, []).append((key, value, _JSON))
            if at_ms > facts.newest_at_ms:
                facts.newest_at_ms = at_ms
        for partition in sorted(forward):
            work.outputs[self._target, partition] = forward[partition]  # type: ignore[assignment]
        return work

    def _owner(self, owner: tuple[str, str]) -> tuple[bytes, int]:
        known = self._owners.get(owner)
        if known is None:
            if len(self._owners) >= OWNERS_MAX:
                self._owners.clear()
            key = profile_id(*owner).encode()
            known = self._owners[owner] = key, partition_of(key, self._partitions)
        return known


def owner_of(found: Sequence[Identifier]) -> Identifier:
    """The identifier whose profile a message belongs to.

    Raises:
        InvalidEvent: `no_identifier`, when there is neither of the two.
    """
    for kind in ("user_id", "anonymous_id"):
        for each in found:
            if each[0] == kind:
                return each
    raise InvalidEvent(InvalidEventReason.NO_IDENTIFIER, "needs a userId or an anonymousId that is not a placeholder")
