"""The compute stage: what is no record of `profiles.in` goes to the dead letters and takes nothing with it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.definitions.model import Catalog, Definition
from app.profiles import codec
from app.profiles.state import Profile
from app.profiles.store import PROFILE
from app.stages import envelope
from app.stages.compute import ComputeStage
from app.stages.overlay import Overlay
from app.stages.records import Work
from app.stages.restoring import apply
from app.topics import Topics
from tests.simulation.log import Record
from tests.simulation.store import SimStore

TOPICS = Topics()
AT_MS = 1_767_225_600_000
CATALOG = Catalog(
    definitions=(
        Definition(key="orders", kind="trait", query="event('Order').count()"),
        Definition(key="active", kind="audience", query="event('Order').within(1 hour).count() >= 1"),
    )
)


def event(at_ms: Any = AT_MS, id_: Any = "m:1", **fields: Any) -> bytes:
    message = {"type": "track", "event": "Order", "userId": "u", **fields}
    said = {"type": message["type"], "name": message["event"], "ids": [["user_id", "u"]]}
    return orjson.dumps({"kind": "event", "at": at_ms, "id": id_, **said, "message": message})


class Bench:
    """A stage over a store; each batch is written down at once."""

    def __init__(self) -> None:
        self.store = SimStore()
        self.overlay = Overlay(self.store)
        self.stage = self.new_stage()
        self.next = 0
        self.changelog: list[tuple[bytes, bytes | None]] = []
        self.feed((None, envelope.catalog(CATALOG)))

    def new_stage(self) -> ComputeStage:
        return ComputeStage(TOPICS, 0, 1, self.overlay, epoch="00ff00ff")

    def feed(self, *records: tuple[bytes | None, bytes | None]) -> Work:
        batch = [Record(self.next + at, key, value, AT_MS) for at, (key, value) in enumerate(records)]
        self.next += len(batch)
        return self.commit(self.stage.process(batch))

    def commit(self, work: Work) -> Work:
        self.changelog += work.changelog
        if work.changelog:
            self.store.write(work.writes, 0)
            self.overlay.pop()
        return work

    def profile(self, key: bytes) -> Profile:
        held = self.store.get(PROFILE + key)
        return codec.decode(held) if held is not None else Profile()

    def emitted(self, key: bytes) -> dict[str, Any]:
        return self.profile(key).emitted


def dead(work: Work) -> list[dict[str, Any]]:
    return [orjson.loads(value or b"") for _, value, _ in work.outputs.get((TOPICS.events_dead, 0), ())]


GARBAGE: dict[str, tuple[bytes | None, bytes | None]] = {
    "null value": (b"p", None),
    "empty": (b"p", b""),
    "not JSON": (b"p", b"{"),
    "bad UTF-8": (b"p", b"\xff"),
    "not an object": (b"p", b"[]"),
    "a string": (b"p", b'"kind"'),
    "no kind": (b"p", b"{}"),
    "unknown kind": (b"p", b'{"kind":"merge"}'),
    "kind is a list": (b"p", b'{"kind":["event"]}'),
    "no message": (b"p", b'{"kind":"event","at":1,"id":"a"}'),
    "message is a list": (b"p", b'{"kind":"event","at":1,"id":"a","message":[]}'),
    "an event that has no name": (b"p", event(id_="m:bad", event=["Order"])),
    "traits that are none": (b"p", event(id_="m:bad", type="identify", traits=[1])),
    "no id": (b"p", b'{"kind":"event","at":1,"message":{"type":"page","userId":"u"}}'),
    "at is text": (b"p", event(at_ms="soon")),
    "at is a list": (b"p", event(at_ms=[])),
    "at before 1970": (b"p", event(at_ms=-1)),
    "at after the year 9999": (b"p", event(at_ms=10**18)),
    "at beyond all numbers": (b"p", b'{"kind":"event","at":1e300,"id":"a","message":{"type":"page","userId":"u"}}'),
    "due is missing": (b"p", b'{"kind":"timer"}'),
    "due is text": (b"p", b'{"kind":"timer","due":"x"}'),
    "due before 1970": (b"p", b'{"kind":"timer","due":-1}'),
    "due after the year 9999": (b"p", b'{"kind":"timer","due":18000000000000000000}'),
    "event without a key": (None, event()),
    "timer without a key": (b"", envelope.timer(AT_MS)),
    "a key that is no text": (b"\xff\xfe", event()),
    "no catalogue": (None, b'{"kind":"catalog"}'),
    "a broken catalogue": (None, b'{"kind":"catalog","catalog":{"definitions":[{"key":1}]}}'),
    "too deep": (b"p", b"[" * 5_000),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_dead_lettered_and_its_neighbours_are_applied(name: str) -> None:
    bench = Bench()
    bench.feed((b"p", event(id_="m:before")))
    work = bench.feed((b"p", event(id_="m:1")), GARBAGE[name], (b"p", event(id_="m:2")))
    (letter,) = dead(work)
    assert (letter["topic"], letter["partition"], letter["offset"]) == (TOPICS.profiles_in, 0, 3)
    assert letter["reason"] in ("not_understood", "failed")
    assert bench.emitted(b"p") == {"orders": 3, "active": True}
    assert work.src_next == 5
    # The state is as good as one that never saw it: a restart goes on from it.
    bench.stage = bench.new_stage()
    bench.feed((b"p", event(id_="m:3")))
    assert bench.emitted(b"p")["orders"] == 4


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
messages = st.fixed_dictionaries(
    {"type": st.sampled_from(["track", "identify", "page"]), "event": st.just("Order") | json_values},
    optional=dict.fromkeys(("userId", "properties", "traits", "context", "timestamp", "messageId"), json_values),
)
bodies = st.fixed_dictionaries(
    {"kind": st.sampled_from(["event", "timer", "catalog", "other"])},
    optional={
        "at": json_values | st.just(AT_MS),
        "id": json_values,
        "due": json_values | st.just(AT_MS),
        "message": messages | json_values,
        "catalog": st.lists(json_values) | st.fixed_dictionaries({"definitions": st.lists(json_values, min_size=1)}),
    },
)


@settings(max_examples=200, deadline=None)
@given(st.lists(bodies, max_size=4))
def test_no_record_stops_the_partition(bodies: list[dict[str, Any]]) -> None:
    values: list[bytes] = []
    for body in bodies:
        try:
            values.append(orjson.dumps(body))
        except TypeError:
            values.append(repr(body).encode("utf-8", "replace"))
    bench = Bench()
    bench.feed((b"q", event(id_="m:before")))
    work = bench.feed(*((b"p", value) for value in values), (b"q", event(id_="m:after")))
    assert bench.emitted(b"q").get("orders") == 2
    assert work.src_next == bench.next


def test_a_replay_changes_nothing_and_says_nothing() -> None:
    bench = Bench()
    first = bench.feed((b"p", event(id_="m:1")), (b"p", event(id_="m:2")))
    assert len(first.outputs[TOPICS.changes, 0]) == 3
    before = dict(bench.store.data)
    again = bench.stage.process([Record(offset, b"p", event(id_=f"m:{offset}"), AT_MS) for offset in (1, 2)])
    assert again.outputs == {}
    assert again.changelog == []
    assert again.facts.skipped == 2
    assert bench.store.data == before


def test_half_a_batch_in_the_changelog_is_not_applied_twice() -> None:
    """The process died between the records of a batch: a state is there, the batch's last word is not."""
    bench = Bench()
    records = [Record(bench.next + at, key, event(id_="m:1"), AT_MS) for at, key in enumerate((b"p", b"q"))]
    work = bench.stage.process(records)
    assert work.changelog[0][0] == PROFILE + b"p"
    restored = Bench()
    restored.store = SimStore()
    apply(restored.store, [*bench.changelog, *work.changelog[:1]], 5)
    restored.overlay = Overlay(restored.store)
    restored.stage, restored.next = restored.new_stage(), records[-1].offset + 1
    assert restored.stage.src_next == records[0].offset
    again = restored.commit(restored.stage.process(records))
    assert again.facts.skipped == 1
    assert {orjson.loads(value or b"")["profile"] for _, value, _ in again.outputs[TOPICS.changes, 0]} == {"q"}
    assert restored.emitted(b"p") == restored.emitted(b"q") == {"orders": 1, "active": True}
    assert restored.feed((b"p", event(id_="m:1"))).facts.repeats == 1, "a skipped record's id is known all the same"


def test_the_same_batch_on_the_same_state_is_the_same_work() -> None:
    records = [Record(offset, b"p", event(id_=f"m:{offset}"), AT_MS) for offset in range(1, 6)]
    works = []
    for _ in range(2):
        bench = Bench()
        works.append(bench.stage.process(records))
    assert works[0].outputs == works[1].outputs
    assert works[0].changelog == works[1].changelog
    assert works[0].writes == works[1].writes


def test_a_batch_that_was_dropped_leaves_no_trace() -> None:
    bench = Bench()
    bench.stage.process([Record(bench.next, b"p", event(id_="m:1"), AT_MS)])
    bench.overlay.clear()
    bench.stage.reload()
    work = bench.feed((b"p", event(id_="m:1")))
    assert work.facts.repeats == 0
    assert bench.emitted(b"p")["orders"] == 1


def test_the_changelog_holds_state_then_ids_then_meta() -> None:
    work = Bench().feed((b"p", event(id_="m:1")), (b"q", event(id_="m:1")))
    assert [key[:2] for key, _ in work.changelog] == [b"p|", b"p|", b"d|", b"m|"]
    assert work.changelog[-1][0] == b"m|"


def test_time_alone_moves_an_answer_when_its_timer_comes_through_the_log() -> None:
    bench = Bench()
    bench.feed((b"p", event()))
    due_ms = AT_MS + 3_600_000
    assert list(bench.overlay.timers_until(due_ms, 5)) == [(due_ms, b"p")]
    early = bench.feed((b"p", envelope.timer(due_ms - 1)))
    assert early.outputs == {}
    work = bench.feed((b"p", envelope.timer(due_ms)))
    (change,) = (orjson.loads(value or b"") for _, value, _ in work.outputs[TOPICS.changes, 0])
    assert (change["key"], change["value"], change["at"]) == ("active", False, "2026-01-01T01:00:00.000Z")
    assert list(bench.overlay.timers_until(due_ms + 10**9, 5)) == []
    assert bench.feed((b"p", envelope.timer(due_ms))).outputs == {}


def test_an_id_that_came_with_an_event_nobody_looks_at_does_not_count_again() -> None:
    bench = Bench()
    bench.feed((b"prf_u", event(id_="m:0")))
    work = bench.feed((b"prf_u", event(event="Looked At By None", id_="m:1")), (b"prf_u", event(id_="m:1")))
    assert work.facts.repeats == 1
    assert bench.emitted(b"prf_u") == {"orders": 1, "active": True}


# ─ definitions that change ─

EDITED = Catalog(
    definitions=(
        Definition(key="orders", kind="trait", query="event('Order').count()"),
        Definition(key="active", kind="audience", query="event('Order').count() >= 2"),
    )
)


def test_a_refresh_evaluates_by_the_definitions_in_force_and_drops_what_they_do_not_need() -> None:
    bench = Bench()
    bench.feed((b"p", event()), (b"p", event(AT_MS + 1, "m:2")))
    before = bench.profile(b"p")
    bench.feed((None, envelope.catalog(EDITED)), (b"p", envelope.refresh(AT_MS + 2 * 3_600_000)))
    after = bench.profile(b"p")
    assert before.emitted == {"orders": 2, "active": True}
    assert after.emitted == {"orders": 2, "active": True}, "an hour has passed, but now the orders of all time count"
    assert len(before.cells) == 2
    assert len(after.cells) == 1
    assert after.armed_due == 0


def test_time_passes_before_a_refresh_evaluates() -> None:
    bench = Bench()
    bench.feed((b"p", event()))
    edited = Catalog(
        definitions=(*CATALOG.definitions, Definition(key="idle", kind="audience", query="NOT trait('active') = true"))
    )
    work = bench.feed((None, envelope.catalog(edited)), (b"p", envelope.refresh(AT_MS + 3_600_000)))
    told = [orjson.loads(value or b"") for _, value, _ in work.outputs[TOPICS.changes, 0]]
    assert [(each["key"], each["value"]) for each in told] == [("active", False), ("idle", True)]
    assert work.facts.refreshed == 1


def test_a_refresh_is_nothing_to_a_profile_that_is_up_to_date_or_unknown() -> None:
    bench = Bench()
    bench.feed((b"p", event()), (None, envelope.catalog(EDITED)), (b"p", event(AT_MS + 1, "m:2")))
    work = bench.feed((b"p", envelope.refresh(AT_MS + 2)), (b"nobody", envelope.refresh(AT_MS + 2)))
    assert not work.outputs
    assert work.facts.refreshed == 0
    assert bench.store.get(PROFILE + b"nobody") is None


def test_a_refresh_without_an_instant_is_a_dead_letter() -> None:
    work = Bench().feed((b"p", b'{"kind":"refresh"}'))
    assert [letter["reason"] for letter in dead(work)] == ["not_understood"]
