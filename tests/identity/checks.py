"""What must hold when a stream with identity is at rest."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import pairwise

import orjson

from app.identity.graph import Graph
from app.identity.identifiers import with_previous
from app.identity.rules import Identifier, LinkRules
from app.stages import envelope, links
from app.stages.assignments import ANSWERED, verdict_key
from app.stages.link_state import node_key
from app.topics import partition_of
from tests.simulation.remains import TOPICS, Remains, Sent


@dataclass(frozen=True)
class Copy:
    """One copy of a message in `profiles.in`."""

    profile: str
    at: int
    """Its place in the partition."""
    holds: frozenset[Identifier]


class Seen:
    """What there is in `profiles.in`."""

    def __init__(self, left: Remains) -> None:
        self.copies: dict[Sent, list[Copy]] = defaultdict(list)
        self.winner: dict[str, str] = {}
        self.merged_at: dict[str, int] = {}
        self.merged_by: dict[str, str] = {}
        self.absorbed: set[tuple[str, str]] = set()
        for partition in range(left.partitions):
            for record in left.log.partitions[TOPICS.profiles_in, partition]:
                if record.key is None:
                    continue  # the definitions
                assert partition_of(record.key, left.partitions) == partition
                if record.by == TOPICS.profiles_in:
                    continue  # of a profile that has been merged: it only passes things on
                profile, body = record.key.decode(), envelope.decode(record.value)
                match body:
                    case envelope.Event():
                        self.copies[body.id, body.at].append(Copy(profile, record.offset, frozenset(body.ids)))
                    case envelope.Merge():
                        assert self.winner.setdefault(profile, body.winner) == body.winner, "merged into two profiles"
                        self.merged_at.setdefault(profile, record.offset)
                        self.merged_by.setdefault(profile, body.id)
                    case envelope.Absorb():
                        self.absorbed.add((body.loser, profile))

    def living(self, profile: str) -> str:
        passed: set[str] = set()
        while profile in self.winner:
            assert profile not in passed, f"a loop of redirects: {passed}"
            passed.add(profile)
            profile = self.winner[profile]
        return profile


def check(left: Remains, *, in_order: bool) -> Counter[str]:
    """Everything; gives how often what came out."""
    seen, graph = Seen(left), left.identity()
    assert seen.absorbed == set(seen.winner.items())
    _check_graph(left, graph, seen)
    _check_assignments(left, graph, seen)
    _check_copies(left, graph, seen)
    overtaken = _check_order(left, seen) if in_order else 0
    requests = left.log.end(TOPICS.identity_links, 0)
    return Counter(
        profiles=len(graph.nodes), merges=len(seen.winner), requests=requests, kills=left.crashes,
        copies=sum(map(len, seen.copies.values())), messages=len(seen.copies), overtaken=overtaken,
        crossing=_crossing(seen), straight=_straight(left, seen),
    )  # fmt: skip


def _check_graph(left: Remains, graph: Graph, seen: Seen) -> None:
    """The store is the fold of the requests; an identifier has one profile; no limit is broken; the merged are gone."""
    folded = Graph(LinkRules())
    for record in left.log.partitions[TOPICS.identity_links, 0]:
        body = links.decode(record.value)
        if type(body) is links.RulesChange:
            folded.rules = body.rules
            continue
        assert type(body) is links.Link
        usable = body.ids
        if body.previous is not None:
            kind = "user_id" if ("user_id", body.previous) in folded.owners else "anonymous_id"
            usable = with_previous(usable, (kind, body.previous), folded.rules)
        folded.resolve(usable, body.at, body.id, body.partition)
    assert graph.nodes == folded.nodes
    assert graph.owners == folded.owners
    link_rules = [each.link for each in left.rules]
    store = left.graph.data
    assert {key for key in store if key.startswith(b"g|")} == {node_key(profile) for profile in graph.nodes}
    redirects = {key[2:].decode(): value.decode() for key, value in store.items() if key.startswith(b"r|")}
    assert redirects.keys() == seen.winner.keys()
    assert all(seen.living(loser) == seen.living(winner) for loser, winner in redirects.items())
    held = [each for node in graph.nodes.values() for each in node.ids]
    assert len(held) == len(set(held)) == len(graph.owners)
    for profile, node in graph.nodes.items():
        assert profile not in seen.winner
        counts = Counter(kind for kind, _ in node.ids)
        for kind, count in counts.items():
            assert count <= max(rules.limit(kind).values for rules in link_rules), (profile, node)
        assert len(node.absorbed) <= max(rules.max_merges for rules in link_rules)
        assert {loser for loser, _, _ in node.absorbed} == {one for one in seen.winner if seen.living(one) == profile}
    assert {seen.living(loser) for loser in seen.winner} <= graph.nodes.keys()


def _check_assignments(left: Remains, graph: Graph, seen: Seen) -> None:
    """Each partition knows all of the profiles that it has met, and nothing of others that is not true."""
    requests = [links.decode(record.value) for record in left.log.partitions[TOPICS.identity_links, 0]]
    verdicts = {
        verdict_key(body.ids, rules.link.version()): body.ids
        for body in requests if type(body) is links.Link for rules in left.rules
    }  # fmt: skip
    for partition in range(left.partitions):
        known: dict[Identifier, str] = {}
        for record in left.log.partitions[TOPICS.identity_assignments, partition]:
            assert record.key is not None
            value = orjson.loads(record.value or b"")
            if record.key == ANSWERED:
                continue
            if record.key.startswith(b"\x1f"):
                holds = [verdicts[record.key][place] for place in value["holds"]]
                assert {graph.owners[each] for each in holds} == {seen.living(value["profile"])}
                continue
            kind, _, text = record.key.decode().partition(":")
            known[kind, text] = value["profile"]
        for identifier, profile in known.items():
            assert seen.living(profile) == graph.owners[identifier], (partition, identifier)
        for profile, node in graph.nodes.items():
            if partition in node.met:
                assert all(known.get(each) == profile for each in node.ids), (partition, profile)
        held = left.known[partition]
        for identifier, profile in known.items():
            value = held.get(f"{identifier[0]}:{identifier[1]}".encode())
            assert value is not None
            assert orjson.loads(value)["profile"] == profile


def _check_copies(left: Remains, graph: Graph, seen: Seen) -> None:
    """Every message is there, and all its copies are in the end one profile's."""
    for partition in range(left.partitions):
        dead = {
            orjson.loads(each.value or b"")["offset"] for each in left.log.partitions[TOPICS.events_dead, partition]
        }
        for record in left.log.partitions[TOPICS.events_raw, partition]:
            message = orjson.loads(record.value or b"")
            copies = seen.copies.get((f"m:{message['messageId']}", record.timestamp), [])
            assert bool(copies) != (record.offset in dead), (partition, record.offset)
            if message["type"] == "alias" and "userId" not in message:
                continue  # what its previousId is may turn out otherwise at a repeat; it carries nothing
            owners = {seen.living(copy.profile) for copy in copies}
            assert len(owners) <= 1, (message, copies)
            for copy in copies:
                assert {graph.owners[each] for each in copy.holds} == owners, (message, copy)


def _check_order(left: Remains, seen: Seen) -> int:
    """Messages of a partition that share an identifier are first seen in their order, at one profile.

    Returns:
        How many came to a winner while one before them had come to the loser behind its merge: it was on its way when
        somebody else's message merged that profile.
    """
    overtaken = 0
    for partition in range(left.partitions):
        by_identifier: dict[Identifier, dict[Sent, Copy]] = defaultdict(dict)
        for record in left.log.partitions[TOPICS.events_raw, partition]:
            sent = f"m:{orjson.loads(record.value or b'')['messageId']}", record.timestamp
            copies = seen.copies.get(sent)
            if copies:
                first = min(copies, key=lambda copy: copy.at)
                for each in first.holds:
                    by_identifier[each].setdefault(sent, first)
        for followed in by_identifier.values():
            for (before_id, before), (after_id, after) in pairwise(followed.items()):
                if before.profile == after.profile:
                    assert before.at < after.at, f"{after_id} has overtaken {before_id} at {after.profile}"
                elif before.profile in seen.winner and before.at > seen.merged_at[before.profile]:
                    merge = seen.merged_by[before.profile]
                    assert merge != after_id[0], f"{after_id} merged {before.profile} before {before_id} was there"
                    overtaken += 1
    return overtaken


def _crossing(seen: Seen) -> int:
    """How many copies came to a profile that had been merged away by then."""
    return sum(
        copy.profile in seen.winner and copy.at > seen.merged_at[copy.profile]
        for copies in seen.copies.values() for copy in copies
    )  # fmt: skip


def _straight(left: Remains, seen: Seen) -> int:
    """How many messages `link` never saw."""
    linked = {(body.id, body.at) for record in left.log.partitions[TOPICS.identity_links, 0]
              if type(body := links.decode(record.value)) is links.Link}  # fmt: skip
    return len(seen.copies.keys() - linked)
