"""Regulations as `link` decides them, in the one order of everything that changes the graph.

A suppressed identifier is nobody's to the caches: they are told to forget whose it was, and that it is suppressed, all
of them, for any may meet it. A replay of messages therefore comes to the same end: they are dropped where they come in,
and here, where a cache did not know yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from app.identity import regulations
from app.identity.graph import Graph, Node
from app.identity.regulations import VERSION, Decision, RegulationType, identifier_hash
from app.identity.rules import Identifier
from app.profiles.store import StateReader
from app.stages import assignments, envelope, link_state, links
from app.stages.records import OutRecord, Work
from app.stages.regulations import Decided, record
from app.topics import JSON_HEADERS, Topics, partition_of


@dataclass(frozen=True, slots=True)
class Regulated:
    """What a regulation changed in the graph.

    Attributes:
        profile: The one that it is about; None where nobody is known by the identifier.
        erased: What that profile was, where it is no more.
    """

    profile: str | None
    erased: Node | None


class Regulator:
    """Decides the regulations of one batch.

    Args:
        asked: Identifiers that the batch is about.
        any_before: Whether there was ever a regulation: while there was none, nothing has to be looked up.
    """

    def __init__(
        self, topics: Topics, partitions: int, state: StateReader, graph: Graph, asked: Iterable[Identifier],
        any_before: bool,
    ) -> None:  # fmt: skip
        self._topics = topics
        self._partitions = partitions
        self._state = state
        self._graph = graph
        self._decisions: dict[str, Decision] = {}
        """Those that have changed in the batch."""
        self._suppressed: dict[bytes, str | None] = {}
        """Hash → the regulation in force, of identifiers that were asked for."""
        self._changed: dict[bytes, None] = {}
        self._spent: list[str] = []
        self._any = any_before
        if any_before:
            identifiers = list(dict.fromkeys(asked))
            self._load([identifier_hash(each) for each in identifiers])
            link_state.load_spent(graph, state, identifiers)

    def bars(self, identifiers: Iterable[Identifier]) -> bool:
        """Whether one of a message's identifiers is suppressed."""
        return self._any and any(self._suppressed.get(identifier_hash(each)) is not None for each in identifiers)

    def decide(self, work: Work, asked: links.Regulation, offset: int) -> Regulated | None:
        """Put one into force, and say so to those whom it concerns.

        Returns:
            None where the same has been decided before: somebody was not sure whether it had been asked.
        """
        if self._decision(asked.id) is not None:
            return None
        self._any = True
        graph, kind = self._graph, asked.type
        profile = graph.owners.get(asked.subject)
        node = graph.nodes[profile] if profile is not None else None
        identifiers = list(node.ids) if node is not None else [asked.subject]
        decision = self._decisions[asked.id] = Decision(VERSION, offset, kind, [], [])
        hashes = [identifier_hash(each) for each in identifiers]
        self._load(hashes)
        lifted: list[bytes] = []
        if kind.suppresses:
            self._suppress(work, asked.id, decision, identifiers, hashes)
            if node is not None:
                node.met.clear()  # whoever is told of it again has to be told everything
        elif kind is RegulationType.UNSUPPRESS:
            lifted = self._lift(work, hashes, offset)
        if kind.deletes and profile is not None:
            self._erase(work, asked, decision, profile)
        told = Decided(
            asked.id, kind, asked.at, suppressed=len(decision.hashes), lifted=len(lifted),
            erased=len(identifiers) if decision.profiles else 0, profiles=decision.profiles,
        )  # fmt: skip
        work.emit(self._topics.regulations, 0, record(told))
        return Regulated(profile, node if decision.profiles else None)

    def settle(self, work: Work) -> int:
        """Put what has changed into a batch's changelog and writes; gives about how many bytes that is."""
        size = 0
        for id_, decision in self._decisions.items():
            key, data = link_state.regulation_key(id_), regulations.encode(decision)
            work.writes[key] = data
            work.changelog.append((key, data))
            size += len(key) + len(data)
        for hashed in self._changed:
            regulation = self._suppressed[hashed]
            work.writes[link_state.suppressed_key(hashed)] = regulation.encode() if regulation is not None else None
        for profile in self._spent:
            work.writes[link_state.spent_key(profile)] = b""
            work.writes[link_state.redirect_key(profile)] = None
        return size

    @property
    def count(self) -> int:
        """How many were decided in the batch, or changed by a later one."""
        return len(self._decisions)

    @property
    def changed_bytes(self) -> int:
        """About what the decisions take up in the changelog."""
        return sum(64 + 18 * len(each.hashes) + 30 * len(each.profiles) for each in self._decisions.values())

    def _suppress(
        self, work: Work, id_: str, decision: Decision, identifiers: Sequence[Identifier], hashes: Sequence[bytes]
    ) -> None:
        """An identifier that another regulation suppresses brings with it all that this one does: it is one person."""
        before = dict.fromkeys(each for each in map(self._suppressed.get, hashes) if each is not None)
        everything = dict.fromkeys(hashes)
        for other in before:
            everything.update(dict.fromkeys(self._empty(other, decision.w)))
        decision.hashes = list(everything)
        for hashed in everything:
            self._put(hashed, id_)
        self._tell_all(work, [*map(assignments.forgotten, identifiers), *map(assignments.suppressed, everything)])

    def _lift(self, work: Work, hashes: Sequence[bytes], offset: int) -> list[bytes]:
        """Whoever is suppressed by one of these hashes may come in again, by all of their identifiers."""
        lifted: list[bytes] = []
        for regulation in dict.fromkeys(each for each in map(self._suppressed.get, hashes) if each is not None):
            lifted += self._empty(regulation, offset)
        for hashed in lifted:
            self._put(hashed, None)
        self._tell_all(work, [assignments.lifted(each) for each in lifted])
        return lifted

    def _erase(self, work: Work, asked: links.Regulation, decision: Decision, profile: str) -> None:
        node = self._graph.erase(profile)
        decision.profiles = [profile, *(loser for loser, _, _ in node.absorbed)]
        self._spent += decision.profiles
        value = envelope.erase(asked.at, asked.id)
        for each in decision.profiles:
            key = each.encode()
            work.emit(self._topics.profiles_in, partition_of(key, self._partitions), (key, value, JSON_HEADERS))
        self._tell_all(work, [*map(assignments.forgotten, node.ids), *map(assignments.erased, decision.profiles)])

    def _tell_all(self, work: Work, records: Sequence[OutRecord]) -> None:
        """Every partition: also those that never met the person may be asked about them."""
        for partition in range(self._partitions if records else 0):
            work.later.setdefault((self._topics.identity_assignments, partition), []).extend(records)

    def _empty(self, regulation: str, offset: int) -> list[bytes]:
        """A regulation suppresses nobody any more; gives the hashes of whom it did."""
        decision = self._decision(regulation)
        assert decision is not None, f"the index names {regulation}, which is not there"
        hashes, decision.hashes, decision.w = decision.hashes, [], offset
        self._decisions[regulation] = decision
        return hashes

    def _decision(self, regulation: str) -> Decision | None:
        if regulation in self._decisions:
            return self._decisions[regulation]
        held = self._state.get(link_state.regulation_key(regulation))
        return regulations.decode(held) if held is not None else None

    def _put(self, hashed: bytes, regulation: str | None) -> None:
        self._suppressed[hashed] = regulation
        self._changed[hashed] = None

    def _load(self, hashes: Iterable[bytes]) -> None:
        wanted = [each for each in dict.fromkeys(hashes) if each not in self._suppressed]
        held = self._state.get_many([link_state.suppressed_key(each) for each in wanted]) if wanted else []
        for hashed, regulation in zip(wanted, held, strict=True):
            self._suppressed[hashed] = regulation.decode() if regulation is not None else None
