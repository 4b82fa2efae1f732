"""People of whom some are erased or kept out while everything goes on, and what must hold of them when it is at rest.

Every text of a person begins with a canary and the person's number, so that it can be looked for in what is stored.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from random import Random
from typing import Any

import orjson

from app.definitions.model import Catalog, Definition, Subscription
from app.identity.graph import Graph
from app.identity.identifiers import with_previous
from app.identity.regulations import RegulationType, identifier_hash
from app.identity.rules import Identifier, IdentityRules, LinkRules
from app.profiles import codec
from app.profiles.state import Profile
from app.stages import envelope, link_state, links
from app.stages.receipts import State, receipts
from tests.simulation.checks import check_store_of
from tests.simulation.hosts import TOPICS
from tests.simulation.world import Arrival, Faults, World

START_MS = 1_767_225_600_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
PARTITIONS = 2
CANARY = re.compile(rb"canary-(\d+)-[a-z]*\d*")
CATALOG = Catalog(
    definitions=(
        Definition(key="orders", kind="trait", query="event('Order').count()"),
        Definition(key="note", kind="trait", query="event('Order').last(property('note'))"),
        Definition(key="buyer", kind="audience", query="event('Order').count() >= 2", include_anonymous_users=True),
        Definition(key="recent", kind="audience", query="event('Order').within(5 hours).count() >= 1",
                   include_anonymous_users=True),
    ),
    subscriptions=(
        Subscription(definition="buyer", kind="audience", destination="lake"),
        Subscription(definition="note", kind="trait", destination="lake"),
    ),
    destination_types=(("lake", "kafka"),),
)  # fmt: skip


class RegulatedWorld(World):
    """Arrivals of no partition are regulations."""

    def _arrive(self) -> None:
        if self.arrivals[0].partition >= 0:
            super()._arrive()
            return
        self.log.append(TOPICS.identity_links, 0, None, self.arrivals.pop(0).value, self.now_ms)


def arrivals(random: Random, partitions: int) -> list[Arrival]:
    """Messages of a few people by all of their names, and regulations of them in between."""
    people = random.randint(2, 5)
    made: list[Arrival] = []
    at_ms = START_MS
    for number in range(random.choice((40, 80))):
        at_ms += random.choice((1, 2, 1_000, HOUR_MS // 2))
        who = random.randrange(people)
        if random.random() < 0.12:
            kind = random.choice(list(RegulationType))
            value = links.regulation(f"reg_{number}", kind, at_ms, random.choice(names_of(who)))
            made += [Arrival(at_ms, -1, value)] * random.choice((1, 1, 2))
            continue
        raw = orjson.dumps(message(random, who, number))
        made.append(Arrival(at_ms, random.randrange(partitions), raw))
    return made


def names_of(who: int) -> list[Identifier]:
    devices = [("anonymous_id", f"canary-{who}-device{number}") for number in range(3)]
    return [("user_id", f"canary-{who}-user"), ("email", f"canary-{who}-mail"), *devices]


def message(random: Random, who: int, number: int) -> dict[str, Any]:
    user, mail, *devices = names_of(who)
    made: dict[str, Any] = {"messageId": f"m{number}", "type": "track", "event": "Order"}
    made["properties"] = {"note": f"canary-{who}-note{number}"}
    if random.random() < 0.25:
        made = {"messageId": f"m{number}", "type": "identify", "traits": {"name": f"canary-{who}-name"}}
    if random.random() < 0.6:
        made["anonymousId"] = random.choice(devices)[1]
    if random.random() < 0.4 or "anonymousId" not in made:
        made["userId"] = user[1]
    if random.random() < 0.3:
        made.setdefault("traits", {})["email"] = mail[1]
        made.setdefault("context", {})["traits"] = {"email": mail[1]}
    if "userId" in made and random.random() < 0.1:
        made = {"messageId": f"m{number}", "type": "alias", "userId": user[1], "previousId": random.choice(devices)[1]}
    return made


class Model:
    """What `identity.links` amounts to, told one after the other, without any cleverness."""

    def __init__(self, world: World) -> None:
        self.graph = Graph(LinkRules())
        self.groups: list[set[Identifier]] = []
        self.decided: set[str] = set()
        self.erased: list[str] = []
        self.people: list[list[str]] = []
        """The erased profiles by person: the living one first, then those that it had taken in."""
        for record in world.log.partitions[TOPICS.identity_links, 0]:
            match links.decode(record.value):
                case links.RulesChange(rules):
                    self.graph.rules = rules
                case links.Regulation() as asked if asked.id not in self.decided:
                    self.decided.add(asked.id)
                    self._regulate(asked)
                case links.Link() as asked:
                    self._link(asked)

    @property
    def suppressed(self) -> set[Identifier]:
        return {each for group in self.groups for each in group}

    def _regulate(self, asked: links.Regulation) -> None:
        profile = self.graph.owners.get(asked.subject)
        names = {asked.subject} if profile is None else set(self.graph.nodes[profile].ids)
        touching = [group for group in self.groups if group & names]
        if asked.type in ("SUPPRESS_ONLY", "SUPPRESS_WITH_DELETE"):
            self.groups = [each for each in self.groups if each not in touching] + [names.union(*touching)]
        elif asked.type == "UNSUPPRESS":
            self.groups = [each for each in self.groups if each not in touching]
        if asked.type in ("DELETE_ONLY", "SUPPRESS_WITH_DELETE") and profile is not None:
            person = [profile, *(loser for loser, _, _ in self.graph.nodes[profile].absorbed)]
            self.people.append(person)
            self.erased += person
            self.graph.erase(profile)
        if asked.type in ("SUPPRESS_ONLY", "SUPPRESS_WITH_DELETE") and profile in self.graph.nodes:
            self.graph.nodes[profile].met.clear()

    def _link(self, asked: links.Link) -> None:
        touched = set(asked.ids)
        if asked.previous is not None:
            touched |= {("user_id", asked.previous), ("anonymous_id", asked.previous)}
        if touched & self.suppressed:
            return
        usable: list[Identifier] = list(asked.ids)
        if asked.previous is not None:
            kind = "user_id" if ("user_id", asked.previous) in self.graph.owners else "anonymous_id"
            usable = with_previous(usable, (kind, asked.previous), self.graph.rules)
        self.graph.resolve(usable, asked.at, asked.id, asked.partition)


def run_regulated(seed: int, faults: Faults) -> Counter[str]:
    """One world, and everything that must hold; gives how often what came out."""
    random = Random(seed)
    arriving = arrivals(random, PARTITIONS)
    until_ms = arriving[-1].at_ms + random.choice((DAY_MS, 9 * DAY_MS))
    world = RegulatedWorld(
        seed, CATALOG, arriving, until_ms, partitions=PARTITIONS, faults=faults, rules=IdentityRules()
    )
    try:
        world.restored = check_store_of
        world.run()
        return check(world)
    except Exception as error:
        error.add_note(f"replay with: SEED={seed} python -m pytest tests/simulation -k one_regulated_seed   ({faults})")
        raise


def check(world: World) -> Counter[str]:
    model, graph = Model(world), world.remains().identity()
    assert graph.nodes == model.graph.nodes
    assert graph.owners == model.graph.owners
    assert len(model.erased) == len(set(model.erased)), "an id was given twice"
    store = world.linkers[0].store.data
    kept = {key[len(link_state.SUPPRESSED) :] for key in store if key.startswith(link_state.SUPPRESSED)}
    assert kept == {identifier_hash(each) for each in model.suppressed}
    check_caches(world, model)
    check_canaries(world, set(graph.owners))
    stored = {key.decode(): codec.decode(data) for host in world.computers for key, data in host.store.profiles()}
    check_erased(world, model, stored)
    counted = check_counts(world, graph, stored)
    found = receipts(record.value for record in world.log.all_of(TOPICS.regulations))
    assert found.keys() == model.decided
    assert {each.state for each in found.values()} <= {State.FINISHED}, {
        each.id: each for each in found.values() if each.state is not State.FINISHED
    }
    for host in world.computers:
        check_store_of(host)
    return Counter(
        regulations=len(model.decided), erased=len(model.erased), suppressed=len(model.suppressed), counted=counted,
        marks=sum(held.erased for held in stored.values()), kills=world.crashes,
        dropped=_dropped(world, model),
    )  # fmt: skip


def check_caches(world: World, model: Model) -> None:
    """Each cache knows every suppression, and nobody who is suppressed or no more."""
    for feeder in world.feeders:
        keys = {key for key in feeder.store.data if key[:1] == b"\x1e" and len(key) > 1}
        assert keys == {b"\x1e" + identifier_hash(each) for each in model.suppressed}
        known = [key.decode() for key in feeder.store.data if key[:1] > b"\x1f" and not key.startswith(b"m|")]
        names = {":".join(each) for each in model.graph.owners.keys() - model.suppressed}
        assert set(known) <= names, set(known) - names


def check_canaries(world: World, living: set[Identifier]) -> None:
    """In stores, and in the newest values of compacted topics, is nothing of whom nobody knows any more."""
    names = {text.encode() for _, text in living}
    people = {_person(text.encode()) for _, text in living}
    for place, text in stored_texts(world):
        for found in CANARY.finditer(text):
            is_name = any(word in found[0] for word in (b"user", b"mail", b"device"))
            assert found[0] in names if is_name else found[1] in people, f"{found[0]!r} is left in {place}"


def _person(text: bytes) -> bytes:
    found = CANARY.match(text)
    assert found is not None
    return found[1]


def stored_texts(world: World) -> Iterator[tuple[str, bytes]]:
    """(where, bytes), values decompressed where they are packed."""
    for host in (*world.feeders, *world.linkers, *world.computers):
        for key, value in host.store.data.items():
            yield f"the store of {host.topic}-{host.partition}", key + b" " + value
    for (topic, partition), records in world.log.partitions.items():
        if topic in (TOPICS.profiles_changelog, TOPICS.identity_changelog, TOPICS.identity_assignments):
            newest = {record.key: record.value for record in records}
            for key, held in newest.items():
                if held is not None:
                    yield f"{topic}-{partition}", (key or b"") + b" " + held
    for record in world.log.all_of(TOPICS.regulations):
        yield TOPICS.regulations, (record.key or b"") + (record.value or b"")


def check_erased(world: World, model: Model, stored: Mapping[str, Profile]) -> None:
    """Nothing is left of them, all that they told is taken back, and the deletes come last."""
    last: dict[tuple[str, str], Any] = {}
    for record in world.log.all_of(TOPICS.changes):
        body = orjson.loads(record.value or b"")
        last[body["profile"], body["key"]] = body["value"]
    told: dict[str, list[str]] = defaultdict(list)
    for record in world.log.all_of(TOPICS.destination("lake")):
        body = orjson.loads(record.value or b"")
        told[body["profile"]].append(body["payload"]["type"])
    for profile in model.erased:
        held = stored.get(profile)
        if held is not None and held.merging is not None and held.merging.redirect:
            continue
        assert held is None or held.erased, f"{profile} is there"
    for living, *lost in model.people:
        for (profile, key), value in last.items():
            if profile == living:
                assert value is None or value is False, f"{profile} has told {key}={value} and not taken it back"
                assert told[profile][-1] == "delete", (profile, told[profile])
            elif profile in lost and key == "orders" and value:
                assert (living, key) in last, f"nobody has taken back what {profile} had told before it was part of it"


def check_counts(world: World, graph: Graph, stored: Mapping[str, Profile]) -> int:
    """A living profile has counted every message once that came to it, or to those that it took in."""
    messages: dict[str, set[str]] = defaultdict(set)
    for record in world.log.all_of(TOPICS.profiles_in):
        if record.key is None:
            continue
        body = envelope.decode(record.value)
        if type(body) is envelope.Event and body.name == "Order":
            messages[record.key.decode()].add(body.id)
    for profile, node in graph.nodes.items():
        wanted = len(messages[profile].union(*(messages[loser] for loser, _, _ in node.absorbed)))
        held = stored.get(profile)
        counted = held.emitted.get("orders", 0) if held is not None else 0
        assert counted == wanted, f"{profile}: {counted} instead of {wanted}"
    return sum(len(each) for each in messages.values())


def _dropped(world: World, model: Model) -> int:
    came = {
        body.id for record in world.log.all_of(TOPICS.profiles_in)
        if record.key is not None and type(body := envelope.decode(record.value)) is envelope.Event
    }  # fmt: skip
    sent = {f"m:{orjson.loads(record.value or b'')['messageId']}" for record in world.received}
    return len(sent - came)
