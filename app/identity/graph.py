"""Which profile a message belongs to: created, added to or merged, within the limits.

The rule, for a message's identifiers from the strongest to the weakest: where none belongs to a profile, they make one;
where they belong to one or several, these become one, and take in what is new. If that would break a limit, the weakest
identifier is left aside and the rest tried again. The oldest of several profiles is the one that stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

from app.identity.regulations import identifier_hash
from app.identity.rules import Identifier, LinkRules
from app.ids import profile_id

NODE_BYTES_MAX = 512 * 1024
"""Of one profile's identifiers as they are kept: a batch's changes have to fit into one record batch of Kafka."""

SPLITS_MAX = 500
"""Out of one profile: each is remembered where the profile is kept."""

MERGE_ID_CHARS_MAX = 64
"""How much of a message's id is kept with a merge that it caused."""

HEARD_MS = 3 * 86_400_000
"""After a split, every resolver has heard of it. For as long the ids of messages are kept, too."""


class Apart(NamedTuple):
    """That an identifier was taken out of a profile."""

    at_ms: int
    """When last: nothing said up to then links it to any."""
    first: str = ""
    """The profile that it was taken out of first of all; empty where that was not kept."""
    first_ms: int = 0
    """When that was."""


@dataclass(slots=True)
class Node:
    """A living profile in the graph.

    Attributes:
        created: Its place in the order of creation.
        ids: Identifier → when it was added, ms; in order of first sight.
        absorbed: (profile, when, id of the message) of each that was merged into it, and of each merged into those.
        met: The partitions of `events.raw` that know every one of its identifiers.
        size_bytes: About what its identifiers take up.
        parted: (identifier's type, its hash, the profile that it has made, when, id of the split) of each identifier
            that was taken out of it, or of one in it. By the hash it is recognised when it comes back; its text is
            another person's, and is to go with them.
        apart: Those of its identifiers that were ever taken out of a profile.
        origin: (profile, id of the split) of which it was taken; empty where a message made it.
    """

    created: int
    ids: dict[Identifier, int] = field(default_factory=dict)
    absorbed: list[tuple[str, int, str]] = field(default_factory=list)
    met: set[int] = field(default_factory=set)
    size_bytes: int = 0
    parted: list[tuple[str, bytes, str, int, str]] = field(default_factory=list)
    apart: dict[Identifier, Apart] = field(default_factory=dict)
    origin: tuple[str, ...] = ()

    def reborn(self) -> dict[str, int]:
        """`type:value` → when it was added, ms, of each identifier that was taken out, erased where it had gone, and
        added again as a new one. What is in the log of it from before that was erased."""
        here = {identifier_hash(each): each for each in self.ids} if self.parted else {}
        back = [(here[hashed], at_ms) for _, hashed, _, at_ms, _ in self.parted if hashed in here]
        return {
            ":".join(each): self.ids[each] for each, at_ms in back if each not in self.apart or self.ids[each] > at_ms
        }

    def returning(self, fresh: Iterable[Identifier]) -> list[Identifier]:
        """Those that were taken out of it before."""
        hashes = {hashed for _, hashed, *_ in self.parted}
        return [each for each in dict.fromkeys(fresh) if identifier_hash(each) in hashes] if hashes else []


class Breach(IntEnum):
    """Whether a limit stands in the way."""

    NONE = 0
    FOR_NOW = 1
    """Only limits with a window: the same may be possible later."""
    FOR_GOOD = 2


@dataclass(frozen=True, slots=True)
class Resolution:
    """What became of one message.

    Attributes:
        profile: Whose it is.
        losers: The profiles that were merged into it, the older first.
        gained: Identifiers that it did not have before, the losers' among them.
        holds: Those of the message's identifiers that are the profile's.
        newcomers: Partitions that did not know the profile, or knew only one of the losers.
        is_new: Whether it was made for this message.
        lasts: Whether identifiers were left aside that are not the profile's and can never be, under these rules.
    """

    profile: str
    losers: tuple[str, ...]
    gained: tuple[Identifier, ...]
    holds: tuple[Identifier, ...]
    newcomers: frozenset[int]
    is_new: bool
    lasts: bool


class Graph:
    """The part of the graph that is in memory, and the rules in force.

    `owners` and `nodes` have to hold, before a message is resolved, what there is of its identifiers and their
    profiles. They stay true as messages are resolved; what is no longer asked for may be taken out.

    Args:
        created: How many profiles have been created so far.
    """

    def __init__(self, rules: LinkRules, created: int = 0) -> None:
        self.rules = rules
        self.created = created
        self.owners: dict[Identifier, str] = {}
        self.nodes: dict[str, Node] = {}
        self.heirs: dict[str, str] = {}
        """Profile → the one that it has become part of, or itself: of those that these were first taken out of."""
        self.spent: set[str] = set()
        """Ids that cannot be given, as far as they may be asked for: of erased profiles, and of those called by an
        identifier that has left them, and was erased."""

    def resolve(
        self, usable: Sequence[Identifier], at_ms: int, message_id: str, partition: int, said_ms: int | None = None,
        *, again: bool = False,
    ) -> Resolution:  # fmt: skip
        """Decide, and be as if it had been done.

        Args:
            usable: At least one; from the strongest to the weakest.
            partition: Of `events.raw`; it will know all of the profile's identifiers.
            said_ms: When it was said that these identifiers are of one person; None for `at_ms`.
            again: Whether the message may have been sent straight before, by who had not heard of a split.
        """
        if (asked := self._to_be_asked(usable, at_ms, at_ms if said_ms is None else said_ms, again)) is not None:
            return asked
        kept = self._linked(usable, at_ms if said_ms is None else said_ms)
        aside = Breach.FOR_GOOD if len(kept) == len(usable) else Breach.FOR_NOW
        while matched := self._matched(kept):
            fresh = [each for each in kept if each not in self.owners]
            breach = self._breach([self.nodes[profile] for profile in matched], fresh, at_ms)
            if breach is Breach.NONE:
                break
            aside = min(aside, breach)
            kept.pop()  # one identifier alone always fits
        is_new = not matched
        if is_new:
            profile, fresh, skipped = self._create(kept, at_ms)
            aside = min(aside, skipped)
        else:
            profile = matched[0]
        node = self.nodes[profile]
        known = node.met.copy()
        gained = [each for loser in matched[1:] for each in self._absorb(profile, loser, at_ms, message_id)]
        self._hold(profile, fresh, at_ms)
        node.met.add(partition)
        holds = tuple(each for each in usable if self.owners.get(each) == profile)
        return Resolution(
            profile=profile,
            losers=tuple(matched[1:]),
            gained=(*gained, *fresh),
            holds=holds,
            newcomers=frozenset(node.met - known),
            is_new=is_new,
            lasts=len(holds) < len(usable) and aside is Breach.FOR_GOOD,
        )

    def split(self, identifier: Identifier, at_ms: int, split_id: str) -> str:
        """Take an identifier out of a profile that has others; gives the new profile that it makes.

        No message can make a profile of the same name: no type of theirs has a control character in it.
        """
        profile = self.owners[identifier]
        node = self.nodes[profile]
        self.created += 1
        kind, value = identifier
        into = str(profile_id("\0split", f"{self.created}:{kind}:{value}"))
        added_ms, size = node.ids.pop(identifier), size_bytes(identifier)
        node.size_bytes -= size
        before = node.apart.pop(identifier, None)
        apart = before._replace(at_ms=at_ms) if before is not None else Apart(at_ms, profile, at_ms)
        node.parted.append((kind, identifier_hash(identifier), into, at_ms, split_id))
        self.nodes[into] = Node(
            self.created, {identifier: added_ms}, met=node.met.copy(), size_bytes=size, apart={identifier: apart},
            origin=(profile, split_id),
        )  # fmt: skip
        self.owners[identifier] = into
        return into

    def apart_of(self, usable: Sequence[Identifier]) -> dict[Identifier, Apart]:
        """Those of a message's identifiers that were ever taken out of a profile. Where it names but one, it makes no
        difference to it: the message is whosever that is."""
        if len(usable) < 2:
            return {}
        owners = ((each, self.owners.get(each)) for each in usable)
        found = ((each, self.nodes[owner].apart.get(each)) for each, owner in owners if owner is not None)
        return {each: apart for each, apart in found if apart is not None}

    def _to_be_asked(self, usable: Sequence[Identifier], at_ms: int, said_ms: int, again: bool) -> Resolution | None:
        """Which profile says whose a message is, since it may have had it, or have passed it on; None where the
        message is only decided here.

        One that was sent straight went to the profile of its strongest identifier, or what that has become part of,
        when nobody of it had left yet. So every copy of it goes there, and by the order of that profile's records it is
        the same one's.
        """
        apart = self.apart_of(usable)
        is_old = any(said_ms <= each.at_ms for each in apart.values())
        is_again = again and any(at_ms <= each.first_ms + HEARD_MS for each in apart.values())
        if not (is_old or is_again) or any(each not in self.owners for each in usable):
            return None
        strongest = usable[0]
        asked = apart[strongest].first if strongest in apart else self.owners[strongest]
        while (heir := self.heirs.get(asked, asked)) != asked:
            asked = heir
        node = self.nodes.get(asked)
        if node is None:
            return None  # erased; or it was not kept which it was
        gone = {hashed for _, hashed, *_ in node.parted}
        named = tuple(each for each in usable if each in node.ids or (each in apart and identifier_hash(each) in gone))
        return Resolution(asked, (), (), named, frozenset(), is_new=False, lasts=False)

    def _linked(self, usable: Sequence[Identifier], said_ms: int) -> list[Identifier]:
        """Those that a message links: what was said before one of them was taken out of a profile links it no more."""
        apart = self.apart_of(usable)
        old = [(left.at_ms, self.owners[each]) for each, left in apart.items() if said_ms <= left.at_ms]
        if not old:
            return list(usable)
        _, first = min(old)
        return [each for each in usable if self.owners.get(each, first) == first]

    def _matched(self, usable: Sequence[Identifier]) -> list[str]:
        """The profiles that hold any of them, the oldest first."""
        owners = self.owners
        profiles = list(dict.fromkeys(owners[each] for each in usable if each in owners))
        if len(profiles) > 1:
            profiles.sort(key=lambda profile: self.nodes[profile].created)
        return profiles

    def _create(self, usable: Sequence[Identifier], at_ms: int) -> tuple[str, list[Identifier], Breach]:
        """A new profile, what fits into it, and how final it is that the rest does not."""
        self.created += 1
        profile = self._new_id(usable[0])
        self.nodes[profile] = Node(self.created)
        if self._breach([], usable, at_ms) is Breach.NONE:
            return profile, list(usable), Breach.FOR_GOOD
        aside = Breach.FOR_GOOD
        fits: list[Identifier] = []
        for each in usable:
            breach = self._breach([], [*fits, each], at_ms)
            if breach is Breach.NONE:
                fits.append(each)
            else:
                aside = min(aside, breach)
        return profile, fits, aside

    def _new_id(self, first: Identifier) -> str:
        """Called by its first identifier; by another name where somebody is, or was, called so."""
        before, profile = 0, str(profile_id(*first, 0))
        while profile in self.spent or profile in self.nodes or profile in self.heirs:
            before += 1
            profile = str(profile_id(*first, before))
        return profile

    def erase(self, profile: str) -> Node:
        """Forget a profile; gives what it was. Its id, and those of all that it had taken in, are spent."""
        node = self.nodes.pop(profile)
        for each in node.ids:
            self.owners.pop(each, None)
        self.spent.update((profile, *(loser for loser, _, _ in node.absorbed)))
        return node

    def _hold(self, profile: str, fresh: Iterable[Identifier], at_ms: int) -> None:
        node = self.nodes[profile]
        for each in fresh:
            node.ids[each] = at_ms
            node.size_bytes += size_bytes(each)
            self.owners[each] = profile

    def _absorb(self, winner: str, loser: str, at_ms: int, message_id: str) -> Iterable[Identifier]:
        """Take in one profile; gives what identified it."""
        node, gone = self.nodes[winner], self.nodes.pop(loser)
        node.ids.update(gone.ids)
        node.size_bytes += gone.size_bytes
        node.met |= gone.met
        node.parted += gone.parted
        node.apart |= gone.apart
        node.absorbed += [*gone.absorbed, (loser, at_ms, message_id[:MERGE_ID_CHARS_MAX])]
        self.owners.update(dict.fromkeys(gone.ids, winner))
        self.heirs[loser] = winner
        return gone.ids

    def _breach(self, nodes: Sequence[Node], fresh: Sequence[Identifier], at_ms: int) -> Breach:
        """Whether profiles may become one that has also got what is new.

        A type of which no single profile would have more than it has is no hindrance: limits that have been lowered
        must not keep profiles from what they have.
        """
        if len(nodes) == 1 and not fresh:
            return Breach.NONE
        rules = self.rules
        if (
            sum(len(node.ids) for node in nodes) + len(fresh) > rules.max_identifiers
            or (len(nodes) > 1 and sum(len(node.absorbed) + 1 for node in nodes) - 1 > rules.max_merges)
            or sum(node.size_bytes for node in nodes) + sum(map(size_bytes, fresh)) > NODE_BYTES_MAX
        ):
            return Breach.FOR_GOOD
        new = _by_type(fresh)
        if not nodes and len(new) == len(fresh):
            return Breach.NONE  # one of each type, as almost always
        # What one profile has of other types than the new ones does not become more.
        held = [self._counts(node, at_ms, new if len(nodes) == 1 else None) for node in nodes]
        found = Breach.NONE
        for kind in {kind for counts in (*held, new) for kind in counts}:
            counts = [each.get(kind, 0) for each in held]
            count = sum(counts) + new.get(kind, 0)
            limit = rules.limit(kind)
            if count > limit.values and count > max(counts, default=0):
                if limit.window_ms is None:
                    return Breach.FOR_GOOD
                found = Breach.FOR_NOW
        return found

    def _counts(self, node: Node, at_ms: int, kinds: Mapping[str, int] | None) -> dict[str, int]:
        """How many of a profile's identifiers count now, by type, of some types or of all."""
        counts = _by_type(node.ids if kinds is None else (each for each in node.ids if each[0] in kinds))
        for kind, count in counts.items():
            window_ms = self.rules.limit(kind).window_ms
            if window_ms is not None:
                old = sum(each[0] == kind and added_ms <= at_ms - window_ms for each, added_ms in node.ids.items())
                counts[kind] = count - old
        return counts


def size_bytes(identifier: Identifier) -> int:
    """About what an identifier takes up where its profile is kept."""
    return len(identifier[0]) + len(identifier[1].encode()) + 16


def _by_type(identifiers: Iterable[Identifier]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for kind, _ in identifiers:
        counts[kind] = counts.get(kind, 0) + 1
    return counts
