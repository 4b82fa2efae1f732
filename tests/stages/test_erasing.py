"""Erasing: all that a profile told is taken back, nothing of it stays, and what comes late makes nobody new."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from app.definitions.model import Catalog
from app.profiles import codec, parts
from app.profiles.store import PART, PROFILE, TIMER
from app.stages import envelope, restoring
from app.stages.erasing import MARK_KEPT_MS
from app.stages.folding import Folding
from app.topics import partition_of
from tests.simulation.store import SimStore
from tests.stages.test_merging import CATALOG, HOUR_MS, START_MS, TOPICS, Cluster, name

ANN, BOB = name(1), name(2)
WITH_TYPES = Catalog(CATALOG.definitions, CATALOG.subscriptions, (("crm", "webhook"), ("lake", "kafka")))


class Rig(Cluster):
    """With the changelog kept, and destinations of a type."""

    def __init__(self, partitions: int = 1, **more: Any) -> None:
        super().__init__(partitions, **more)
        for p in range(partitions):
            self.log.append(TOPICS.profiles_in, p, None, envelope.catalog(WITH_TYPES), START_MS)

    def order(self, profile: str, number: int, **properties: Any) -> None:
        at_ms = START_MS + number * 60_000
        self.event(profile, at_ms, f"m{number}", event="Order", properties={"sku": f"canary-{number}", **properties})

    def erase(self, profile: str, id_: str = "reg_1", at_ms: int = START_MS + HOUR_MS) -> None:
        self.send(profile, envelope.erase(at_ms, id_))

    def receipts(self) -> dict[str, dict[str, Any]]:
        found = [orjson.loads(record.value or b"") for record in self.log.all_of(TOPICS.regulations)]
        return {body["profile"]: body for body in found}

    def raw(self, profile: str) -> bytes | None:
        key = profile.encode()
        return self.stores[partition_of(key, self.partitions)].get(PROFILE + key)

    def told(self, destination: str = "crm") -> list[tuple[str, str, Any]]:
        """(origin, call, key or regulation) in order."""
        bodies = [orjson.loads(each.value or b"") for each in self.log.all_of(TOPICS.destination(destination))]
        return [(one["origin"], one["payload"]["type"], one["computation"]["key"]) for one in bodies]


def test_all_is_taken_back_then_the_deletes_and_nothing_stays() -> None:
    rig = Rig()
    for number in range(4):
        rig.order(ANN, number)
    rig.run()
    before = len(rig.changes())
    rig.erase(ANN)
    rig.run()
    taken = rig.changes()[before:]
    assert {each["origin"] for each in taken} == {"erasure"}
    values = {each["key"]: (each["value"], each["previous"]) for each in taken}
    assert values["buyer"] == (False, True)
    assert values["orders"] == (None, None), "what it was is not said once more"
    assert b"canary" not in b"".join(orjson.dumps(each) for each in taken)
    told = rig.told()
    assert told[-1] == ("erasure", "delete", "")
    assert set(told[-3:-1]) == {("erasure", "identify", "orders"), ("erasure", "identify", "buyer")}
    assert rig.told("lake") == [("erasure", "delete", "")]
    data = rig.raw(ANN)
    assert data is not None
    assert (codec.is_erased(data), len(data)) == (True, 25)
    receipt = rig.receipts()[ANN]
    assert (receipt["identifiers"], receipt["timers"], receipt["redirect"]) == (2, 1, False)
    assert (receipt["asked"], receipt["told"]) == ({"crm": 1}, ["lake"])
    assert receipt["cells"] > 3
    assert b"canary" not in b"".join(rig.stores[0].data.values())


def test_what_comes_late_makes_nobody_new_and_the_mark_goes_after_a_week() -> None:
    rig = Rig()
    rig.order(ANN, 0)
    rig.erase(ANN)
    for number in range(1, 4):
        rig.order(ANN, number)
    rig.send(ANN, envelope.refresh(START_MS))
    rig.send(ANN, envelope.absorb(START_MS, "m:x", BOB))
    rig.erase(ANN)  # the linker was killed, and says it once more
    rig.run()
    assert len(rig.log.all_of(TOPICS.regulations)) == 1
    held = rig.profile(ANN)
    assert (held.erased, held.armed_due) == (True, START_MS + HOUR_MS + MARK_KEPT_MS)
    due_ms = held.armed_due
    rig.send(ANN, envelope.timer(due_ms - 1))
    rig.run()
    assert rig.raw(ANN) is not None
    rig.send(ANN, envelope.timer(due_ms))
    rig.run()
    assert rig.raw(ANN) is None
    assert not [key for key in rig.stores[0].data if key.startswith(TIMER)]


def test_a_redirect_leads_on_until_its_time_is_over() -> None:
    rig = Rig(partitions=3)
    rig.order(ANN, 0)
    rig.order(BOB, 1)
    rig.merge(ANN, BOB, START_MS + 1)
    rig.erase(ANN)
    rig.erase(BOB)
    rig.run()
    held = rig.profile(ANN)
    assert held.erased, "it waited for the other, and went then"
    lost = rig.profile(BOB)
    assert lost.merging is not None
    assert (lost.merging.redirect, lost.erased) == (ANN, False)
    assert rig.receipts()[BOB]["redirect"]
    assert rig.receipts()[ANN]["cells"] > 0
    values: dict[str, Any] = {}
    for each in rig.changes():
        if each["profile"] == ANN:
            values[each["key"]] = each["value"]
    assert values["buyer"] is False
    assert values["orders"] is None
    rig.send(BOB, envelope.timer(lost.armed_due))
    rig.run()
    assert rig.raw(BOB) is None


def test_long_lists_go_with_all_their_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "WHOLE_BYTES_MAX", 200)
    monkeypatch.setattr("app.stages.folding.codec.WHOLE_BYTES_MAX", 200)
    monkeypatch.setattr(parts, "ENTRIES_INLINE_MAX", 4)
    rig = Rig()
    for number in range(30):
        rig.order(ANN, number)
    rig.run()
    assert any(key.startswith(PART) for key in rig.stores[0].data)
    stray = PART + ANN.encode() + b"0123456789abcdef"
    rig.stores[0].write({stray: b"canary: of a restore"}, 0)
    rig.erase(ANN)
    rig.run()
    assert not [key for key in rig.stores[0].data if key.startswith(PART)]
    assert rig.receipts()[ANN]["parts"] > 1
    assert b"canary" not in b"".join(rig.stores[0].data.values())


def test_a_profile_that_nothing_had_reached_is_marked() -> None:
    rig = Rig()
    rig.erase(ANN)
    rig.order(ANN, 1)
    rig.run()
    assert rig.profile(ANN).erased
    assert rig.changes() == []


def test_one_that_cannot_be_erased_is_said_to_have_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise KeyError("canary")

    rig = Rig()
    rig.order(ANN, 0)
    rig.run()
    monkeypatch.setattr(Folding, "forget", broken)
    monkeypatch.setattr("app.compute.apply.Application.erase", broken)
    rig.erase(ANN)
    rig.run()
    (receipt,) = rig.receipts().values()
    assert (receipt["kind"], receipt["reason"]) == ("failed", "KeyError")
    assert b"canary" not in orjson.dumps(receipt)


@pytest.mark.parametrize("seed", range(8))
def test_dropped_batches_change_nothing(seed: int) -> None:
    rig = Rig(partitions=2, seed=seed, drops=0.3)
    for number in range(12):
        rig.order((ANN, BOB)[number % 2], number)
        if number == 6:
            rig.merge(ANN, BOB, START_MS)
        if number == 8:
            rig.erase(ANN)
            rig.erase(BOB)
    rig.run()
    assert rig.profile(ANN).erased
    bodies: dict[str, Any] = {}
    for each in rig.log.all_of(TOPICS.changes):
        id_ = dict(each.headers)["ce_id"].decode()
        assert bodies.setdefault(id_, each.value) == each.value


@pytest.mark.parametrize("step", [1, 4, 10_000])
def test_a_restore_brings_nothing_back(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "WHOLE_BYTES_MAX", 200)
    monkeypatch.setattr(parts, "ENTRIES_INLINE_MAX", 4)
    rig = Rig()
    changelog: list[tuple[bytes, bytes | None]] = []
    stage, overlay = rig.stages[0], rig.overlays[0]
    for number in range(30):
        rig.order(ANN, number)
    rig.order(BOB, 31)
    rig.erase(ANN)
    rig.send(ANN, envelope.timer(START_MS + HOUR_MS + MARK_KEPT_MS))
    for start in range(0, rig.log.end(TOPICS.profiles_in, 0), 9):
        work = stage.process(rig.log.read(TOPICS.profiles_in, 0, start, 9))
        changelog += work.changelog
        rig.stores[0].write(work.writes, len(changelog) - 1)
        overlay.pop()
    restored = SimStore()
    for start in range(0, len(changelog), step):
        piece = changelog[start : start + step]
        restoring.apply(restored, piece, start + len(piece) - 1)
    kinds = (PROFILE, TIMER)
    assert {key: value for key, value in restored.data.items() if key.startswith(kinds)} == {
        key: value for key, value in rig.stores[0].data.items() if key.startswith(kinds)
    }
    assert not [key for key in restored.data if key.startswith(PART + ANN.encode())]
    assert PROFILE + ANN.encode() not in restored.data
    newest = dict(changelog)
    assert b"canary" not in b"".join(value for key, value in newest.items() if value and ANN.encode() in key)
