from __future__ import annotations

from app.profiles import codec
from app.profiles.state import Profile
from app.profiles.store import PROFILE
from app.stages.cache import ProfileCache
from app.stages.overlay import Overlay
from tests.simulation.store import SimStore


class CountingStore(SimStore):
    """Knows which profiles were read."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[bytes] = []

    def get_many(self, keys: list[bytes]) -> list[bytes | None]:  # type: ignore[override]
        self.read += [key[len(PROFILE) :] for key in keys]
        return super().get_many(keys)


def cache(max_bytes: int) -> tuple[ProfileCache, CountingStore]:
    store = CountingStore()
    for sequence, key in enumerate((b"a", b"b", b"c"), 1):
        profile = Profile()
        profile.sequence = sequence
        store.write({PROFILE + key: codec.encode(profile, 1)}, 0)
    return ProfileCache(Overlay(store), max_bytes), store


def test_what_is_held_is_not_read_again() -> None:
    profiles, store = cache(1_000_000)
    held = profiles.load([b"a", b"b", b"a", b"new"])
    assert store.read == [b"a", b"b", b"new"]
    assert [held[key].sequence for key in (b"a", b"b", b"new")] == [1, 2, 0]
    profiles.load([b"a", b"c", b"new"])
    assert store.read == [b"a", b"b", b"new", b"c"]


def test_what_was_written_longest_ago_goes_first() -> None:
    profiles, store = cache(100)
    held = profiles.load([b"a", b"b", b"c"])
    profiles.put(b"a", held[b"a"], 40)
    store.read.clear()
    # b and c are older than a, which was just written; two fit.
    profiles.load([b"a"])
    assert store.read == []
    profiles.load([b"b"])
    assert store.read == [b"b"]


def test_the_batch_at_hand_is_never_evicted() -> None:
    profiles, _ = cache(0)
    held = profiles.load([b"a", b"b", b"c"])
    assert [held[key].sequence for key in (b"a", b"b", b"c")] == [1, 2, 3]
    assert profiles.load([b"a"])[b"a"].sequence == 1


def test_clear_reads_everything_again() -> None:
    profiles, store = cache(1_000_000)
    profiles.load([b"a"])[b"a"].sequence = 99
    profiles.clear()
    assert profiles.load([b"a"])[b"a"].sequence == 1
    assert store.read == [b"a", b"a"]
