"""From events and merges to a list: whoever is in the audience is wanted on it, and nobody else."""

from __future__ import annotations

import os
import random

from app.activation.destinations import DESTINATIONS
from app.activation.lists.draft import Draft
from app.activation.lists.membership import tell, told_of
from app.activation.lists.overview import Ledger
from app.activation.payload import parse_payload
from app.definitions.model import Catalog, Definition, Subscription
from tests.activation.lists.memory import MemoryTable
from tests.stages.test_merging import HOUR_MS, START_MS, TOPICS, Cluster, name

CATALOG = Catalog(
    definitions=(
        Definition(key="buyer", kind="audience", query="event('Order').within(12 hours).count() >= 2"),
        Definition(key="idle", kind="audience", query="NOT event('View').within(5 hours).count() >= 1"),
    ),
    subscriptions=tuple(
        Subscription(definition=key, kind="audience", destination="ads", lists=True) for key in ("buyer", "idle")
    ),
)
STORIES = int(os.environ.get("HEADWATER_STORIES", "150"))


def story(seed: int) -> tuple[Cluster, list[str]]:
    """Events of a few people who turn out to be one another; gives the profiles that are left."""
    chance = random.Random(seed)
    cluster = Cluster(3, seed, drops=0.15, catalog=CATALOG)
    people = [name(number) for number in range(chance.randint(2, 5))]
    at_ms = START_MS
    for person in people:
        cluster.event(person, at_ms, f"first-{person}", event="Order")
    for number in range(chance.randint(10, 40)):
        at_ms += chance.randrange(3 * HOUR_MS)
        if len(people) > 1 and chance.random() < 0.12:
            winner, loser = chance.sample(people, 2)
            people.remove(loser)
            cluster.merge(winner, loser, at_ms)
        else:
            cluster.event(chance.choice(people), at_ms, f"m-{number}", event=chance.choice(["Order", "Order", "View"]))
        if chance.random() < 0.3:
            cluster.run()
    cluster.run()
    return cluster, people


def wanted_on(cluster: Cluster, seed: int) -> dict[str, set[str]]:
    """Audience → e-mail addresses, by the table that the payloads make. Batches are cut anywhere, some come twice."""
    chance = random.Random(seed)
    member = DESTINATIONS["klaviyo_lists"].configure({"api_key": "k"}).lists
    assert member is not None
    records = cluster.log.read(TOPICS.destination("ads"), 0, 0, 1_000_000)
    table, at = MemoryTable(), 0
    ledger = Ledger()
    while at < len(records):
        batch = records[at : at + chance.randint(1, 9)]
        draft = Draft(table)
        for record in batch:
            payload = parse_payload(record.value)
            tell(draft, told_of(payload, member.member(payload)), START_MS)
        table.write(draft.writes)
        ledger.take(draft.changelog)
        at += len(batch) if chance.random() < 0.8 else 0
    return {
        kept.audience: {entry.key for entry in ledger.entries(list_) if entry.by}
        for list_, kept in ledger.lists.items()
    }


def test_the_list_wants_who_is_in_the_audience() -> None:
    first = int(os.environ.get("SEED", random.randrange(2**32)))
    print(f"seed {first}")
    merged = members = 0
    for seed in range(first, first + (1 if "SEED" in os.environ else STORIES)):
        cluster, people = story(seed)
        held = {person: cluster.profile(person) for person in people}
        found = wanted_on(cluster, seed)
        for audience in ("buyer", "idle"):
            inside = [profile for profile in held.values() if profile.emitted.get(audience)]
            addresses = {value for profile in inside for kind, value in profile.identifiers if kind == "email"}
            assert found.get(audience, set()) == addresses, f"SEED={seed} {audience}"
            members += len(addresses)
        merged += sum(profile.merging is not None for profile in held.values())
    print(f"{members} members, {merged} profiles that others became part of")
    if "SEED" not in os.environ:
        assert members > 50
        assert merged > 20


def test_all_payloads_of_a_list_lie_in_one_partition() -> None:
    cluster, _ = story(3)
    assert cluster.log.read(TOPICS.destination("ads"), 0, 0, 1_000_000)
    assert not [one for p in (1, 2) for one in cluster.log.read(TOPICS.destination("ads"), p, 0, 10)]
