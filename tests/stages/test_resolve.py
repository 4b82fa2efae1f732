"""Raw events go straight to their profile where that is known, else to link; nothing overtakes what waits there."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from app.identity.regulations import identifier_hash
from app.identity.rules import Identifier, IdentityRules
from app.stages import assignments
from app.stages.assignments import Assignments
from app.stages.overlay import Overlay
from app.stages.records import OutRecord, Work
from app.stages.resolve import ResolveStage
from app.topics import Topics, partition_of
from tests.simulation.log import Record
from tests.simulation.store import SimStore

TOPICS = Topics("t.")
NOW_MS = 1_767_225_600_000
PARTITIONS = 4
RULES = IdentityRules()
VERSION = RULES.link.version()
ANN, BOB = "prf_" + "a" * 24, "prf_" + "b" * 24


class Rig:
    """Partition 2 of `events.raw`; offsets rise from 10."""

    def __init__(self) -> None:
        self.known = Assignments(Overlay(SimStore()), VERSION, PARTITIONS)
        self.stage = ResolveStage(TOPICS, 2, RULES, self.known)
        self.offset = 10

    def told(self, *records: OutRecord) -> None:
        self.known.process([Record(at, key, value, NOW_MS) for at, (key, value, _) in enumerate(records)])

    def assign(self, profile: str, *identifiers: Identifier) -> None:
        self.told(*map(assignments.of_profile(profile), identifiers))

    def take(self, *messages: dict[str, Any] | bytes | None, at_ms: int = NOW_MS) -> Work:
        values = [orjson.dumps({"type": "page", **each}) if isinstance(each, dict) else each for each in messages]
        records = [Record(self.offset + at, b"any", value, at_ms) for at, value in enumerate(values)]
        self.offset += len(records)
        return self.stage.process(records, NOW_MS)


def straight(work: Work) -> list[tuple[bytes | None, dict[str, Any]]]:
    return [
        (key, orjson.loads(value or b""))
        for (topic, _), records in work.outputs.items()
        if topic == TOPICS.profiles_in
        for key, value, _ in records
    ]


def asked(work: Work) -> list[dict[str, Any]]:
    assert work.later.keys() <= {(TOPICS.identity_links, 0)}
    return [orjson.loads(value or b"") for records in work.later.values() for _, value, _ in records]


def test_who_is_not_known_is_asked_for() -> None:
    work = Rig().take({"userId": "ann", "anonymousId": "a", "messageId": "x", "properties": {"a": 1.5}})
    assert work.outputs == {}
    (request,) = asked(work)
    message = request.pop("message")
    assert message["properties"] == {"a": 1.5}
    assert request == {
        "kind": "link", "partition": 2, "offset": 10, "at": NOW_MS, "id": "m:x", "type": "page", "name": "Page Viewed",
        "ids": [["user_id", "ann"], ["anonymous_id", "a"]], "previous": None,
    }  # fmt: skip
    assert (work.src_next, work.changelog, work.writes, work.facts.linked) == (11, [], {}, 1)


def test_who_is_known_goes_straight_as_the_message_came() -> None:
    rig = Rig()
    rig.assign(ANN, ("user_id", "ann"), ("anonymous_id", "a"))
    value = b' {"type":"page", "userId":"ann","anonymousId":"a","properties":{"a":1.50}} '
    work = rig.take(value)
    assert asked(work) == []
    ((target, (record,)),) = work.outputs.items()
    assert target == (TOPICS.profiles_in, partition_of(ANN.encode(), PARTITIONS))
    key, sent, _ = record
    assert key == ANN.encode()
    assert sent is not None
    assert value in sent
    body = orjson.loads(sent)
    assert (body["kind"], body["at"], body["id"]) == ("event", NOW_MS, "o:2:10")
    assert body["ids"] == [["user_id", "ann"], ["anonymous_id", "a"]]


def test_identifiers_of_two_profiles_or_of_none_are_asked_for() -> None:
    rig = Rig()
    rig.assign(ANN, ("user_id", "ann"))
    rig.assign(BOB, ("anonymous_id", "b"))
    two = {"userId": "ann", "anonymousId": "b"}
    new = {"userId": "new", "anonymousId": "b"}
    half = {"userId": "ann", "anonymousId": "new"}
    assert [each["offset"] for each in asked(rig.take(two, new, half))] == [10, 11, 12]


def test_a_verdict_says_whose_and_what_counts() -> None:
    rig = Rig()
    usable = [("user_id", "ann"), ("anonymous_id", "b")]
    rig.assign(ANN, usable[0])
    rig.assign(BOB, usable[1])
    rig.told(assignments.verdict(usable, VERSION, ANN, usable[:1]))
    ((key, body),) = straight(rig.take({"userId": "ann", "anonymousId": "b"}))
    assert (key, body["ids"]) == (ANN.encode(), [["user_id", "ann"]])


def test_a_verdict_by_other_rules_is_none() -> None:
    rig = Rig()
    usable = [("user_id", "ann"), ("anonymous_id", "b")]
    rig.told(assignments.verdict(usable, "0" * 8, ANN, usable[:1]))
    assert len(asked(rig.take({"userId": "ann", "anonymousId": "b"}))) == 1


def test_a_value_cannot_pass_for_a_verdict() -> None:
    rig = Rig()
    usable = [("user_id", "ann"), ("anonymous_id", "b")]
    record = assignments.verdict(usable, VERSION, ANN, usable[:1])
    rig.told(record)
    assert record[0] is not None
    text = record[0].decode("latin-1")
    for forged in (text, text[1:], "\x1e", "\x1f" + VERSION):
        assert len(asked(rig.take({"userId": forged}))) == 1


def test_an_alias_is_always_asked_for() -> None:
    rig = Rig()
    rig.assign(ANN, ("user_id", "ann"), ("anonymous_id", "a"))
    alias = {"type": "alias", "userId": "ann", "previousId": "a"}
    (request,) = asked(rig.take(alias))
    assert (request["ids"], request["previous"]) == ([["user_id", "ann"]], "a")
    (request,) = asked(Rig().take({"type": "alias", "previousId": "a"}))
    assert (request["ids"], request["previous"]) == ([], "a")


def test_nothing_overtakes_what_it_shares_anything_with() -> None:
    rig = Rig()
    rig.assign(ANN, ("user_id", "ann"), ("anonymous_id", "a"))
    rig.assign(BOB, ("user_id", "bob"))
    new = {"userId": "ann", "anonymousId": "new"}
    work = rig.take(
        {"userId": "ann"},  # before it: straight
        new,
        {"userId": "ann"},
        {"anonymousId": "a"},  # of the same profile
        {"anonymousId": "new"},
        {"userId": "bob"},  # of another
    )
    assert [body["id"] for _, body in straight(work)] == ["o:2:10", "o:2:15"]
    assert [each["offset"] for each in asked(work)] == [11, 12, 13, 14]
    assert [each["offset"] for each in asked(rig.take({"anonymousId": "a"}))] == [16]
    assert rig.stage.unanswered == 5


def test_what_has_been_answered_waits_no_longer() -> None:
    rig = Rig()
    rig.assign(ANN, ("user_id", "ann"))
    rig.take({"userId": "ann", "anonymousId": "new"}, {"userId": "ann"})
    rig.assign(ANN, ("anonymous_id", "new"))
    rig.told(assignments.answered(10))
    work = rig.take({"userId": "ann"}, {"anonymousId": "new"})
    assert len(asked(work)) == 2, "the second of the first batch has not been answered"
    rig.told(assignments.answered(13))
    work = rig.take({"userId": "ann"}, {"anonymousId": "new"})
    assert (len(asked(work)), len(straight(work)), rig.stage.unanswered) == (0, 2, 0)


@pytest.mark.parametrize("answer", [[], [assignments.answered(10)]], ids=["told by another", "answered"])
def test_who_has_become_known_waits_for_what_is_still_asked_about_him(answer: list[OutRecord]) -> None:
    rig = Rig()
    rig.take({"userId": "ann", "anonymousId": "a"}, {"userId": "ann", "anonymousId": "b"})
    # The second is out; that it is about the profile that has `a` was not known when it was asked.
    known = [("user_id", "ann"), ("anonymous_id", "a"), ("anonymous_id", "c")]
    rig.told(*map(assignments.of_profile(ANN), known), *answer)
    for one in ("c", "a"):
        assert len(asked(rig.take({"anonymousId": one}))) == 1, "it would pass the second message"
    rig.told(assignments.answered(13))
    assert len(straight(rig.take({"anonymousId": "a"}, {"anonymousId": "c"}))) == 2


def test_an_answer_of_less_takes_nothing_back() -> None:
    rig = Rig()
    rig.assign(ANN, ("user_id", "ann"))
    rig.take({"userId": "ann", "anonymousId": "new"})
    rig.told(assignments.answered(10))
    rig.told(assignments.answered(3))
    assert len(straight(rig.take({"userId": "ann"}))) == 1


def test_an_alias_holds_up_its_previous_id_whatever_that_is() -> None:
    rig = Rig()
    rig.assign(ANN, ("user_id", "old"))
    rig.assign(BOB, ("anonymous_id", "old"))
    alias = {"type": "alias", "userId": "u", "previousId": "old"}
    work = rig.take(alias, {"userId": "old"}, {"anonymousId": "old"})
    assert [each["offset"] for each in asked(work)] == [10, 11, 12]


def test_an_alias_holds_up_the_profile_of_its_previous_id() -> None:
    rig = Rig()
    rig.assign(ANN, ("anonymous_id", "old"), ("email", "e"))
    rig.known.front.clear()
    work = rig.take({"type": "alias", "userId": "u", "previousId": "old"}, {"context": {"traits": {"email": "e"}}})
    assert [each["offset"] for each in asked(work)] == [10, 11]


def test_a_later_assignment_counts() -> None:
    rig = Rig()
    rig.assign(ANN, ("user_id", "ann"))
    assert [key for key, _ in straight(rig.take({"userId": "ann"}))] == [ANN.encode()]
    rig.assign(BOB, ("user_id", "ann"))
    assert [key for key, _ in straight(rig.take({"userId": "ann"}))] == [BOB.encode()]


def test_a_record_from_the_future_was_received_now() -> None:
    assert asked(Rig().take({"userId": "u"}, at_ms=NOW_MS + 60_000))[0]["at"] == NOW_MS


def test_ids_of_messages() -> None:
    sent: list[dict[str, Any]] = [{"messageId": "x"}, {"messageId": 7}, {}, {"messageId": "o:2:12"}]
    odd = {"messageId": 'a"b\\c\n\u0001'}
    requests = asked(Rig().take(*({"userId": "u", **each} for each in (*sent, odd))))
    assert [each["id"] for each in requests] == ["m:x", "m:7", "o:2:12", "m:o:2:12", 'm:a"b\\c\n\u0001']


def test_what_is_no_message_is_a_dead_letter_with_its_position() -> None:
    work = Rig().take({"userId": "u"}, b"{", None, {"userId": "null"}, {"type": "alias", "previousId": ""})
    letters = [orjson.loads(value or b"") for _, value, _ in work.outputs[TOPICS.events_dead, 2]]
    assert [(each["reason"], each["topic"], each["partition"], each["offset"]) for each in letters] == [
        ("not_json", "t.events.raw", 2, 11),
        ("null_value", "t.events.raw", 2, 12),
        ("no_identifier", "t.events.raw", 2, 13),
        ("no_identifier", "t.events.raw", 2, 14),
    ]
    assert len(asked(work)) == 1
    assert work.src_next == 15
    assert work.facts.invalid == {"not_json": 1, "null_value": 1, "no_identifier": 2}


def test_whoever_is_suppressed_is_dropped_by_any_name_and_leaves_no_dead_letter() -> None:
    rig = Rig()
    rig.assign(ANN, ("user_id", "ann"), ("anonymous_id", "a"))
    rig.assign(BOB, ("user_id", "bob"))
    hashes = [identifier_hash(each) for each in (("user_id", "ann"), ("anonymous_id", "a"))]
    rig.told(assignments.forgotten(("user_id", "ann")), assignments.forgotten(("anonymous_id", "a")),
             *map(assignments.suppressed, hashes))  # fmt: skip
    work = rig.take(
        {"userId": "ann"}, {"anonymousId": "a"}, {"userId": "bob", "anonymousId": "a"}, {"userId": "ann", "x": 1},
        {"type": "alias", "userId": "bob", "previousId": "a"}, {"type": "alias", "userId": "ann", "previousId": "x"},
    )  # fmt: skip
    assert (work.outputs, work.later, work.facts.suppressed) == ({}, {}, 6)
    assert [key for key, _ in straight(rig.take({"userId": "bob"}))] == [BOB.encode()]
    rig.told(*map(assignments.lifted, hashes))
    assert [each["ids"] for each in asked(rig.take({"userId": "ann"}))] == [[["user_id", "ann"]]]


def test_who_was_ever_taken_out_is_decided_by_link_where_it_is_named_with_others() -> None:
    rig = Rig()
    ann, phone, tv = ("user_id", "ann"), ("anonymous_id", "phone"), ("anonymous_id", "tv")
    rig.told(*map(assignments.of_profile(ANN, [phone]), (ann, phone, tv)))
    both, alone = {"userId": "ann", "anonymousId": "phone"}, {"anonymousId": "phone"}
    work = rig.take(alone, {"userId": "ann", "anonymousId": "tv"}, both)
    assert [body["ids"] for _, body in straight(work)] == [[list(phone)], [list(ann), list(tv)]]
    assert [each["ids"] for each in asked(work)] == [[list(ann), list(phone)]]
    # A verdict of them is older than that.
    usable = [ann, phone]
    rig.told(assignments.verdict(usable, VERSION, ANN, usable[:1]), assignments.answered(12))
    assert len(asked(rig.take(both))) == 1


def test_link_is_told_what_may_have_been_passed_on_before() -> None:
    rig = Rig()
    rig.stage = ResolveStage(TOPICS, 2, RULES, rig.known, 11)
    message = {"userId": "ann"}
    assert [each.get("again", False) for each in asked(rig.take(message, message))] == [True, False]
    rig.offset = 11  # the batch failed, and is computed again
    assert [each.get("again", False) for each in asked(rig.take(message, message))] == [True, False]
