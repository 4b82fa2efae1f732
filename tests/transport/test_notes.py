"""What is settled behind the committed offset, and that its next owner does not send it again."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.activation.outcome import Delivered, Reason, Retry
from app.transport.notes import NOTE_CHARS_MAX, is_in, read_note, unsettled, write_note
from tests.delivery.records import record
from tests.delivery.test_lane import Driver

FAILS = Retry(Reason.SERVER_ERROR)


def runs_of(offsets: set[int]) -> list[tuple[int, int]]:
    firsts = sorted(offset for offset in offsets if offset - 1 not in offsets)
    lasts = sorted(offset for offset in offsets if offset + 1 not in offsets)
    return list(zip(firsts, lasts, strict=True))


@given(st.sets(st.integers(0, 60)), st.integers(0, 2**40))
def test_a_note_says_exactly_what_is_settled(offsets: set[int], base: int) -> None:
    runs = runs_of({base + offset for offset in offsets})
    assert read_note(write_note(runs)) == runs
    assert {offset for offset in range(61) if is_in(base + offset, runs)} == offsets


def test_a_note_that_would_be_too_long_leaves_out_the_last() -> None:
    runs = [(10**12 + 3 * number, 10**12 + 3 * number + 1) for number in range(5_000)]
    note = write_note(runs)
    assert 3_800 < len(note) <= NOTE_CHARS_MAX
    read = read_note(note)
    assert read == runs[: len(read)]
    assert len(read) > 300


def test_what_is_no_note_of_ours_says_nothing() -> None:
    for text in ("", "v2 1 2", "v1", "v1 x 1-2", "v1 1 a", "something else"):
        assert read_note(text) == []
    assert write_note([]) == ""


def test_the_next_owner_sends_only_what_was_not_settled() -> None:
    first = Driver()
    first.take(*(record(offset, name) for offset, name in enumerate("abcad")))
    batches: Any = {batch.items[0].payload.id: batch for batch in (first.must() for _ in range(4))}
    first.settle(batches["a-0"], FAILS)
    for id_ in ("b-1", "c-2", "d-4"):
        first.settle(batches[id_], Delivered())
    assert (first.committable, first.lane.note(0)) == (0, "v1 1 0-1,3")
    second = Driver()
    second.lane.assign(0, 0, first.lane.note(0))
    second.take(*(record(offset, name) for offset, name in enumerate("abcade")))
    assert [second.answer(Delivered())[0] for _ in range(3)] == ["a-0", "a-3", "e-5"]
    assert (second.next(), second.committable, second.lane.pending, second.lane.note(0)) == (None, 6, 0, "")


@given(st.sets(st.integers(0, 60)), st.integers(0, 60), st.integers(0, 60))
def test_what_is_not_settled_is_counted_without_what_is(settled: set[int], position: int, end: int) -> None:
    wanted = {offset for offset in range(position, end) if offset not in settled}
    assert unsettled(position, end, write_note(runs_of(settled))) == len(wanted)


def test_without_a_note_all_that_is_not_committed_is_unsettled() -> None:
    assert (unsettled(3, 10, ""), unsettled(10, 3, "")) == (7, 0)
