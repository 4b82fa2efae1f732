"""Stories in which people use several names, belong to accounts, are split and erased, with messages and crashes in
between, and what must hold when they are at rest.

Every text of a person begins with a canary and the person's number (`tests.simulation.regulated`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import orjson

from app.definitions.model import Catalog, Definition, Subscription
from app.identity.graph import Graph
from app.identity.regulations import RegulationType
from app.identity.rules import IdentityRules
from app.profiles import codec
from app.profiles.state import Profile
from app.profiles.store import WAITING
from app.stages import envelope, links
from app.stages.receipts import State, receipts
from tests.oracle.values import same
from tests.scenarios import expected
from tests.simulation import regulated
from tests.simulation.checks import check_store_of
from tests.simulation.hosts import TOPICS, ComputeHost
from tests.simulation.regulated import CANARY, DAY_MS, HOUR_MS, PARTITIONS, START_MS, names_of
from tests.simulation.world import Arrival, Faults, World
from tests.stages.splits import under_way

OF_USERS = regulated.CATALOG.definitions
OF_ACCOUNTS = (
    Definition("orders_of_all", "trait", "event('Order').count()", "ACCOUNTS"),
    Definition("note_of_all", "trait", "event('Order').last(property('note'))", "ACCOUNTS"),
    Definition("any_buyer", "audience", "ANY (event('Order').count() >= 2)", "ACCOUNTS"),
    Definition("all_recent", "audience", "ALL (event('Order').within(5 hours).count() >= 1)", "ACCOUNTS"),
    Definition("none_recent", "audience", "NONE (event('Order').within(5 hours).count() >= 1)", "ACCOUNTS"),
    Definition("busy", "audience", "event('Order').within(5 hours).count() >= 3", "ACCOUNTS"),
)
ASKING = (
    Definition("pro_orders", "trait", "event('Order').where(trait('plan') = 'pro').count()", "ACCOUNTS"),
    Definition(
        "free_orders", "trait", "event('Order').where(trait('plan') != 'pro').last(property('note'))", "ACCOUNTS"
    ),
)
"""What an account was when an event came."""
_WORDS = "trait('note_of_all') = property('note')"
OF_WORDS = (
    Definition("news", "trait", f"event('Order').where(NOT {_WORDS}).count()", "ACCOUNTS"),
    Definition("old", "trait", f"event('Order').where(event('Order').where({_WORDS}).count() = 0).count()", "ACCOUNTS"),
)
"""The same of what somebody has written: it must not stay."""
IN_BUSY = Definition("in_busy", "audience", "trait('busy') = true", include_anonymous_users=True)
CATALOG = Catalog(
    definitions=(*OF_USERS, *OF_ACCOUNTS, *ASKING, *OF_WORDS, IN_BUSY),
    subscriptions=(
        *regulated.CATALOG.subscriptions,
        Subscription(definition="any_buyer", kind="audience", destination="lake", calls=("identify", "group")),
        Subscription(definition="note_of_all", kind="trait", destination="lake"),
    ),
    destination_types=(("lake", "kafka"),),
)
ACCOUNTS = ("acme", "bits", "coop")


@dataclass(frozen=True)
class Story:
    arrivals: list[Arrival]
    until_ms: int
    parted: frozenset[int]
    """Of whom splits are asked for, by number."""
    regulated: frozenset[int]
    """Of whom regulations are."""
    joined: Mapping[str, frozenset[int]]
    """By account: who ever says that it belongs to it."""


def story(random: Random) -> Story:
    """Messages of a few people by all of their names, group calls, regulations and splits."""
    people = random.randint(3, 6)
    arrivals: list[Arrival] = []
    parted, told, joined = set[int](), set[int](), defaultdict[str, set[int]](set)
    fates = [
        "plain",
        *random.choices(("plain", "plain", "regulated", "regulated", "parted", "both", "both"), k=people - 1),
    ]
    at_ms = START_MS
    for number in range(random.choice((40, 80))):
        at_ms += random.choice((1, 2, 1_000, HOUR_MS // 2))
        who = random.choice([each for each in range(people) if fates[each] != "gone"])
        if fates[who] in ("regulated", "both") and random.random() < 0.15:
            kind = random.choice((*RegulationType, RegulationType.SUPPRESS_WITH_DELETE, RegulationType.DELETE_ONLY))
            if kind == "SUPPRESS_WITH_DELETE" and random.random() < 0.7:
                fates[who] = "gone"
            value = links.regulation(f"reg_{number}", kind, at_ms, random.choice(names_of(who)))
            arrivals += [Arrival(at_ms, -1, value)] * random.choice((1, 1, 2))
            told.add(who)
            continue
        if fates[who] in ("parted", "both") and random.random() < 0.15:
            arrivals.append(Arrival(at_ms, -1, links.split(f"spl_{number:024x}", random.choice(names_of(who)))))
            parted.add(who)
            continue
        message = regulated.message(random, who, number)
        if message["type"] != "alias" and random.random() < 0.25:
            # The oracle knows nothing of splits: whoever may be parted leaves it the other accounts.
            account = random.choice(ACCOUNTS if fates[who] in ("plain", "regulated") else ACCOUNTS[:1])
            ids = {key: message[key] for key in ("userId", "anonymousId") if key in message}
            traits = {"plan": "free" if number % 3 else "pro"}
            message = {"messageId": f"m{number}", "type": "group", "groupId": account, "traits": traits, **ids}
            joined[account].add(who)
        arrivals.append(Arrival(at_ms, random.randrange(PARTITIONS), orjson.dumps(message)))
    return Story(
        arrivals, at_ms + random.choice((DAY_MS, 9 * DAY_MS)), frozenset(parted), frozenset(told),
        {account: frozenset(who) for account, who in joined.items()},
    )  # fmt: skip


class StoryWorld(World):
    """Arrivals of no partition are requests of an operator."""

    def _arrive(self) -> None:
        if self.arrivals[0].partition >= 0:
            super()._arrive()
            return
        self.log.append(TOPICS.identity_links, 0, None, self.arrivals.pop(0).value, self.now_ms)


def profiles_of(hosts: Sequence[ComputeHost]) -> dict[str, Profile]:
    return {key.decode(): codec.decode(data) for host in hosts for key, data in host.store.profiles()}


def run_story(seed: int, faults: Faults) -> Counter[str]:
    """One story, and everything that must hold; gives how often what came out."""
    made = story(Random(seed))
    world = StoryWorld(
        seed, CATALOG, list(made.arrivals), made.until_ms, partitions=PARTITIONS, faults=faults, rules=IdentityRules()
    )
    try:
        world.restored = check_store_of
        world.run()
        return _Checked(world, made).run()
    except Exception as error:
        error.add_note(f"replay with: SEED={seed} python -m pytest tests/simulation -k one_story   ({faults})")
        raise


class _Checked:
    """A story at rest."""

    def __init__(self, world: StoryWorld, made: Story) -> None:
        self.world = world
        self.made = made
        self.graph: Graph = world.remains().identity()
        self.users = {
            key: held for key, held in profiles_of(world.computers).items()
            if not held.erased and (held.merging is None or not held.merging.redirect)
        }  # fmt: skip
        self.accounts = profiles_of(world.accounts)
        self.living = {_person(text) for _, text in self.graph.owners}
        self.plain = {who for who in range(6) if who not in made.parted | made.regulated}

    def run(self) -> Counter[str]:
        world = self.world
        assert not world.log.all_of(TOPICS.events_dead)
        assert self.users.keys() == {each for each in self.graph.nodes if each in self.users}, "somebody is unknown"
        found = receipts(record.value for record in world.log.all_of(TOPICS.regulations))
        assert {each.state for each in found.values()} <= {State.FINISHED}
        waiting = {profile: held.merging.waiting for profile, held in self.users.items() if held.merging is not None}
        assert not any(waiting.values()), f"somebody waits for ever: {waiting}"
        self._check_canaries()
        self._check_members()
        self._check_accounts()
        self._check_deletes()
        self._check_counts()
        compared = self._check_oracle()
        for host in (*world.computers, *world.accounts):
            check_store_of(host)
            assert not list(host.store.keys(WAITING))
            assert not list(under_way(host.store))
        return Counter(
            regulations=len(found), erased=sum(held.erased for held in profiles_of(world.computers).values()),
            splits=sum(bool(node.origin) for node in self.graph.nodes.values()), kills=world.crashes,
            parted_members=sum(self._is_parted_member(profile) for profile in self.graph.nodes),
            members=sum(held.members.count for held in self.accounts.values() if held.members is not None),
            gone=sum(1 for who in self.made.regulated if who not in self.living), **compared,
        )  # fmt: skip

    def _is_parted_member(self, profile: str) -> bool:
        held = self.users.get(profile)
        return bool(self.graph.nodes[profile].origin and held and held.belonging and held.belonging.accounts)

    def _check_canaries(self) -> None:
        """Nothing is left of whom nobody knows any more."""
        names = {text.encode() for _, text in self.graph.owners}
        people = {b"%d" % who for who in self.living}
        for place, text in (*regulated.stored_texts(self.world), *self._of_accounts()):
            for found in CANARY.finditer(text):
                is_name = any(word in found[0] for word in (b"user", b"mail", b"device"))
                # Of whom a split was asked for, a message that names two goes with one of them as it is.
                is_known = found[0] in names or (int(found[1]) in self.made.parted and found[1] in people)
                assert is_known if is_name else found[1] in people, f"{found[0]!r} is left in {place}"

    def _of_accounts(self) -> Iterator[tuple[str, bytes]]:
        for host in self.world.accounts:
            for key, value in host.store.data.items():
                yield f"the store of {host.topic}-{host.partition}", key + b" " + value
            records = self.world.log.partitions[TOPICS.accounts_changelog, host.partition]
            for key, newest in {record.key: record.value for record in records}.items():
                if newest is not None:
                    yield f"{TOPICS.accounts_changelog}-{host.partition}", (key or b"") + b" " + newest

    def _check_members(self) -> None:
        """Who is in an account knows it, and what it is; nobody else is, and nobody is still being asked or told."""
        for id_, account in self.accounts.items():
            members = account.members
            assert members is not None
            assert (members.telling, members.fresh, members.unanswered) == ([], None, 0), id_
            inside = {user for user, (_, letters, _) in members.users.items() if letters is not None}
            assert len(inside) == members.count
            assert inside == {
                user
                for user, held in self.users.items()
                if held.belonging is not None and id_ in held.belonging.accounts
            }, id_
        for user, held in self.users.items():
            of = held.belonging.accounts if held.belonging is not None else ()
            busy = any(self.accounts[each].emitted.get("busy", False) for each in of)
            assert held.emitted.get("in_busy", False) is busy, f"{user} of {[*of]}"

    def _check_accounts(self) -> None:
        """An account is what its users are together, whatever they were before."""
        for id_, account in self.accounts.items():
            users = [
                held for held in self.users.values()
                if held.belonging is not None and id_ in held.belonging.accounts
            ]  # fmt: skip
            orders = [held.emitted.get("orders") or 0 for held in users]
            recent = [bool(held.emitted.get("recent")) for held in users]
            notes = [held.emitted["note"] for held in users if held.emitted.get("note")]
            wanted = {
                "orders_of_all": sum(orders), "any_buyer": any(each >= 2 for each in orders),
                "all_recent": bool(users) and all(recent), "none_recent": not any(recent),
                "note_of_all": max(notes, key=lambda note: int(note.rpartition("note")[2]), default=None),
            }  # fmt: skip
            found = {key: account.emitted.get(key) for key in wanted}
            wrong = {key: (found[key], wanted[key]) for key in wanted if (found[key] or None) != (wanted[key] or None)}
            assert not wrong, f"{id_} of {len(users)}: {wrong}"

    def _check_deletes(self) -> None:
        """Behind a delete nobody is told anything more of that profile."""
        told: dict[str, list[str]] = defaultdict(list)
        for record in self.world.log.all_of(TOPICS.destination("lake")):
            body = orjson.loads(record.value or b"")
            told[body["profile"]].append(body["payload"]["type"])
        for profile, types in told.items():
            assert "delete" not in types or types[-1] == "delete", (profile, types)

    def _check_counts(self) -> None:
        """Of whom no regulation has touched, every order is counted once, by whichever of his profiles, however often
        he was split, and whoever was killed in between."""
        sent: dict[int, set[str]] = defaultdict(set)
        for record in self.world.received:
            message = orjson.loads(record.value or b"")
            if message.get("event") == "Order":
                sent[_person_of(message)].add(message["messageId"])
        counted: Counter[int] = Counter()
        for profile, node in self.graph.nodes.items():
            who = {_person(text) for _, text in node.ids}
            assert len(who) == 1, f"{profile} is {who}"
            (only,) = who
            if profile in self.users:
                counted[only] += self.users[profile].emitted.get("orders") or 0
        for who, orders in sent.items():
            if who not in self.made.regulated:
                found = counted[who]
                assert found == len(orders), f"of {who} {found} orders are counted instead of {len(orders)}"

    def _check_oracle(self) -> Counter[str]:
        """Whom no split and no regulation has touched, and accounts of none but these, and of whom nothing is left."""
        received = [(record.timestamp, orjson.loads(record.value or b"")) for record in self.world.received]
        plain = [(at_ms, message) for at_ms, message in received if _person_of(message) in self.plain]
        timeline = expected((*OF_USERS, *OF_ACCOUNTS, *ASKING), plain, self.world.now_ms)
        overtaken = self._overtaken()
        compared: Counter[str] = Counter(finals=0, of_accounts=0, without_the_gone=0, asking=0)
        for subject, identifiers in timeline.identifiers.items():
            owners = {self.graph.owners[_pair(each)] for each in identifiers}
            assert len(owners) == 1, f"{identifiers} are {owners}"
            self._compare(self.users[owners.pop()], OF_USERS, timeline.finals[subject], subject)
            compared["finals"] += len(OF_USERS)
        for account, who in self.made.joined.items():
            gone = {each for each in who if each in self.made.regulated and each not in self.living}
            if who - gone <= self.plain and who - gone:
                wanted = timeline.finals[f"account:{account}"]
                self._compare(self.accounts[account], OF_ACCOUNTS, wanted, account)
                compared["of_accounts"] += len(OF_ACCOUNTS)
                # Whoever is gone has had a part in what the account was; who was overtaken, at another instant.
                if not gone and not who & overtaken:
                    self._compare(self.accounts[account], ASKING, wanted, account)
                    compared["asking"] += len(ASKING)
                compared["without_the_gone"] += bool(gone)
        return compared

    def _overtaken(self) -> set[int]:
        """People to whose profiles a message came behind something later: it counts at that instant."""
        found: set[int] = set()
        newest_ms: dict[bytes | None, int] = defaultdict(int)
        for record in self.world.log.all_of(TOPICS.profiles_in):
            body = envelope.decode(record.value)
            at_ms = body.due if isinstance(body, envelope.Timer) else getattr(body, "at", 0)
            if isinstance(body, envelope.Event) and at_ms < newest_ms[record.key]:
                found.add(_person_of(orjson.loads(memoryview(body.message))))
            newest_ms[record.key] = max(newest_ms[record.key], at_ms)
        return found

    def _compare(self, held: Profile, of: Sequence[Definition], wanted: Mapping[str, Any], name: str) -> None:
        for definition in of:
            ours, theirs = held.emitted.get(definition.key), wanted.get(definition.key)
            assert same(ours or None, theirs or None), f"{name} {definition.key}: {theirs} expected, stored {ours}"


def _pair(identifier: str) -> tuple[str, str]:
    kind, _, value = identifier.partition(":")
    return kind, value


def _person(text: str) -> int:
    found = CANARY.match(text.encode())
    assert found is not None
    return int(found[1])


def _person_of(message: Mapping[str, Any]) -> int:
    return _person(message.get("userId") or message["anonymousId"])
