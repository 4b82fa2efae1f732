from __future__ import annotations

from app.stages.overlay import Overlay
from tests.simulation.store import SimStore


def overlay(**stored: bytes) -> Overlay:
    store = SimStore()
    store.write({key.encode(): value for key, value in stored.items()}, 0)
    return Overlay(store)


def both(state: Overlay, key: bytes) -> bytes | None:
    """A key by one read and by many, which must agree."""
    (many,) = state.get_many([key])
    assert state.get(key) == many
    return many


def test_newest_batch_wins_and_the_store_comes_last() -> None:
    state = overlay(a=b"0", b=b"0")
    state.push({b"a": b"1"})
    state.push({b"a": b"2"})
    assert (both(state, b"a"), both(state, b"b"), both(state, b"c")) == (b"2", b"0", None)
    state.pop()
    assert both(state, b"a") == b"2"
    state.pop()
    assert both(state, b"a") == b"0"


def test_a_deletion_on_its_way_hides_what_is_stored() -> None:
    state = overlay(a=b"0")
    state.push({b"a": None})
    assert both(state, b"a") is None
    state.push({b"a": b"2"})
    assert both(state, b"a") == b"2"


def test_clear_forgets_every_batch() -> None:
    state = overlay(a=b"0")
    state.push({b"a": b"1"})
    state.push({b"a": None})
    state.clear()
    assert both(state, b"a") == b"0"


def test_keys_are_those_of_the_newest_batches_in_order_from_any_key_on() -> None:
    state = overlay(a1=b"0", a2=b"0", a4=b"0", b=b"0")
    state.push({b"a2": None, b"a3": b"1", b"a5": b"1"})
    state.push({b"a5": None, b"a0": b"2", b"a4": b"2"})
    assert [*state.keys(b"a")] == [b"a0", b"a1", b"a3", b"a4"]
    assert [*state.keys(b"a", b"a1")] == [b"a1", b"a3", b"a4"]
    assert [*state.keys(b"a", b"a33")] == [b"a4"]
    assert [*state.keys(b"a", b"a4\0")] == []


def test_many_keys_keep_their_order() -> None:
    state = overlay(a=b"0", c=b"0")
    state.push({b"b": b"1", b"c": b"1"})
    assert state.get_many([b"c", b"x", b"a", b"b", b"c"]) == [b"1", None, b"0", b"1", b"1"]


def test_keys_are_those_of_store_and_batches_in_order_from_one_of_them_on() -> None:
    state = overlay(a1=b"0", a3=b"0", a5=b"0", b1=b"0")
    state.push({b"a4": b"1", b"a3": None, b"a0": b"1"})
    state.push({b"a2": b"2", b"a4": None, b"c": b"2"})
    assert list(state.keys(b"a")) == [b"a0", b"a1", b"a2", b"a5"]
    assert list(state.keys(b"a", b"a2")) == [b"a2", b"a5"]
    state.clear()
    assert list(state.keys(b"a", b"a2")) == [b"a3", b"a5"]
