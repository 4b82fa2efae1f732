"""What must hold when a stream with identity is at rest."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from app.identity.rules import IdentityRules
from app.profiles import codec
from app.stages import envelope
from tests.equality import changes_of, check_sequences, deduplicated
from tests.identity.checks import check as check_identity
from tests.oracle.language import Definition, TraitRef, Where, define, references, walk
from tests.oracle.timeline import Timeline
from tests.oracle.values import same
from tests.scenarios import Scenario, expected
from tests.simulation.checks import check_store_of
from tests.simulation.people import Kind, Received, people
from tests.simulation.remains import TOPICS, Remains, Sent
from tests.simulation.world import Faults, World

PARTITIONS = 2


def run_people(seed: int, faults: Faults, kind: Kind, *, twins: bool = False) -> Counter[str]:
    """One scenario of people under one schedule, compared with the oracle; the seed names both.

    Args:
        twins: Whether messages of different people sometimes have one id.

    Returns:
        What it came to, to be added up.
    """
    who = people(seed, PARTITIONS, kind, twins=twins, in_order=not faults.crash)
    made = who.made
    world = World(
        seed, made.catalog, who.arrivals, made.until_ms, partitions=PARTITIONS, faults=faults, rules=IdentityRules()
    )
    try:
        world.restored = check_store_of
        world.run()
        counts = check_people(world.remains(), made, kind, world.now_ms)
        counts["recounts"] = world.recounts
        for host in world.computers:
            check_store_of(host)
    except Exception as error:
        error.add_note(
            f"replay with: SEED={seed} python -m pytest tests/simulation -k one_seed_of_people   ({kind}, {faults}, "
            f"{'with' if twins else 'without'} twins)"
        )
        raise
    return counts


def check_people(left: Remains, made: Scenario, kind: Kind, until_ms: int) -> Counter[str]:
    """Identity, and everybody's changes and final answers, compared with the oracle.

    Args:
        until_ms: Up to here time has passed for everybody.

    Returns:
        What it came to, to be added up.
    """
    counts = check_identity(left, in_order=not left.resolve_crashes)
    received = [(record.timestamp, orjson.loads(record.value or b"")) for record in left.received]
    records = received if kind == "together" else _as_decided(left, received)
    timeline = expected(made.definitions, records, until_ms)
    return counts + _Checked(left, made, timeline, kind).run()


def _as_decided(left: Remains, received: Received) -> Received:
    """Messages in the order in which they were taken: requests as `link` got them, the others in between.

    Where one went straight, what is known of its identifiers had been decided before, and that never turns.
    """
    by_copy = {(f"m:{message['messageId']}", at_ms): message for at_ms, message in received}
    ordered: Received = []
    newest_ms = 0
    for key in left.taken:
        newest_ms = max(newest_ms, key[1])
        ordered.append((newest_ms, by_copy[key]))
    return ordered


class _Checked:
    """What a stream has left behind, beside its timeline."""

    def __init__(self, left: Remains, made: Scenario, timeline: Timeline, kind: Kind) -> None:
        self.left = left
        self.made = made
        self.timeline = timeline
        self.kind = kind
        self.counts: Counter[str] = Counter()
        self.profiles = self._named()
        self.overtaken = self._overtaken()

    def run(self) -> Counter[str]:
        """Finals of everybody; sequences of whom no merge has touched, if their messages came in order."""
        touched = self.timeline.touched_by_merges()
        in_sequence = set()
        if self.kind == "together":
            in_sequence = {
                profile for subject, profile in self.profiles.items()
                if subject not in touched and profile not in self.overtaken
            }  # fmt: skip
            if not self.left.resolve_crashes:
                late = {self.profiles[each] for each in self.profiles if each not in touched} & self.overtaken
                assert not late, f"messages of one partition came to their profile out of order: {late}"
        bodies = deduplicated(self.left.changes(), repeats_allowed=bool(self.left.crashes))
        wanted = {
            (self.profiles[subject], key): [(change.at_ms, change.value) for change in changes]
            for subject, by_key in self.timeline.changes.items()
            for key, changes in by_key.items()
            if self.profiles.get(subject) in in_sequence
        }
        observed = changes_of(bodies.values())
        check_sequences({place: each for place, each in observed.items() if place[0] in in_sequence}, wanted)
        self._check_finals(in_sequence)
        self.counts.update(
            scenarios=1, subjects=len(self.profiles), in_sequence=len(in_sequence), sequences=len(wanted),
            touched=len(touched), passed=len(self.overtaken), crashes=self.left.crashes,
        )  # fmt: skip
        return self.counts

    def _named(self) -> dict[str, str]:
        """The oracle's living subject → our profile, by its identifiers, of which both have the same."""
        graph = self.left.identity()
        named: dict[str, str] = {}
        for subject, identifiers in self.timeline.identifiers.items():
            held = {tuple(each.split(":", 1)) for each in identifiers}
            owners = {graph.owners.get(each) for each in held}  # type: ignore[call-overload]
            assert len(owners) == 1, f"{subject} with {identifiers} is {owners}"
            (profile,) = owners
            assert profile is not None
            assert graph.nodes[profile].ids.keys() == held, (
                f"{subject} has {identifiers}, {profile} {graph.nodes[profile]}"
            )
            named[subject] = profile
        assert sorted(named.values()) == sorted(graph.nodes)
        return named

    def _overtaken(self) -> set[str]:
        """Profiles to which messages came in another order than they had been received in.

        A message that is sent twice is passed, too, where its second copy comes first.
        """
        first: dict[bytes | None, int] = {}
        earliest: dict[Sent, int] = {}
        for each in self.left.received:
            copy = f"m:{orjson.loads(each.value or b'')['messageId']}", each.timestamp
            earliest[copy] = first.setdefault(each.value, each.timestamp)
        found: set[str] = set()
        seen: set[tuple[bytes, str]] = set()
        newest: dict[bytes, int] = defaultdict(int)
        for partition in range(self.left.partitions):
            for record in self.left.log.partitions[TOPICS.profiles_in, partition]:
                body, key = envelope.decode(record.value), record.key
                if type(body) is not envelope.Event or key is None:
                    continue
                if (key, body.id) not in seen and (body.at < newest[key] or body.at > earliest[body.id, body.at]):
                    found.add(key.decode())
                seen.add((key, body.id))
                newest[key] = max(newest[key], body.at)
        return found

    def _check_finals(self, strict: set[str]) -> None:
        """Every living profile's answers, and that those that were merged have none.

        Where the order of steps was another, a trait may have had a value for a moment, and be 0 or null now where it
        would be absent, or the other way; what refers to such a trait may tell the difference and is left out.
        """
        definitions = [define(each.key, each.kind, each.scope, each.query) for each in self.made.definitions]
        readers = {each.key: {found.key for found in references(each.body)} for each in definitions}
        audiences = [each.key for each in self.made.definitions if each.kind == "audience"]
        subjects = {profile: subject for subject, profile in self.profiles.items()}
        stored = {key.decode(): codec.decode(data) for key, data in self.left.profiles.items()}
        living = {profile for profile, held in stored.items() if held.merging is None or not held.merging.redirect}
        assert living == set(subjects), living ^ set(subjects)
        for profile in stored.keys() - living:
            assert not stored[profile].emitted
            assert not stored[profile].cells
        for profile in living:
            held = stored[profile].merging
            assert held is None or not (held.waiting or held.parked or held.pieces), f"{profile} waits: {held}"
            found = dict.fromkeys(audiences, False) | stored[profile].emitted
            wanted = self.timeline.finals[subjects[profile]]
            alike = {each.key for each in definitions if profile in self.overtaken and _reads_traits_then(each)}
            for key in _in_order(readers):
                ours, theirs = found.get(key), wanted.get(key)
                if key in alike or readers[key] & alike:
                    alike.add(key)
                    self.counts["left_out"] += 1
                elif profile in strict or not (_is_nothing(ours) and _is_nothing(theirs)):
                    assert (key in found) == (key in wanted), f"{profile} {key}: {theirs} expected, stored {ours}"
                    assert same(ours, theirs), f"{profile} {key}: {theirs} expected, stored {ours}"
                    self.counts["finals"] += 1
                elif not same(ours, theirs):
                    alike.add(key)


def _reads_traits_then(definition: Definition) -> bool:
    """Whether it matters which traits somebody had when an event came."""
    conditions = (node.condition for node in walk(definition.body) if isinstance(node, Where))
    return any(isinstance(each, TraitRef) for condition in conditions for each in walk(condition))


def _is_nothing(value: Any) -> bool:
    return value is None or value == [] or (value == 0 and value is not False)


def _in_order(readers: Mapping[str, Iterable[str]]) -> list[str]:
    """Keys, each behind those that it refers to."""
    ordered: dict[str, None] = {}

    def visit(key: str) -> None:
        for each in readers[key]:
            if each in readers and each not in ordered:
                visit(each)
        ordered[key] = None

    for key in readers:
        visit(key)
    return list(ordered)
