"""Splits between partitions: each profile is the fold over its own events, whatever overtakes what, however often any
part of it is said, and whether they become one again or not.

HEADWATER_STORIES=1000 pytest tests/stages/test_splitting.py; one seed again: HEADWATER_SEED=17 HEADWATER_STORIES=5
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from random import Random
from typing import Any

import orjson
import pytest

from app.definitions.model import Catalog, Definition
from app.identity.rules import Identifier
from app.ids import profile_id
from app.profiles.belonging import UNTAGGED
from app.profiles.store import SPLIT
from app.stages import envelope, merging
from app.topics import partition_of
from tests.stages.splits import START_MS, TOPICS, Parted, alone, said
from tests.stages.test_merging import CATALOG

STORIES = int(os.environ.get("HEADWATER_STORIES", "60"))
FIRST_SEED = int(os.environ.get("HEADWATER_SEED", "0"))
HOUR_MS = 3_600_000
Told = tuple[int, str, dict[str, Any]]
"""(at, id, fields)."""
BLANK = {"buyer": False, "idle": False}


def split_id(number: int) -> str:
    return f"spl_{number:024x}"


@dataclass(frozen=True)
class Has:
    """A message, and how it came to be a profile's."""

    told: Told
    ids: list[Identifier]
    left: Identifier | None = None
    """With which identifier it left a profile first: it is that one's for good."""

    def named(self) -> list[Identifier]:
        """With which identifiers it goes."""
        return self.ids if self.left is None else [self.left]


class Story:
    """People of two devices each who are merged and parted at random, while messages are late, doubled and on their
    way to whoever had them before."""

    def __init__(self, seed: int) -> None:
        self.random = random = Random(seed)
        self.cluster = Parted(3, seed, drops=0.15)
        self.ids: dict[str, list[Identifier]] = {}
        self.has: dict[str, list[Has]] = {}
        """Profile → the messages that are its."""
        self.was: dict[Identifier, list[str]] = {}
        """Whose it has been, the present one last."""
        self.splits = 0
        self.at_ms = START_MS
        self.names_two = seed % 2 == 1
        """Whether messages may name two identifiers. Others are sent to whoever had them before, now and then."""
        for number in range(random.randint(2, 4)):
            profile = profile_id("user_id", f"u{number}")
            self.ids[profile] = [("user_id", f"u{number}"), ("device", f"d{number}")]
            self.has[profile] = []
            self.was |= {each: [profile] for each in self.ids[profile]}
        for number in range(45):
            self.at_ms += random.choice((1, 60_000, HOUR_MS, 3 * HOUR_MS))
            self._happen(f"m:{number}")
            if random.random() < 0.1 and len(self.ids) > 1:
                self._merge()
            if random.random() < 0.15:
                self._split()
            for _ in range(random.randint(0, 5)):
                self._step()
        self.rest()

    def rest(self) -> None:
        self.cluster.run()
        while under_way := self.cluster.under_way():
            self.cluster.carry_out(self.random.choice(under_way))
            self.cluster.run()

    def _step(self) -> None:
        if waiting := self.cluster.waiting():
            self.cluster.step(self.random.choice(waiting))
        if self.random.random() < 0.3 and (under_way := self.cluster.under_way()):
            # A driver that is killed in the middle, and one that sends all of it twice.
            self.cluster.carry_out(self.random.choice(under_way), halfway=self.random.random() < 0.3)

    def _happen(self, id_: str) -> None:
        random = self.random
        fields = {
            "event": random.choice(("Order", "View")),
            "properties": {"price": random.choice((5, 7.5, "12")), "sku": random.choice("abc")},
        }
        profile = random.choice(sorted(self.ids))
        count = min(random.choice((1, 1, 2)), len(self.ids[profile])) if self.names_two else 1
        ids = random.sample(self.ids[profile], count)
        told = self.at_ms, id_, fields
        self.has[profile].append(Has(told, ids))
        # Somebody who has not heard of what became of them sends to whom they were.
        for _ in range(random.choice((1, 1, 1, 2))):
            self.cluster.tell(self._known_as(profile, ids), self.at_ms, id_, ids, **fields)
        if random.random() < 0.1:
            self.cluster.send(profile, envelope.timer(self.at_ms))

    def _known_as(self, profile: str, ids: list[Identifier]) -> str:
        """A profile that all of a message's identifiers have been, since the last split of one of them at least."""
        if len(ids) == 1 and self.random.random() < 0.4:
            return self.random.choice(self.was[ids[0]])
        return profile

    def _merge(self) -> None:
        winner, loser = self.random.sample(sorted(self.ids), 2)
        self.cluster.merge(winner, loser, self.at_ms)
        if self.random.random() < 0.3:
            self.cluster.merge(winner, loser, self.at_ms)
        for each in self.ids[loser]:
            self.was[each].append(winner)
        self.ids[winner] += self.ids.pop(loser)
        self.has[winner] += self.has.pop(loser)

    def _split(self) -> None:
        several = [profile for profile, ids in sorted(self.ids.items()) if len(ids) > 1]
        if not several:
            return
        profile = self.random.choice(several)
        identifier = self.random.choice(self.ids[profile])
        self.splits += 1
        id_, into = split_id(self.splits), profile_id("\0split", f"{self.splits}")
        for _ in range(self.random.choice((1, 1, 2))):  # the linker was killed, and says it again
            self.cluster.part(profile, into, identifier, self.at_ms, id_)
        self.ids[profile].remove(identifier)
        self.ids[into] = [identifier]
        self.was[identifier].append(into)
        goes = [each for each in self.has[profile] if identifier in each.named()]
        self.has[profile] = [each for each in self.has[profile] if each not in goes]
        self.has[into] = [Has(each.told, each.ids, identifier) for each in goes]


def check(seed: int) -> int:
    """That every profile is the fold over what is its; gives how many splits there were."""
    story = Story(seed)
    cluster = story.cluster
    assert not cluster.log.all_of(TOPICS.events_dead), cluster.log.all_of(TOPICS.events_dead)[0]
    until_ms = story.at_ms + 10 * 24 * HOUR_MS
    for profile in story.ids:
        cluster.send(profile, envelope.timer(until_ms))
    cluster.run()
    for profile, has in story.has.items():
        if not has:
            continue
        held = cluster.profile(profile)
        wanted = alone(sorted((each.told for each in has), key=lambda told: told[0]), until_ms, max(held.identifiers))
        found = said(BLANK | held.emitted)
        assert found == said(BLANK | wanted), f"seed {seed}, {profile}: {found} and not {wanted}"
        assert set(held.identifiers) <= set(story.ids[profile]), f"seed {seed}: {held.identifiers}"
        if held.merging is not None:
            state = held.merging
            assert (state.waiting, state.parked, state.pieces, state.is_parting) == ([], [], {}, False)
    assert all(not list(store.keys(SPLIT)) for store in cluster.stores)
    return story.splits


@pytest.mark.parametrize("block", range(5))
def test_each_is_the_fold_over_its_own_events(block: int) -> None:
    count = max(1, STORIES // 5)
    splits = sum(check(seed) for seed in range(FIRST_SEED + count * block, FIRST_SEED + count * (block + 1)))
    assert splits > count


def two() -> tuple[Parted, str, str]:
    """A person of two devices: three orders and a view of one, two orders of the other."""
    cluster = Parted(2)
    person, into = profile_id("user_id", "ann"), profile_id("\0split", "2")
    for number, device in enumerate(("phone", "phone", "phone", "tablet", "tablet")):
        ids = [("user_id", "ann"), ("device", "phone")] if device == "phone" else [("device", "tablet")]
        cluster.tell(
            person, START_MS + number, f"m:{number}", ids, event="Order", properties={"price": 1, "sku": device}
        )
    cluster.run()
    return cluster, person, into


TABLET = ("device", "tablet")


def payloads(cluster: Parted, before: set[str]) -> list[tuple[str, str, Any, str, str]]:
    """(profile, key, value, addressee, origin) of what was sent to the crm since then."""
    return [
        (
            body["profile"], body["computation"]["key"],
            body["payload"]["traits"][body["computation"]["key"]],
            body["payload"].get("userId") or body["payload"].get("anonymousId"), body["origin"],
        )
        for id_, body in cluster.sent("crm").items()
        if id_ not in before
    ]  # fmt: skip


def test_what_comes_while_it_is_under_way_waits_and_is_told_apart() -> None:
    cluster, person, into = two()
    cluster.part(person, into, TABLET, START_MS + 10, split_id(1))
    cluster.tell(person, START_MS + 11, "m:5", [("device", "phone")], event="Order")
    cluster.tell(person, START_MS + 12, "m:6", [TABLET], event="Order")
    cluster.tell(into, START_MS + 13, "m:7", [TABLET], event="Order")
    cluster.run()
    held = cluster.profile(person).merging
    assert held is not None
    assert [b'"m:5"' in each.value for each in held.parked] == [True], "what is the other's has gone there"
    assert cluster.profile(person).emitted["orders"] == 5
    (split,) = cluster.under_way()
    cluster.carry_out(split)
    cluster.run()
    assert cluster.profile(person).emitted["orders"] == 4
    assert cluster.profile(into).emitted["orders"] == 4
    assert cluster.profile(into).identifiers == [TABLET]
    assert TABLET not in cluster.profile(person).identifiers
    values = [(each["value"], each["origin"]) for each in cluster.changes() if each["key"] == "orders"]
    before = [(number, "live") for number in range(1, 6)]
    assert sorted(values) == sorted([*before, (3, "split"), (4, "live"), (2, "split"), (3, "live"), (4, "live")])


def test_who_was_told_of_an_entry_hears_of_the_exit() -> None:
    cluster, person, into = two()
    cluster.tell(person, START_MS + 6, "m:view", [("user_id", "bo")], event="View")
    cluster.run()
    assert cluster.profile(person).emitted["buyer"] is True
    before = set(cluster.sent("crm"))
    bo = ("user_id", "bo")
    cluster.part(person, into, bo, START_MS + 10, split_id(1))
    cluster.run()
    cluster.carry_out(cluster.under_way()[0])
    cluster.run()
    found = payloads(cluster, before)
    assert (into, "buyer", False, "bo", "split") in found
    assert (into, "orders", None, "bo", "split") in found
    assert not [each for each in found if each[0] == person], "nothing is another for the rest"
    quiet = [each["payload"]["traits"]["orders"] for each in cluster.sent("quiet").values() if each["profile"] == into]
    assert quiet == [None], "an exit is sent on connections that resend nothing, too"


def test_an_event_of_who_left_is_passed_on_for_ever_and_comes_back_with_them() -> None:
    cluster, person, into = two()
    cluster.part(person, into, TABLET, START_MS + 10, split_id(1))
    cluster.run()
    cluster.carry_out(cluster.under_way()[0])
    cluster.run()
    cluster.tell(person, START_MS + HOUR_MS, "m:late", [TABLET, ("device", "phone")], event="Order")
    cluster.tell(person, START_MS + HOUR_MS, "m:late", [TABLET, ("device", "phone")], event="Order")
    cluster.run()
    assert cluster.profile(into).emitted["orders"] == 3
    assert cluster.profile(into).identifiers == [TABLET], "the other's identifier is not its"
    cluster.merge(person, into, START_MS + 2 * HOUR_MS)
    cluster.tell(person, START_MS + 3 * HOUR_MS, "m:after", [TABLET], event="Order")
    cluster.settle()
    assert cluster.profile(person).emitted["orders"] == 7
    held = cluster.profile(person).merging
    assert held is not None
    assert held.parted == {}


def test_a_merge_waits_for_the_split_before_it() -> None:
    cluster, person, into = two()
    other = profile_id("user_id", "cleo")
    cluster.tell(other, START_MS, "m:cleo", [("user_id", "cleo")], event="Order")
    cluster.part(person, into, TABLET, START_MS + 10, split_id(1))
    cluster.merge(other, person, START_MS + 11)
    cluster.tell(person, START_MS + 12, "m:on_its_way", [("user_id", "ann")], event="Order")
    cluster.run()
    assert cluster.profile(other).emitted["orders"] == 1
    cluster.carry_out(cluster.under_way()[0])
    cluster.run()
    assert cluster.profile(other).emitted["orders"] == 1 + 3 + 1
    assert cluster.profile(into).emitted["orders"] == 2


def test_what_the_log_no_longer_has_stays_with_the_profile() -> None:
    cluster = Parted(1)
    person, into = profile_id("user_id", "ann"), profile_id("\0split", "1")
    for number in range(4):  # long ago, two of each
        ids = [TABLET] if number % 2 else [("user_id", "ann")]
        cluster.tell(person, START_MS + number, f"m:{number}", ids, event="Order", properties={"price": 1})
    later = START_MS + 72 * HOUR_MS
    for number in range(4, 10):
        ids = [TABLET] if number % 2 else [("user_id", "ann")]
        cluster.tell(person, later + number, f"m:{number}", ids, event="Order", properties={"price": 1})
    cluster.run()
    assert (cluster.profile(person).emitted["orders"], cluster.profile(person).emitted["spent"]) == (10, 6)
    cluster.part(person, into, TABLET, later + 20, split_id(1))
    cluster.run()
    made = cluster.split(cluster.under_way()[0], cut=5)
    cluster.run()
    left, taken = cluster.profile(person).emitted, cluster.profile(into).emitted
    assert (left["orders"], taken["orders"]) == (7, 3), "what was before the log stays, and nothing is in both"
    assert (left["spent"], left["recent"]) == (3, 3), "of a day the log has everything"
    assert (taken["spent"], taken["recent"]) == (3, 3)
    assert made.folded.kept


def test_where_the_log_tells_of_what_was_never_counted_a_cell_stays_whole() -> None:
    cluster = Parted(1, catalog=Catalog())
    person, into = profile_id("user_id", "ann"), profile_id("\0split", "1")
    cluster.tell(person, START_MS, "m:0", [TABLET], event="Order")
    cluster.log.append(TOPICS.profiles_in, 0, None, envelope.catalog(CATALOG), START_MS)
    for number in range(1, 4):
        cluster.tell(person, START_MS + number, f"m:{number}", [TABLET, ("user_id", "ann")][:number], event="Order")
    cluster.part(person, into, ("user_id", "ann"), START_MS + 20, split_id(1))
    cluster.run()
    made = cluster.split(cluster.under_way()[0], cut=1)
    cluster.run()
    assert (made.folded.left_events, made.folded.taken_events) == (2, 2)
    orders = [cluster.profile(each).emitted.get("orders") or 0 for each in (person, into)]
    assert orders == [3, 0], "the log is read by definitions that were not in force when it begins"


def test_pieces_of_two_attempts_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "PIECE_BYTES", 16)
    cluster, person, into = two()
    cluster.part(person, into, TABLET, START_MS + 10, split_id(1))
    cluster.run()
    (split,) = cluster.under_way()
    start = [cluster.log.end(TOPICS.profiles_in, p) for p in range(2)]
    cluster.carry_out(split, cut=4)
    # The first attempt got as far as a piece of each; the log was cut less then.
    for p in range(2):
        records = cluster.log.partitions[TOPICS.profiles_in, p]
        firsts: dict[bytes | None, Any] = {}
        for record in records[start[p] :]:
            firsts.setdefault(record.key, record)
        records[start[p] :] = []
        for record in firsts.values():
            cluster.log.append(TOPICS.profiles_in, p, record.key, record.value, START_MS)
    cluster.run()
    cluster.carry_out(split)
    cluster.run()
    assert (cluster.profile(person).emitted["orders"], cluster.profile(into).emitted["orders"]) == (3, 2)


OF_ACCOUNTS = Definition("bought", "trait", "event('Order').count()", "ACCOUNTS")


def buyers(*numbers: int, group: str = "") -> Parted:
    """A person with a phone, whose the even orders are, and a tablet, while accounts count orders."""
    cluster = Parted(2, catalog=Catalog((*CATALOG.definitions, OF_ACCOUNTS), CATALOG.subscriptions))
    person = profile_id("user_id", "ann")
    for number in numbers:
        ids = [TABLET] if number % 2 else [("device", "phone")]
        cluster.tell(person, START_MS + number, f"m:{number}", ids, event="Order")
    if group:
        message = orjson.dumps({"type": "group", "groupId": group})
        cluster.send(person, envelope.event(START_MS + 9, "m:g", "group", None, [TABLET], message))
    cluster.run()
    return cluster


@pytest.mark.parametrize("group", ["", "acme"])
def test_what_is_kept_for_accounts_is_told_apart_and_who_has_called_belongs(group: str) -> None:
    cluster, person, into = buyers(*range(5), group=group), profile_id("user_id", "ann"), profile_id("\0split", "1")
    cluster.part(person, into, TABLET, START_MS + 10, split_id(1))
    cluster.run()
    cluster.carry_out(cluster.under_way()[0])
    cluster.run()
    left, taken = cluster.profile(person).belonging, cluster.profile(into).belonging
    alone_left, alone_taken = (buyers(*numbers).profile(person).belonging for numbers in ((0, 2, 4), (1, 3)))
    assert alone_left is not None
    assert alone_taken is not None
    assert left is not None
    assert taken is not None
    assert (taken.cells, list(taken.accounts)) == (alone_taken.cells, [group] if group else [])
    assert (left.cells, left.accounts) == (alone_left.cells, {})


def test_what_the_log_no_longer_has_of_accounts_stays_with_the_profile_and_nothing_is_in_both() -> None:
    cluster, person, into = buyers(0, 1, group="acme"), profile_id("user_id", "ann"), profile_id("\0split", "1")
    cut = max(cluster.log.end(TOPICS.profiles_in, each) for each in range(2))
    message = orjson.dumps({"type": "group", "groupId": "bits"})
    cluster.send(person, envelope.event(START_MS + 10, "m:h", "group", None, [TABLET], message))
    cluster.tell(person, START_MS + 11, "m:2", [TABLET], event="Order")
    cluster.part(person, into, TABLET, START_MS + 12, split_id(1))
    cluster.run()
    cluster.carry_out(cluster.under_way()[0], cut=cut)
    cluster.run()
    left, taken = cluster.profile(person).belonging, cluster.profile(into).belonging
    assert left is not None
    assert taken is not None
    assert ([*left.accounts], [*taken.accounts]) == (["acme", "bits"], ["bits"])
    assert [[*each.cells[UNTAGGED].values()] for each in (left, taken)] == [[2], [1]]


def test_the_two_are_in_different_partitions() -> None:
    _, person, into = two()
    assert partition_of(person.encode(), 2) != partition_of(into.encode(), 2), "else the tests above tell less"
