"""What splits had taken out that has become part of a profile again, as the log tells it.

An event that left a profile with an identifier is that identifier's for good: it goes wherever that goes, whatever else
it names. So who is among a profile's identifiers and was taken out of one before has come with all that it took then,
and the import that brought it is the place to read it from; under the names of the profile it must not count again.

A message of somebody who had left was passed on with the identifiers that are theirs. It may have come back with them;
then it is in the log twice, and only as it went on it is anybody's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from app.identity.rules import Identifier
from app.profiles.merging import Merging
from app.profiles.seen import id_hash
from app.profiles.state import Profile
from app.stages.counted import hashes_of
from app.stages.envelope import Body, Event, Import, Merge
from app.stages.merging import unpack
from app.stages.records import InRecord
from app.stages.splitting import is_taken


@dataclass(frozen=True, slots=True)
class Piece:
    """The state that one identifier took along."""

    name: str
    identifier: Identifier
    at_ms: int
    """When it was taken out."""
    data: tuple[bytes, ...]
    """The state, packed."""
    days: dict[int, set[bytes]]
    """Day → hashes of the messages in it, of all days."""

    @property
    def messages(self) -> int:
        """How many are in it."""
        return sum(map(len, self.days.values()))

    def state(self) -> Profile:
        """A new one with each call."""
        return unpack(self.data)


class Pieces:
    """Takes the records of a profile and of all that became part of it, and keeps the imports of splits that it has
    taken in. Read to before the profile is folded: what they have must not be folded by itself.

    Args:
        merging: The profile's; None where it is made of nothing but messages.
        partition: The profile's, of `profiles.in`.
        until: The offset there before which messages count; None for all.
    """

    def __init__(self, merging: Merging | None, partition: int = 0, until: int | None = None) -> None:
        absorbed = merging.absorbed if merging is not None else ()
        self.names = frozenset(each for each in absorbed if is_taken(each))
        """Under which names they came; none for nearly every profile."""
        self._partition = partition
        self._until = until
        self._merged: set[bytes | None] = set()
        """Those that have become part of another: what came to them later is in the log again, under its name."""
        self._found: dict[str, list[Import]] = {}
        self._fewest: dict[tuple[int, bytes], int] = {}
        """(at, hash) of a message that went on → with how few identifiers."""

    def take(self, partition: int, record: InRecord, body: Body) -> None:
        """The next record."""
        if type(body) is Merge:
            self._merged.add(record.key)
        if type(body) is Event and body.went_on and self._counts(partition, record):
            place, count = (body.at, id_hash(body.id)), len(body.ids)
            self._fewest[place] = min(count, self._fewest.get(place, count))
        if type(body) is not Import or body.loser not in self.names:
            return
        found = self._found.setdefault(body.loser, [])
        if found and len(found) == found[0].parts:
            return  # said twice
        if body.part == 0 and found and body.id != found[0].id:
            found.clear()  # folded once more: whoever began last goes on
        if body.part == len(found) and (not found or body.id == found[0].id):
            found.append(body)

    def _counts(self, partition: int, record: InRecord) -> bool:
        """Whether a message is one of the profile's as it is folded: of what is to come it knows by itself."""
        is_later = partition == self._partition and self._until is not None and record.offset >= self._until
        return not is_later and record.key not in self._merged

    def went_on(self, event: Event, hashed: bytes) -> bool:
        """Whether a message went on to some of those whom it names here."""
        return self._fewest.get((event.at, hashed), len(event.ids)) < len(event.ids)

    def newest(self) -> dict[str, Piece]:
        """By name, one for each identifier: what it took out last, which has all that it had taken out before."""
        newest: dict[Identifier, Piece] = {}
        for name, found in self._found.items():
            if found and len(found) == found[0].parts:
                piece = _piece(name, found)
                held = newest.get(piece.identifier)
                if held is None or _age(held) < _age(piece):
                    newest[piece.identifier] = piece
        return {piece.name: piece for piece in newest.values()}


def _piece(name: str, found: Iterable[Import]) -> Piece:
    days: dict[int, set[bytes]] = {}
    at_ms, data = 0, list[bytes]()
    for each in found:
        at_ms = each.at
        data.append(each.data)
        for day, packed in each.seen.items():
            days.setdefault(day, set()).update(hashes_of(packed))
    (identifier,) = unpack(data).identifiers
    return Piece(name, identifier, at_ms, tuple(data), days)


def _age(piece: Piece) -> tuple[int, int]:
    """Of two that an identifier took out, the later has all messages of the earlier."""
    return piece.messages, piece.at_ms
