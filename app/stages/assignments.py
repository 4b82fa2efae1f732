"""The records of `identity.assignments`, and the cache that they feed: what a partition of `events.raw` knows.

| key | value |
|---|---|
| `type:value` | `{"profile", "apart"}`: whose that identifier is, and whether it was ever taken out of a profile;
nothing: nobody's any more |
| U+001F, version of the rules, hash of a message's usable identifiers | `{"profile", "holds"}`: a verdict, where some
were left aside: whose such a message is, and the places of those that are the profile's |
| U+001E, hash of an identifier | `{}`: it is suppressed; nothing: it is not any more |
| U+001D, profile | `{}`: it was erased, so verdicts that name it are void |
| U+0000 `answered` | `{"upto"}`: every request of this partition up to that offset of `events.raw` has been answered,
by records before this one |

The topic is compacted, and the cache's store is its fold: the last value of each key. What names a person is the key of
one identifier, and nothing else: so whoever is erased leaves nothing behind when these are deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from hashlib import blake2b

import msgspec
import orjson

from app.identity.regulations import identifier_hash
from app.identity.rules import Identifier
from app.stages.overlay import Overlay
from app.stages.records import InRecord, OutRecord, Work
from app.stages.restoring import StateWriter
from app.topics import JSON_HEADERS, partition_of

ANSWERED = b"\0answered"
FRONT_MAX = 200_000
"""How many identifiers are held decoded before the store."""

_VERDICT = b"\x1f"
_SUPPRESSED = b"\x1e"
"""Alone, as a key, it says that there are such keys, or erased profiles; local."""
_ERASED = b"\x1d"
_REGULATED = (_SUPPRESSED[0], _ERASED[0])
_HASH_BYTES = 16


class _Value(msgspec.Struct):
    profile: str = ""
    holds: list[int] = []
    upto: int = -1
    apart: bool = False


_decode = msgspec.json.Decoder(_Value).decode


def identifier_key(identifier: Identifier) -> bytes:
    """The key of one identifier; types have no colon."""
    return f"{identifier[0]}:{identifier[1]}".encode()


def verdict_key(usable: Sequence[Identifier], version: str) -> bytes:
    """The key of a verdict, by the rules under which it was found; no type begins with a control character."""
    hashed = blake2b(orjson.dumps(usable), digest_size=_HASH_BYTES).digest()
    return b"%b%b%b" % (_VERDICT, version.encode(), hashed)


def of_profile(profile: str, apart: Collection[Identifier] = ()) -> Callable[[Identifier], OutRecord]:
    """Makes records that say of an identifier that it is the profile's.

    Args:
        apart: Those that were ever taken out of one.
    """
    value, marked = orjson.dumps({"profile": profile}), orjson.dumps({"profile": profile, "apart": True})
    return lambda identifier: (identifier_key(identifier), marked if identifier in apart else value, JSON_HEADERS)


def verdict(usable: Sequence[Identifier], version: str, profile: str, holds: Sequence[Identifier]) -> OutRecord:
    """Messages with just these identifiers belong to a profile; of the identifiers, it has some."""
    places = [place for place, each in enumerate(usable) if each in holds]
    return verdict_key(usable, version), orjson.dumps({"profile": profile, "holds": places}), JSON_HEADERS


def forgotten(identifier: Identifier) -> OutRecord:
    """The identifier is nobody's as far as is known."""
    return identifier_key(identifier), None, JSON_HEADERS


def suppressed(hashed: bytes) -> OutRecord:
    """Nothing of an identifier may come in, which is given by its hash."""
    return _SUPPRESSED + hashed, b"{}", JSON_HEADERS


def lifted(hashed: bytes) -> OutRecord:
    """It may come in again."""
    return _SUPPRESSED + hashed, None, JSON_HEADERS


def erased(profile: str) -> OutRecord:
    """The profile is no more, and its id is never given again."""
    return _ERASED + profile.encode(), b"{}", JSON_HEADERS


def answered(upto: int) -> OutRecord:
    """All requests up to an offset of the partition have been answered."""
    return ANSWERED, orjson.dumps({"upto": upto}), JSON_HEADERS


def apply(store: StateWriter, records: Iterable[tuple[bytes | None, bytes | None]], last_offset: int) -> None:
    """Write a stretch of the topic into the cache's store, with its last offset; blocks."""
    store.write(_folded(records), last_offset)


def _folded(records: Iterable[tuple[bytes | None, bytes | None]]) -> dict[bytes, bytes | None]:
    """The last value of each key."""
    writes = {key: value for key, value in records if key}
    if any(key[0] in _REGULATED for key in writes):
        writes[_SUPPRESSED] = b""
    return writes


def _identifier(key: bytes) -> Identifier:
    kind, _, text = key.decode().partition(":")
    return kind, text


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
        self.apart: set[Identifier] = set()
        """Those of them that were ever taken out of a profile."""
        self.verdicts: dict[bytes, tuple[Owner, list[int]]] = {}
        """By key: whose messages with some usable identifiers are, and the places of those that are the profile's."""
        self._is_regulated = False
        """Whether anybody was ever suppressed or erased: else nothing has to be looked up for it."""
        self.answered = -1
        """Every request up to this offset of `events.raw` has been answered."""
        self.told = 0
        """How often more was known than before."""
        self.reload()

    def reload(self) -> None:
        """Forget everything that is not in the state."""
        self.front.clear()
        self.apart.clear()
        self.verdicts.clear()
        held = self._state.get(ANSWERED)
        self.answered = _decode(held).upto if held is not None else -1
        self._is_regulated = self._state.get(_SUPPRESSED) is not None

    def process(self, records: Sequence[InRecord]) -> Work:
        """Take in a batch of `identity.assignments`: from now on it is what is known, and its writes the store's."""
        work = Work(src_next=records[-1].offset + 1)
        work.facts.records = len(records)
        self.told += 1
        work.writes = _folded((record.key, record.value) for record in records)
        self._make_room(len(work.writes))
        for key, value in work.writes.items():
            if key[0] in _REGULATED:
                self._is_regulated = True
                self.verdicts.clear()
            elif value is not None:
                self._learn(key, _decode(value))
            else:
                self.front.pop(_identifier(key), None)
                self.apart.discard(_identifier(key))
                work.facts.forgotten.append(key)
        self._state.push(work.writes)
        return work

    def load(self, identifiers: Iterable[Identifier]) -> None:
        """Have in `front` all of these that are known."""
        wanted = list(dict.fromkeys(identifiers))
        self._make_room(len(wanted))
        wanted = [each for each in wanted if each not in self.front]
        self._learn_all([identifier_key(each) for each in wanted])

    def load_verdicts(self, together: Iterable[Sequence[Identifier]]) -> list[bytes]:
        """Have in `verdicts` all of these that are known and not void; gives their keys, in order."""
        keys = [verdict_key(each, self._version) for each in together]
        self._make_room(len(keys))
        wanted = [each for each in dict.fromkeys(keys) if each not in self.verdicts]
        self._learn_all(wanted)
        if self._is_regulated:
            found = {key: self.verdicts[key][0][0] for key in wanted if key in self.verdicts}
            gone = self._state.get_many([_ERASED + profile for profile in found.values()]) if found else []
            for key, erased_ in zip(found, gone, strict=True):
                if erased_ is not None:
                    del self.verdicts[key]
        return keys

    def suppressed(self, identifiers: Iterable[Identifier]) -> frozenset[Identifier]:
        """Those of which nothing may come in. To be asked of what has been loaded: whose is known is not suppressed."""
        if not self._is_regulated:
            return frozenset()
        unknown = [each for each in dict.fromkeys(identifiers) if each not in self.front]
        keys = [_SUPPRESSED + identifier_hash(each) for each in unknown]
        held = self._state.get_many(keys) if keys else []
        return frozenset(each for each, value in zip(unknown, held, strict=True) if value is not None)

    def _make_room(self, count: int) -> None:
        """Before anything is loaded: what a batch has loaded stays until its end."""
        if len(self.front) + count > FRONT_MAX:
            self.front.clear()
            self.apart.clear()
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
            identifier = _identifier(key)
            self.front[identifier] = self._owner(value.profile)
            (self.apart.add if value.apart else self.apart.discard)(identifier)
        elif key.startswith(self._version.encode(), 1):
            self.verdicts[key] = self._owner(value.profile), value.holds

    def _owner(self, profile: str) -> Owner:
        known = self._owners.get(profile)
        if known is None:
            key = profile.encode()
            known = self._owners[profile] = key, partition_of(key, self._partitions)
        return known
