"""The table on disk: order, atomic steps, what it stands for."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.errors import StateError, StateErrorReason
from app.table.store import TableStore, quarantine


def test_keys_come_in_order_after_the_last_and_end_with_their_prefix(tmp_path: Path) -> None:
    store = TableStore(tmp_path / "t")
    store.write({b"a|1": b"", b"a|2": b"x", b"a|3": b"", b"b|1": b""}, 7, 1_000)
    assert store.keys(b"a|", b"", 10) == [b"a|1", b"a|2", b"a|3"]
    assert store.keys(b"a|", b"a|1", 1) == [b"a|2"]
    assert store.keys(b"a|", b"a|3", 10) == []
    store.write({b"a|2": None}, 8, 2_000)
    assert store.keys(b"a|", b"", 10) == [b"a|1", b"a|3"]
    assert store.get(b"a|2") is None
    store.close()


def test_it_knows_what_it_stands_for_after_it_was_closed(tmp_path: Path) -> None:
    store = TableStore(tmp_path / "t")
    assert (store.stands_for(), store.log()) == ((-1, 0), "")
    store.start("topic-id")
    store.write({b"a": b"1"}, 41, 1_000)
    store.close()
    again = TableStore(tmp_path / "t")
    assert (again.stands_for(), again.log(), again.get(b"a")) == ((41, 1_000), "topic-id", b"1")
    again.start("another")
    assert (again.stands_for(), again.log(), again.get(b"a")) == ((-1, 0), "another", None)
    again.close()


def test_a_directory_that_another_holds_is_told_and_a_damaged_one_put_aside(tmp_path: Path) -> None:
    store = TableStore(tmp_path / "t")
    with pytest.raises(StateError) as held:
        TableStore(tmp_path / "t", lock_wait_s=0.0)
    assert held.value.reason is StateErrorReason.DIRECTORY_LOCKED
    store.write({b"a": b"1"}, 1, 1)
    store.close()
    (tmp_path / "t" / "CURRENT").write_text("nonsense")
    with pytest.raises(StateError) as damaged:
        TableStore(tmp_path / "t")
    assert damaged.value.reason is StateErrorReason.CORRUPT
    assert quarantine(tmp_path / "t", 5).exists()
    TableStore(tmp_path / "t").close()
