"""Requests become decisions, and whom they concern is told, in an order that nothing can overtake."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from app.identity.graph import NODE_BYTES_MAX
from app.identity.rules import Identifier, Limit, LinkRules
from app.ids import profile_id
from app.kafka.producer import BATCH_BYTES_MAX
from app.stages import assignments, link, link_state, links
from app.stages.link import LinkStage
from app.stages.overlay import Overlay
from app.stages.records import Work
from app.topics import Topics, partition_of
from tests.simulation.log import Record
from tests.simulation.store import SimStore

TOPICS = Topics("t.")
PARTITIONS = 4
EPOCH = "ab" * 16
AT_MS = 1_767_225_600_000


def request(
    *ids: Identifier, offset: int = 0, partition: int = 0, previous: str | None = None, id_: str = "m:x"
) -> bytes:
    kind = "alias" if previous is not None else "track"
    return links.link(partition, offset, AT_MS, id_, kind, "Seen", ids, previous, b'{"a":1.50}')


def user(value: str) -> Identifier:
    return "user_id", value


def anonymous(value: str) -> Identifier:
    return "anonymous_id", value


class Rig:
    """Writes each batch at once."""

    at_ms = AT_MS
    """When the requests come."""

    def __init__(self) -> None:
        self.store = SimStore()
        self.overlay = Overlay(self.store)
        self.stage = LinkStage(TOPICS, PARTITIONS, self.overlay, epoch=EPOCH)
        self.offset = 0
        self.changelog: list[tuple[bytes, bytes | None]] = []

    def take(self, *values: bytes | None) -> Work:
        records = [Record(self.offset + at, None, value, self.at_ms) for at, value in enumerate(values)]
        work = self.stage.process(records)
        self.offset = work.src_next
        self.commit(work)
        return work

    def commit(self, work: Work) -> None:
        if work.changelog:
            self.changelog += work.changelog
            self.store.write(work.writes, len(self.changelog) - 1)
            self.overlay.pop()


def profiles_in(work: Work) -> list[tuple[str, dict[str, Any]]]:
    """(profile, record), in the order of each partition."""
    found: list[tuple[str, dict[str, Any]]] = []
    for (topic, partition), records in work.outputs.items():
        assert topic == TOPICS.profiles_in
        for key, value, _ in records:
            assert key is not None
            assert partition_of(key, PARTITIONS) == partition
            found.append((key.decode(), orjson.loads(value or b"")))
    return found


def told(work: Work) -> dict[int, list[tuple[bytes | None, Any]]]:
    assert all(topic == TOPICS.identity_assignments for topic, _ in work.later)
    return {
        partition: [(key, orjson.loads(value or b"")) for key, value, _ in records]
        for (_, partition), records in work.later.items()
    }


def test_a_new_profile() -> None:
    rig = Rig()
    work = rig.take(request(user("ann"), anonymous("a"), offset=7, partition=3))
    ann = profile_id("user_id", "ann")
    assert profiles_in(work) == [
        (ann, {"kind": "event", "at": AT_MS, "id": "m:x", "type": "track", "name": "Seen",
               "ids": [["user_id", "ann"], ["anonymous_id", "a"]], "message": {"a": 1.5}}),
    ]  # fmt: skip
    assert b'"message":{"a":1.50}' in (next(iter(work.outputs.values()))[0][1] or b"")
    assert told(work) == {
        3: [(b"user_id:ann", {"profile": ann}), (b"anonymous_id:a", {"profile": ann}), (b"\0answered", {"upto": 7})]
    }
    assert [key for key, _ in work.changelog] == [b"g|" + ann.encode(), b"m|"]
    assert work.writes.keys() == {b"g|" + ann.encode(), b"i|user_id:ann", b"i|anonymous_id:a", b"m|"}
    assert (work.src_next, work.facts.created, work.facts.newest_at_ms) == (1, 1, AT_MS)


def test_a_merge_comes_before_the_message_that_made_it() -> None:
    rig = Rig()
    rig.take(request(anonymous("a"), partition=1), request(user("u"), partition=2))
    winner, loser = profile_id("anonymous_id", "a"), profile_id("user_id", "u")
    work = rig.take(request(user("u"), anonymous("a"), offset=9, partition=3))
    at_winner = [body for profile, body in profiles_in(work) if profile == winner]
    at_loser = [body for profile, body in profiles_in(work) if profile == loser]
    assert at_winner[0] == {"kind": "absorb", "at": AT_MS, "id": "m:x", "loser": loser}
    assert (at_winner[1]["kind"], at_winner[1]["ids"]) == ("event", [["user_id", "u"], ["anonymous_id", "a"]])
    assert at_loser == [{"kind": "merge", "at": AT_MS, "id": "m:x", "winner": winner}]
    mine = {"profile": winner}
    both = [(b"anonymous_id:a", mine), (b"user_id:u", mine)]
    # Partition 1 knows the winner; 2 knew the loser only, and 3 neither.
    assert told(work) == {1: both[1:], 2: both, 3: [*both, (b"\0answered", {"upto": 9})]}
    assert (b"g|" + loser.encode(), None) in work.changelog
    assert work.writes[b"r|" + loser.encode()] == winner.encode()
    assert (work.facts.merged, work.facts.created) == (1, 0)


def test_what_is_left_aside_for_good_is_a_verdict_to_who_asked() -> None:
    rig = Rig()
    rig.take(request(user("ann"), anonymous("a"), partition=1))
    work = rig.take(request(user("bob"), anonymous("a"), partition=2, offset=4))
    bob = profile_id("user_id", "bob")
    ((profile, body),) = profiles_in(work)
    assert (profile, body["ids"]) == (bob, [["user_id", "bob"]])
    key = assignments.verdict_key([user("bob"), anonymous("a")], LinkRules().version())
    assert told(work) == {
        2: [(b"user_id:bob", {"profile": bob}), (key, {"profile": bob, "holds": [0]}),
            (b"\0answered", {"upto": 4})]
    }  # fmt: skip
    assert work.facts.aside == 1


def test_what_is_left_aside_for_now_is_not() -> None:
    rig = Rig()
    rig.take(links.rules(LinkRules(limits={"anonymous_id": Limit(1, "week")})))
    rig.take(request(user("ann"), anonymous("a")))
    work = rig.take(request(user("ann"), anonymous("b"), offset=5))
    assert told(work) == {0: [(b"\0answered", {"upto": 5})]}
    assert work.facts.aside == 1


def test_an_answer_comes_once_and_last_in_a_batch() -> None:
    rig = Rig()
    values = [request(user("ann"), anonymous(str(at)), offset=at, partition=at % 2) for at in (4, 5, 6, 7)]
    found = told(rig.take(*values))
    assert {partition: [key for key, _ in records].count(b"\0answered") for partition, records in found.items()} == {
        0: 1, 1: 1,
    }  # fmt: skip
    assert {partition: records[-1] for partition, records in found.items()} == {
        0: (b"\0answered", {"upto": 6}), 1: (b"\0answered", {"upto": 7}),
    }  # fmt: skip


def test_an_alias_s_previous_id_is_a_user_id_if_it_is_known_as_one() -> None:
    rig = Rig()
    rig.take(request(user("old")))
    work = rig.take(request(user("new"), previous="old"), request(user("new"), previous="other"))
    first, second = (body["ids"] for _, body in profiles_in(work) if body["kind"] == "event")
    # Two user ids are one too many; an anonymous id is none.
    assert first == [["user_id", "new"]]
    assert second == [["user_id", "new"], ["anonymous_id", "other"]]


def test_rules_are_in_force_from_their_record_on() -> None:
    rig = Rig()
    two = LinkRules(limits={"user_id": Limit(2)})
    work = rig.take(
        request(user("a"), anonymous("x")), request(user("b"), anonymous("x")), links.rules(two),
        request(user("c"), anonymous("x")),
    )  # fmt: skip
    assert (b"m|rules", orjson.dumps(orjson.loads(links.rules(two))["rules"], option=orjson.OPT_SORT_KEYS)) in [
        (key, orjson.dumps(orjson.loads(value or b""), option=orjson.OPT_SORT_KEYS))
        for key, value in work.changelog
        if key == b"m|rules"
    ]
    assert work.facts.aside == 1
    again = LinkStage(TOPICS, PARTITIONS, rig.overlay, epoch=EPOCH)
    found = again.process([Record(rig.offset, None, request(user("d"), anonymous("x")), AT_MS)])
    assert [key for key, _ in told(found)[0]] == [
        b"user_id:d", assignments.verdict_key([user("d"), anonymous("x")], two.version()), b"\0answered",
    ]  # fmt: skip


def test_what_was_decided_is_not_decided_again() -> None:
    rig = Rig()
    value = request(user("ann"))
    rig.take(value)
    work = rig.stage.process([Record(0, None, value, AT_MS)])
    assert (work.outputs, work.later, work.changelog, work.writes, work.src_next) == ({}, {}, [], {}, 1)


def test_a_dropped_batch_leaves_no_trace() -> None:
    rig = Rig()
    rig.take(request(user("ann")))
    records = [Record(1, None, links.rules(LinkRules(max_merges=1)), AT_MS), Record(2, None, request(user("b")), AT_MS)]
    first = rig.stage.process(records)
    rig.overlay.clear()
    rig.stage.reload()
    assert rig.stage.src_next == 1
    assert rig.stage.process(records) == first


def test_what_is_no_request_is_a_dead_letter() -> None:
    rig = Rig()
    empty = b'{"kind":"link","partition":0,"offset":0,"at":0,"id":"x","type":"track","ids":[],"message":{}}'
    work = rig.take(b"{", None, request(user("u"), partition=PARTITIONS), empty, request(user("ann")))
    letters = [orjson.loads(value or b"") for _, value, _ in work.outputs.pop((TOPICS.events_dead, 0))]
    assert [(each["reason"], each["topic"], each["offset"]) for each in letters] == [
        ("not_understood", "t.identity.links", offset) for offset in range(4)
    ]
    assert len(profiles_in(work)) == 1


def size(changelog: Sequence[tuple[bytes, bytes | None]]) -> int:
    """Of the records in a batch of Kafka: at most 40 bytes besides key and value."""
    return sum(len(key) + len(value or b"") + 40 for key, value in changelog)


def test_a_batch_s_changes_fit_into_one_batch_of_kafka() -> None:
    rig = Rig()
    rig.take(links.rules(LinkRules(default_limit=Limit(1_000), max_identifiers=10_000)))
    # Many profiles near the largest that there may be, all changed at once.
    long = "x" * 30_000
    for profile in range(4):
        for number in range(20):
            rig.take(request(user(str(profile)), ("crm", f"{profile}.{number}{long}")))
    values = [request(user(str(number % 4)), anonymous(str(number)), offset=number) for number in range(40)]
    batches = 0
    while values:
        before = rig.offset
        work = rig.take(*values)
        assert size(work.changelog) < BATCH_BYTES_MAX
        assert work.facts.records == work.src_next - before > 0
        values = values[work.src_next - before :]
        batches += 1
    assert batches > 1
    assert NODE_BYTES_MAX + link.CHANGELOG_BYTES < BATCH_BYTES_MAX
    assert len(rig.store.get(b"g|" + profile_id("user_id", "0").encode()) or b"") > NODE_BYTES_MAX - 40_000


@pytest.mark.parametrize("at_once", [True, False])
def test_the_changelog_gives_the_store_back(at_once: bool) -> None:
    rig = Rig()
    rig.take(links.rules(LinkRules(limits={"user_id": Limit(2)})))
    rig.take(*(request(anonymous(str(number)), partition=number % 3) for number in range(6)))
    rig.take(*(request(anonymous(str(number)), anonymous(str(number + 1))) for number in (0, 3, 1)))
    rig.take(request(user("u"), anonymous("5")))
    restored = SimStore()
    step = len(rig.changelog) if at_once else 1
    for start in range(0, len(rig.changelog), step):
        part = rig.changelog[start : start + step]
        link_state.apply(restored, part, start + len(part) - 1)
    rig.store.data.pop(b"m|log")
    restored.data.pop(b"m|log")
    assert {key: value for key, value in rig.store.data.items() if not key.startswith(b"r|")} == {
        key: value for key, value in restored.data.items() if not key.startswith(b"r|")
    }
    assert {key for key in rig.store.data if key.startswith(b"r|")} == {
        key for key in restored.data if key.startswith(b"r|")
    }


def test_a_late_record_of_a_replaced_worker_changes_nothing() -> None:
    rig = Rig()
    rig.take(request(anonymous("a")), request(anonymous("b")))
    old = list(rig.changelog)
    rig.take(request(anonymous("a"), anonymous("b"), user("u")))
    restored, late = SimStore(), SimStore()
    link_state.apply(restored, rig.changelog, 10)
    link_state.apply(late, [*rig.changelog, *old], 10)
    assert late.data == restored.data
    link_state.apply(restored, old, 10)
    assert late.data == restored.data
