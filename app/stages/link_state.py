"""What `link` keeps: the graph, by profile and by identifier.

| key | value | in the changelog |
|---|---|---|
| `g|` profile | a living profile (`app.identity.codec`) | yes, the same bytes; deleted when it is merged away |
| `i|` type:value | the profile that the identifier belongs to | no: made anew from the profiles |
| `r|` profile | the profile that it was merged into | no: made anew from the profiles |
| `x|` regulation | what was made of it (`app.identity.regulations`) | yes, the same bytes |
| `s|` hash of an identifier | the regulation that suppresses it | no: made anew from the regulations |
| `e|` profile | nothing: it was erased, and its id is never given again | no: made anew from the regulations |
| `m|` | src_next, epoch, generation, profiles created, regulations decided | yes, last of each batch |
| `m|rules` | the rules in force, JSON | when they change |
| `k|` split | what became of a split that was asked for (`Answer`, JSON) | yes |
| `d|` day, hash of a message | nothing: it has been decided, and names somebody who was ever taken out | yes |
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from app.identity import codec, regulations
from app.identity.graph import Graph
from app.identity.rules import Identifier, LinkRules
from app.ids import profile_id
from app.profiles.store import META, StateReader
from app.stages.assignments import identifier_key
from app.stages.decided import DECIDED
from app.stages.restoring import StateWriter

NODE = b"g|"
INDEX = b"i|"
REDIRECT = b"r|"
REGULATION = b"x|"
SUPPRESSED = b"s|"
SPENT = b"e|"
RULES_KEY = META + b"rules"
ANSWER = b"k|"


class Answer(msgspec.Struct):
    """What became of a request to take an identifier out of its profile."""

    at: int
    """When it was asked for, ms."""
    profile: str = ""
    """Of which the identifier was taken."""
    into: str = ""
    """The profile that it has made."""
    refused: str = ""
    """Why nothing was done; empty where something was."""


@dataclass(slots=True)
class GraphMeta:
    """The key `m|`.

    Attributes:
        src_next: The first offset of `identity.links` that has not been decided.
        epoch: The id of that topic, in hexadecimal.
        generation: Of the consumer group, when it was written.
        created: How many profiles have been made.
        regulated: How many regulations have been decided, or changed by a later one.
    """

    src_next: int = 0
    epoch: str = ""
    generation: int = 0
    created: int = 0
    regulated: int = 0

    def encode(self) -> bytes:
        return msgspec.msgpack.encode(self)

    @staticmethod
    def decode(data: bytes) -> GraphMeta:
        return msgspec.msgpack.decode(data, type=GraphMeta)


def meta_of(store: StateReader) -> GraphMeta | None:
    """What the graph remembers of itself."""
    held = store.get(META)
    return GraphMeta.decode(held) if held is not None else None


def index_key(identifier: Identifier) -> bytes:
    """The key under which an identifier's profile is found."""
    return INDEX + identifier_key(identifier)


def node_key(profile: str) -> bytes:
    """The key of a living profile."""
    return NODE + profile.encode()


def redirect_key(profile: str) -> bytes:
    """The key of a profile that is part of another."""
    return REDIRECT + profile.encode()


def answer_key(split_id: str) -> bytes:
    """The key of what became of a split."""
    return ANSWER + split_id.encode()


def answer_of(value: bytes | None) -> Answer:
    """What became of a split, from the value of its key."""
    return msgspec.json.decode(value or b"", type=Answer)


def regulation_key(regulation: str) -> bytes:
    """The key of what was made of a regulation."""
    return REGULATION + regulation.encode()


def suppressed_key(hashed: bytes) -> bytes:
    """The key under which the regulation is found that suppresses an identifier."""
    return SUPPRESSED + hashed


def spent_key(profile: str) -> bytes:
    """The key of an erased profile."""
    return SPENT + profile.encode()


def rules_of(state: StateReader) -> LinkRules:
    """The rules in force; the usual ones before any were announced."""
    held = state.get(RULES_KEY)
    return msgspec.json.decode(held, type=LinkRules) if held is not None else LinkRules()


def load(graph: Graph, state: StateReader, identifiers: Iterable[Identifier]) -> None:
    """Have in an empty graph all that there is of some identifiers, and the profiles that hold them."""
    wanted = list(dict.fromkeys(identifiers))
    found = state.get_many([index_key(each) for each in wanted]) if wanted else []
    graph.owners = {each: owner.decode() for each, owner in zip(wanted, found, strict=True) if owner is not None}
    profiles = list(dict.fromkeys(graph.owners.values()))
    nodes = state.get_many([node_key(each) for each in profiles]) if profiles else []
    for profile, data in zip(profiles, nodes, strict=True):
        assert data is not None, f"the index names {profile}, which is not there"
        graph.nodes[profile], _ = codec.decode(data)
    left = (graph.nodes[graph.owners[each]].apart.get(each) for each in wanted if each in graph.owners)
    for first in {apart.first for apart in left if apart is not None and apart.first}:
        _load_heir(graph, state, first)


def _load_heir(graph: Graph, state: StateReader, profile: str) -> None:
    """Have what a profile is now, or what it has become part of; unless that is erased."""
    heir = profile
    while (winner := state.get(redirect_key(heir))) is not None:
        heir = winner.decode()
    graph.heirs[profile] = heir
    if heir not in graph.nodes and (data := state.get(node_key(heir))) is not None:
        graph.nodes[heir], _ = codec.decode(data)


def load_spent(graph: Graph, state: StateReader, identifiers: Iterable[Identifier]) -> None:
    """Have in a graph which ids cannot be given to profiles that some identifiers may make: erased, living or merged.

    An identifier that left the profile which is called by it, and was erased, is nobody's, and that profile is there.
    """
    asked = dict.fromkeys(identifiers, 0)
    while asked:
        profiles = {each: profile_id(*each, before) for each, before in asked.items()}
        taken: set[Identifier] = set()
        for key in (spent_key, node_key, redirect_key):
            held = state.get_many([key(each) for each in profiles.values()])
            taken.update(each for each, found in zip(profiles, held, strict=True) if found is not None)
        graph.spent.update(profiles[each] for each in taken)
        asked = {each: asked[each] + 1 for each in taken}


def apply(store: StateWriter, records: Sequence[tuple[bytes | None, bytes | None]], last_offset: int) -> None:
    """Write a stretch of the changelog into a store, with its last offset; blocks.

    Later records win, where they are not a late write of a worker that had been replaced: of a profile the higher `w`
    wins, and a profile that was merged or erased never comes back, whoever says so.
    """
    writes: dict[bytes, bytes | None] = {}

    def held(key: bytes) -> bytes | None:
        return writes[key] if key in writes else store.get(key)

    def drop(profile: bytes) -> None:
        """A profile goes, with what leads to it, unless that leads to another by now."""
        before = held(NODE + profile)
        if before is not None:
            node, _ = codec.decode(before)
            lead = [index_key(each) for each in node.ids] + [redirect_key(loser) for loser, _, _ in node.absorbed]
            writes.update((key, None) for key in lead if held(key) == profile)
        writes[NODE + profile] = None

    for key, value in records:
        if key is None:
            continue
        if key.startswith(NODE):
            profile = key[len(NODE) :]
            if value is None:
                drop(profile)
                continue
            node, w = codec.decode(value)
            if held(REDIRECT + profile) is not None or held(SPENT + profile) is not None:
                continue
            before = held(key)
            if before is not None and codec.decode(before)[1] > w:
                continue
            writes[key] = value
            writes.update((index_key(each), profile) for each in node.ids)
            writes.update((redirect_key(loser), profile) for loser, _, _ in node.absorbed)
        elif key.startswith(REGULATION) and value is not None:
            decision, regulation = regulations.decode(value), key[len(REGULATION) :]
            before = held(key)
            if before is not None:
                known = regulations.decode(before)
                if known.w > decision.w:
                    continue
                lifted = (suppressed_key(each) for each in known.hashes)
                writes.update((key_, None) for key_ in lifted if held(key_) == regulation)
            writes[key] = value
            writes.update((suppressed_key(each), regulation) for each in decision.hashes)
            for erased in decision.profiles:
                drop(erased.encode())
                writes[redirect_key(erased)] = None
                writes[spent_key(erased)] = b""
        elif key.startswith(DECIDED) or (value is not None and (key == RULES_KEY or key.startswith(ANSWER))):
            writes[key] = value
        elif key == META and value is not None:
            before = held(META)
            if before is None or GraphMeta.decode(value).src_next >= GraphMeta.decode(before).src_next:
                writes[META] = value
    store.write(writes, last_offset)
