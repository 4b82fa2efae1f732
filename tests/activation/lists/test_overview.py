"""What is told of lists: counts, refusals, and how a vendor's list differs."""

from __future__ import annotations

from app.activation.lists.drift import Drift, drift
from app.activation.lists.overview import Ledger
from app.activation.lists.state import Entry, Has, KeptList, Run, encode, entry_key

ENTRIES = {
    b":1": Entry("a", "", ("a",), ["p1"], Has.YES),
    b":2": Entry("b", "", ("b",), [], Has.YES),
    b":3": Entry("c", "", ("c",), ["p2"], Has.NOT, (), "refused", 5),
    b":4": Entry("d", "", ("d",), ["p3"], Has.DOUBT),
}


def ledger() -> Ledger:
    found = Ledger()
    found.take([(b"l|aud_1", encode(KeptList("vip", "VIP", 1, "L1", runs=[Run(1, 2, "done", 3)])))])
    found.take((entry_key(b"aud_1", id_), encode(entry)) for id_, entry in ENTRIES.items())
    found.take([(entry_key(b"aud_1", b":9"), encode(ENTRIES[b":1"])), (entry_key(b"aud_1", b":9"), None)])
    return found


def test_a_view_counts_what_is_wanted_held_in_doubt_and_to_be_done() -> None:
    (view,) = ledger().views()
    assert (view.audience, view.name, view.external, view.runs[0].added) == ("vip", "VIP", "L1", 3)
    assert (view.wanted, view.held, view.in_doubt, view.to_add, view.to_remove) == (3, 2, 1, 1, 1)
    assert [(one.key, one.reason, one.wanted, one.at_ms) for one in view.refused] == [("c", "refused", True, 5)]


def test_a_vendors_list_is_compared_with_what_we_put_there() -> None:
    read = ledger()
    entries, past = read.entries(b"aud_1"), [*read.past(b"aud_1")]
    assert drift(entries, past, frozenset({"a", "b", "d"})) == Drift(2, 3, 0, (), ())
    assert drift(entries, past, frozenset({"a", "x"})) == Drift(2, 2, 1, (ENTRIES[b":2"],), ())
    left = Entry("z", "", ("z",), ["p9"], Has.YES)
    was_put_on = [(entry_key(b"aud_1", b":z"), encode(left)), (entry_key(b"aud_1", b":z"), None)]
    never_was = Entry("y", "", ("y",), ["p8"], Has.DOUBT)
    read.take([*was_put_on, (entry_key(b"aud_1", b":y"), encode(never_was)), (entry_key(b"aud_1", b":y"), None)])
    found = drift(read.entries(b"aud_1"), read.past(b"aud_1"), frozenset({"a", "b", "y", "z"}))
    assert (found, found.sound) == (Drift(2, 4, 1, (), (left,)), False)
