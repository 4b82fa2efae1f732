"""The records of `identity.assignments`, and the cache that they feed: what a partition of `events.raw` knows.

| key | value |
|---|---|
| `type:value` | `{"profile"}`: whose that identifier is |
| U+001F, version of the rules, JSON of a message's usable identifiers | `{"profile", "ids"}`: a verdict, where some
were left aside: whose such a message is, and those that are the profile's |
| U+0000 `answered` | `{"upto"}`: every request of this partition up to that offset of `events.raw` has been answered,
by records before this one |

The topic is compacted, and the cache's store is its fold: the last value of each key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import msgspec
import orjson

from app.identity.rules import Identifier
from app.stages.overlay import Overlay
from app.stages.records import InRecord, OutRecord, Work
from app.stages.restoring import StateWriter
from app.topics import partition_of

ANSWERED = b"\0answered"
FRONT_MAX = 200_000
"""How many identifiers are held decoded before the store."""

_VERDICT = b"\x1f"
_JSON = (("content-type", b"application/json"),)


class _Value(msgspec.Struct):
    profile: str = ""
    ids: list[tuple[str, str]] = []
    upto: int = -1


_decode = msgspec.json.Decoder(_Value).decode


def identifier_key(identifier: Identifier) -> bytes:
    """The key of one identifier; types have no colon."""
    return f"{identifier[0]}:{identifier[1]}".encode()


def verdict_key(usable: Sequence[Identifier], version: str) -> bytes:
    """The key of a verdict, by the rules under which it was found; no type begins with a control character."""
    return b"%b%b%b" % (_VERDICT, version.encode(), orjson.dumps(usable))


def of_profile(profile: str) -> Callable[[Identifier], OutRecord]:
    """Makes records that say of an identifier that it is the profile's."""
    value = orjson.dumps({"profile": profile})
    return lambda identifier: (identifier_key(identifier), value, _JSON)


def verdict(usable: Sequence[Identifier], version: str, profile: str, holds: Sequence[Identifier]) -> OutRecord:
    """Messages with just these identifiers belong to a profile; of the identifiers, it has some."""
    return verdict_key(usable, version), orjson.dumps({"profile": profile, "ids": holds}), _JSON


def answered(upto: int) -> OutRecord:
    """All requests up to an offset of the partition have been answered."""
    return ANSWERED, orjson.dumps({"upto": upto}), _JSON


def apply(store: StateWriter, records: Iterable[tuple[bytes | None, bytes | None]], last_offset: int) -> None:
    """Write a stretch of the topic into the cache's store, with its last offset; blocks."""
    store.write({key: value for key, value in records if key is not None and value is not None}, last_offset)


Owner = tuple[bytes, int]
"""A profile as key of `profiles.in`, and its partition."""


class Assignments:
    """What one partition of `events.raw` knows of identity: the store of its assignments, with what was asked lately.

    Args:
        state: The store, and what is on its way there.
        version: Of the rules; verdicts that were found by others are not known.
        partitions: Of `profiles.in`.
    """

    def __init__(self, state: Overlay, version: str, partitions: int) -> None:
        self._state = state
        self._version = version
        self._partitions = partitions
        self._owners: dict[str, Owner] = {}
        self.front: dict[Identifier, Owner] = {}
        """Those that were loaded or assigned lately; what is not here may still be in the store."""
        self.verdicts: dict[tuple[Identifier, ...], tuple[Owner, list[Identifier]]] = {}
        """The same, of usable identifiers together: whose, and those that are the profile's."""
        self.answered = -1
        """Every request up to this offset of `events.raw` has been answered."""
        self.reload()

    def reload(self) -> None:
        """Forget everything that is not in the state."""
        self.front.clear()
        self.verdicts.clear()
        held = self._state.get(ANSWERED)
        self.answered = _decode(held).upto if held is not None else -1

    def process(self, records: Sequence[InRecord]) -> Work:
        """Take in a batch of `identity.assignments`: from now on it is what is known, and its writes the store's."""
        work = Work(src_next=records[-1].offset + 1)
        work.facts.records = len(records)
        for record in records:
            if record.key is not None and record.value is not None:
                work.writes[record.key] = record.value
        self._make_room(len(work.writes))
        for key, value in work.writes.items():
            if value is not None:
                self._learn(key, _decode(value))
        self._state.push(work.writes)
        return work

    def load(self, identifiers: Iterable[Identifier]) -> None:
        """Have in `front` all of these that are known."""
        wanted = list(dict.fromkeys(identifiers))
        self._make_room(len(wanted))
        wanted = [each for each in wanted if each not in self.front]
        self._learn_all([identifier_key(each) for each in wanted])

    def load_verdicts(self, together: Iterable[tuple[Identifier, ...]]) -> None:
        """Have in `verdicts` all of these that are known."""
        wanted = list(dict.fromkeys(together))
        self._make_room(len(wanted))
        self._learn_all([verdict_key(each, self._version) for each in wanted if each not in self.verdicts])

    def _make_room(self, count: int) -> None:
        """Before anything is loaded: what a batch has loaded stays until its end."""
        if len(self.front) + count > FRONT_MAX:
            self.front.clear()
        if len(self.verdicts) + count > FRONT_MAX:
            self.verdicts.clear()
        if len(self._owners) + count > 2 * FRONT_MAX:
            self._owners.clear()

    def _learn_all(self, keys: Sequence[bytes]) -> None:
        for key, value in zip(keys, self._state.get_many(keys) if keys else (), strict=True):
            if value is not None:
                self._learn(key, _decode(value))

    def _learn(self, key: bytes, value: _Value) -> None:
        if key == ANSWERED:
            # A repeat after a crash of `link` may be of less than was answered before.
            self.answered = max(self.answered, value.upto)
        elif not key.startswith(_VERDICT):
            kind, _, text = key.decode().partition(":")
            self.front[kind, text] = self._owner(value.profile)
        elif key.startswith(self._version.encode(), 1):
            usable = tuple((kind, text) for kind, text in orjson.loads(key[1 + len(self._version) :]))
            self.verdicts[usable] = self._owner(value.profile), value.ids

    def _owner(self, profile: str) -> Owner:
        known = self._owners.get(profile)
        if known is None:
            key = profile.encode()
            known = self._owners[profile] = key, partition_of(key, self._partitions)
        return known
