"""What a profile remembers of merges: of those it is part of now, and of one that is under way."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from app.identity.regulations import identifier_hash
from app.identity.rules import Identifier


@dataclass(slots=True)
class Parked:
    """A record that came while the profile waits: an event, or while it is parted with anything else, too."""

    offset: int
    """In `profiles.in`."""
    repeat: bool
    """Whether its message had been applied before it came."""
    value: bytes
    """The record's."""


def later(one: Mapping[bytes, int], other: Mapping[bytes, int]) -> dict[bytes, int]:
    """Of both, what is later of each."""
    return {key: max(one.get(key, 0), other.get(key, 0)) for key in (*one, *other)}


@dataclass(slots=True)
class Merging:
    """Empty for nearly every profile.

    A message that is on its way to a profile which is merged meanwhile may reach the survivor by two ways. So the
    survivor waits for what the other has counted, ids of messages included, before it counts anything itself.
    """

    redirect: str = ""
    """The profile that this one is part of now; everything else of this one has gone there."""
    absorbed: list[str] = field(default_factory=list)
    """The profiles that are part of this one. A profile is absorbed once in its life."""
    waiting: list[str] = field(default_factory=list)
    """Those whose state is on its way."""
    parked: list[Parked] = field(default_factory=list)
    """Events since then, in the order of their coming."""
    pieces: dict[str, list[bytes]] = field(default_factory=dict)
    """By the profile whose state they are: those that have come of a state in several."""
    paused_due: int = 0
    """When the profile's timer is due, which is not armed while it waits; 0 for never."""
    parted: dict[bytes, tuple[str, int]] = field(default_factory=dict)
    """An identifier's hash → the profile that it makes since it left this one, and the split's number, which rises with
    every split there is; in the order of leaving. Not its text, which is another person's and goes with them."""
    is_parting: bool = False
    """Whether an identifier is about to leave it: until then all that comes waits, in its order."""
    may_return: bool = False
    """Whether among that is a merge: who has left before may come back by it, and what is theirs waits, too."""
    passed: dict[bytes, int] = field(default_factory=dict)
    """The hash of a message's id → the day in which it came, of those that went on to whom an identifier makes. They
    are remembered as seen, but have not been here: where the two become one meanwhile, they come back and count. With
    a profile that becomes part of another they go along, for under its name they are in the log."""

    since: dict[bytes, int] = field(default_factory=dict)
    """An identifier's hash → ms, of those that had left, were erased, and are here again as new ones: what was said of
    them before that is never folded again."""

    def add(self, loser: str, theirs: Merging | None, ids: Collection[Identifier]) -> None:
        """A profile has become part of this one, and with it what was part of that, or is still on its way to it.

        Args:
            ids: The identifiers of either. Who is among them has left one of the two, and come by the other.
        """
        self.absorbed.append(loser)
        found = list(self.parted.items())
        if theirs is not None:
            self.absorbed += [each for each in theirs.absorbed if each not in self.absorbed]
            self.waiting += [each for each in theirs.waiting if each not in self.waiting]
            found += theirs.parted.items()
            self.passed |= theirs.passed
            self.since = later(self.since, theirs.since)
        self.waiting = [each for each in self.waiting if each not in self.absorbed]
        here = {identifier_hash(each) for each in ids} if found else set()
        # Of two the later is the one to go by: it wins as the last of its key.
        found = sorted((each for each in found if each[0] not in here), key=lambda each: each[1][1])
        self.parted = {}
        for each, left in found:
            self.parted.pop(each, None)
            self.parted[each] = left

    def remains(self) -> Merging:
        """What another profile has to know of it, once this one is part of that."""
        return Merging(
            absorbed=self.absorbed, waiting=self.waiting, parted=self.parted, passed=self.passed, since=self.since
        )  # fmt: skip

    def pass_on(self, hashed: bytes, day: int, oldest_day: int) -> None:
        """A message goes on to whom its identifier makes. Of days before the oldest nothing is remembered as seen."""
        self.passed = {each: at for each, at in self.passed.items() if at >= oldest_day} | {hashed: day}

    def have_come(self, hashes: Iterable[bytes], oldest_day: int) -> None:
        """Messages have been counted by what is part of this profile now. Of days before the oldest nobody says so."""
        if self.passed:
            come = set(hashes)
            self.passed = {each: at for each, at in self.passed.items() if at >= oldest_day and each not in come}

    def parted_of(self, ids: Iterable[Identifier]) -> tuple[str, list[Identifier]] | None:
        """Whose an event with these identifiers is since some of them left, and which; None where none did.

        What left first has all that it was named in.
        """
        named = {identifier_hash(each): each for each in ids}
        into = next((profile for each, (profile, _) in self.parted.items() if each in named), None)
        if into is None:
            return None
        return into, [named[each] for each, (profile, _) in self.parted.items() if profile == into and each in named]
