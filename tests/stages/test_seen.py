"""The window of message ids: within a day for certain, gone after some, through the state and over midnight."""

from __future__ import annotations

import pytest

from app.profiles import seen
from app.profiles.seen import DAY_MS, DAYS_KEPT
from app.stages.meta import Meta
from app.stages.seen import TOMBSTONES_MAX, SeenWindow
from tests.simulation.store import SimStore

DAY = 20_000
Changelog = list[tuple[bytes, bytes | None]]


class Batches:
    """Asks for ids batch by batch; each batch has a new window over what the last ones have written."""

    def __init__(self) -> None:
        self.store = SimStore()
        self.meta = Meta()

    def ask(self, id_: str, at_ms: int, profile: bytes = b"p") -> bool:
        window = SeenWindow(self.store, self.meta)
        (repeat,) = window.take([(profile, id_, at_ms)])
        self.settle(window, at_ms // DAY_MS)
        return repeat

    def settle(self, window: SeenWindow, today: int) -> Changelog:
        writes: dict[bytes, bytes | None] = {}
        changelog: Changelog = []
        window.settle(today, writes, changelog)
        self.store.write(writes, 0)
        return changelog


@pytest.mark.parametrize("start_ms", [DAY * DAY_MS, DAY * DAY_MS + 1, DAY * DAY_MS + DAY_MS - 1])
@pytest.mark.parametrize("later_ms", [0, 1, DAY_MS - 1, DAY_MS])
def test_a_repeat_within_a_day_is_known(start_ms: int, later_ms: int) -> None:
    batches = Batches()
    assert not batches.ask("m:1", start_ms)
    assert batches.ask("m:1", start_ms + later_ms)


def test_a_repeat_from_a_source_that_is_behind_is_known() -> None:
    batches = Batches()
    assert not batches.ask("m:1", DAY * DAY_MS + 5)
    assert batches.ask("m:1", DAY * DAY_MS - 5)


def test_a_repeat_two_days_later_counts_again() -> None:
    batches = Batches()
    assert not batches.ask("m:1", DAY * DAY_MS)
    assert not batches.ask("m:1", (DAY + 2) * DAY_MS)


def test_ids_are_per_profile_and_kind() -> None:
    batches = Batches()
    at_ms = DAY * DAY_MS
    assert not batches.ask("m:1", at_ms)
    assert not batches.ask("m:1", at_ms, b"q")
    assert not batches.ask("o:1", at_ms)
    assert batches.ask("m:1", at_ms, b"q")


def test_a_repeat_within_one_batch_is_known() -> None:
    window = SeenWindow(SimStore(), Meta())
    assert window.take([(b"p", "m:1", 5), (b"p", "m:1", 6)]) == [False, True]


def test_a_lone_surrogate_has_a_hash() -> None:
    assert len(seen.seen_hash(b"p", "\ud800")) == seen.HASH_BYTES


def test_a_batch_is_one_record_per_day_in_the_changelog() -> None:
    batches = Batches()
    window = SeenWindow(batches.store, batches.meta)
    ids = [(b"p", f"m:{number}", (DAY + number % 2) * DAY_MS) for number in range(10)]
    assert not any(window.take(ids))
    changelog = batches.settle(window, DAY)
    assert [key for key, _ in changelog] == [seen.packed_key(DAY, 0), seen.packed_key(DAY + 1, 0)]
    for day, (_, packed) in zip((DAY, DAY + 1), changelog, strict=True):
        hashes = seen.unpack(packed or b"")
        assert len(hashes) == 5
        assert all(batches.store.get(seen.seen_key(day, hashed)) == b"" for hashed in hashes)
    assert batches.meta.seen_batches == {DAY: 1, DAY + 1: 1}


def test_days_gone_by_leave_the_changelog_a_few_at_a_time() -> None:
    batches = Batches()
    total = TOMBSTONES_MAX + 50
    batches.meta.seen_batches = {DAY: total}
    gone: list[bytes] = []
    today = DAY + DAYS_KEPT + 1
    for _ in range(2):
        changelog = batches.settle(SeenWindow(batches.store, batches.meta), today)
        assert len(changelog) <= TOMBSTONES_MAX
        assert all(value is None for _, value in changelog)
        gone += [key for key, _ in changelog]
    assert gone == [seen.packed_key(DAY, number) for number in range(total)]
    assert batches.meta.seen_batches == {}
    assert batches.meta.retired == {}


def test_days_within_reach_stay() -> None:
    batches = Batches()
    batches.meta.seen_batches = {DAY: 3}
    assert batches.settle(SeenWindow(batches.store, batches.meta), DAY + DAYS_KEPT) == []
    assert batches.meta.seen_batches == {DAY: 3}
