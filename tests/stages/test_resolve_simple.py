"""Raw events become records of `profiles.in`, keyed by profile, or dead letters."""

from __future__ import annotations

from typing import Any

import orjson

from app.identity.rules import IdentityRules
from app.ids import profile_id
from app.stages.records import Work
from app.stages.resolve_simple import SimpleResolveStage
from app.topics import Topics, partition_of
from tests.simulation.log import Record

TOPICS = Topics("t.")
NOW_MS = 1_767_225_600_000
PARTITIONS = 4


def raw(user: str = "ann", **fields: Any) -> bytes:
    return orjson.dumps({"type": "page", "userId": user, **fields})


def resolve(*values: bytes | None, at_ms: int = NOW_MS, partition: int = 2) -> Work:
    stage = SimpleResolveStage(TOPICS, partition, PARTITIONS, IdentityRules())
    return stage.process([Record(10 + at, b"any", value, at_ms) for at, value in enumerate(values)], NOW_MS)


def passed_on(work: Work) -> list[tuple[int, bytes | None, dict[str, Any]]]:
    return [
        (partition, key, orjson.loads(value or b""))
        for (topic, partition), records in work.outputs.items()
        if topic == TOPICS.profiles_in
        for key, value, _ in records
    ]


def test_a_message_goes_to_its_profile_s_partition_as_it_came() -> None:
    value = b' {"type":"page", "userId":"ann","properties":{"a":1.50}} '
    work = resolve(value)
    key = profile_id("user_id", "ann").encode()
    ((partition, found, body),) = passed_on(work)
    assert (partition, found) == (partition_of(key, PARTITIONS), key)
    assert (body["kind"], body["at"], body["message"]) == ("event", NOW_MS, orjson.loads(value))
    assert work.src_next == 11
    assert work.changelog == []
    assert work.writes == {}


def test_a_message_without_an_id_is_known_by_its_position() -> None:
    ids = [body["id"] for _, _, body in passed_on(resolve(raw(messageId="x"), raw(messageId=7), raw(), raw()))]
    assert ids == ["m:x", "m:7", "o:2:12", "o:2:13"]


def test_a_sender_cannot_pass_for_a_position() -> None:
    ((_, _, body),) = passed_on(resolve(raw(messageId="o:2:12")))
    assert body["id"] == "m:o:2:12"


def test_records_of_one_profile_keep_their_order() -> None:
    users = [f"u{number % 7}" for number in range(50)]
    work = resolve(*(raw(user, messageId=str(number)) for number, user in enumerate(users)))
    for user in set(users):
        key = profile_id("user_id", user).encode()
        ids = [body["id"] for _, found, body in passed_on(work) if found == key]
        assert ids == [f"m:{number}" for number, each in enumerate(users) if each == user]


def test_a_record_from_the_future_was_received_now() -> None:
    ((_, _, body),) = passed_on(resolve(raw(), at_ms=NOW_MS + 60_000))
    assert body["at"] == NOW_MS


def test_what_is_no_message_is_a_dead_letter_with_its_position() -> None:
    work = resolve(raw(), b"{", None, raw("null"), raw())
    letters = [orjson.loads(value or b"") for _, value, _ in work.outputs[TOPICS.events_dead, 2]]
    assert [(each["reason"], each["topic"], each["partition"], each["offset"]) for each in letters] == [
        ("not_json", "t.events.raw", 2, 11),
        ("null_value", "t.events.raw", 2, 12),
        ("no_identifier", "t.events.raw", 2, 13),
    ]
    keys = [key for key, _, _ in work.outputs[TOPICS.events_dead, 2]]
    assert keys == [b"t.events.raw-2-11", b"t.events.raw-2-12", b"t.events.raw-2-13"]
    assert len(passed_on(work)) == 2
    assert work.src_next == 15
    assert work.facts.invalid == {"not_json": 1, "null_value": 1, "no_identifier": 1}


def test_an_id_with_quotes_and_controls_stays_json() -> None:
    odd = 'a"b\\c\n\u0001'
    ((_, _, body),) = passed_on(resolve(raw(messageId=odd)))
    assert body["id"] == f"m:{odd}"
