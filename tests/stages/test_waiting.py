"""What users say to an account waits and is applied in the order of time, wherever batches end."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from app.compute.accounts import AccountApplication
from app.definitions.model import Catalog, Definition
from app.profiles import codec
from app.profiles.store import PROFILE, WAITING
from app.stages import accounts, envelope
from tests.stages.accounts_partition import KEY, T0, TOPICS, Partition, flips, until

FLAPS = Definition("all", "audience", "ALL (event('V').count() >= 1)", "ACCOUNTS")


def two_users(partition: Partition) -> list[tuple[bytes, bytes]]:
    """Both satisfy it from the start; Bob does not from 12 to 20, Ann not from 15 on, which comes early."""
    user = partition.user
    return [
        user(0, "ann", 1, holds=True, joins=True), user(15, "ann", 2, holds=False),
        user(10, "bob", 1, holds=True, joins=True), user(12, "bob", 2, holds=False), user(20, "bob", 3, holds=True),
    ]  # fmt: skip


WANTED = [("00.000", True), ("00.012", False)]


def test_nothing_is_said_before_the_timer_and_then_in_the_order_of_time() -> None:
    partition = Partition(FLAPS)
    assert flips(partition.do(*two_users(partition))) == []
    assert partition.waits() == 5
    assert flips(partition.do(until(11))) == WANTED[:1]
    assert partition.waits() == 3
    assert flips(partition.do(until(30))) == WANTED[1:]
    assert partition.waits() == 0


def test_no_more_than_so_much_is_applied_with_one_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "APPLIED_MAX", 2)
    partition = Partition(FLAPS)
    partition.do(*two_users(partition))
    said = []
    for left in (3, 1, 0):
        due = list(partition.store.timers_until(T0 + 30, 9))
        assert [key for _, key in due] == [KEY]
        said += flips(partition.do(until(30)))
        assert partition.waits() == left
    assert said == WANTED
    assert list(partition.store.timers_until(T0 + 30, 9)) == []


@pytest.mark.parametrize("seed", range(30))
def test_wherever_batches_end_and_the_changelog_is_cut_the_same_is_said(seed: int) -> None:
    random = Random(seed)
    partition = Partition(FLAPS)
    values = [*two_users(partition), until(11), partition.user(25, "ann", 3, holds=True), until(21), until(30)]
    records = partition.records(*values)
    said: dict[bytes, tuple[str, bool]] = {}
    at = 0
    while at < len(records):
        work = partition.stage.process(records[at : at + random.randint(1, 5)])
        ids = [dict(headers)["ce_id"] for _, _, headers in work.outputs.get((TOPICS.changes, 0), [])]
        assert len(set(ids)) == len(ids)
        said |= dict(zip(ids, flips(work), strict=True))
        if random.random() < 0.4:
            partition.die(work, random)
            at = partition.stage.src_next - records[0].offset
        else:
            partition.commit(work)
            at = work.src_next - records[0].offset
    assert list(said.values()) == [*WANTED, ("00.025", True)]
    assert partition.waits() == 0
    folded = {key: value for key, value in partition.changelog if key.startswith(WAITING)}
    assert set(folded.values()) == {None}


def test_what_cannot_be_applied_is_a_dead_letter_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    partition = Partition(FLAPS)
    partition.do(*two_users(partition))
    step = AccountApplication.step

    def fails(self: AccountApplication, user: str, *rest: Any) -> None:
        if self.scene.now == T0 + 12:
            raise ZeroDivisionError("a fault of ours")
        step(self, user, *rest)

    monkeypatch.setattr(AccountApplication, "step", fails)
    work = partition.do(until(30))
    (dead,) = work.outputs[TOPICS.events_dead, 0]
    assert dead[0] == b"accounts.in-0-4"
    assert b"a fault of ours" in (dead[1] or b"")
    assert flips(work) == [("00.000", True), ("00.015", False)]
    assert partition.waits() == 0


def test_without_definitions_of_accounts_nothing_waits_and_what_did_is_first() -> None:
    partition = Partition(FLAPS)
    partition.do(partition.user(0, "ann", 1, holds=True, joins=True), partition.user(5, "ann", 2, holds=False))
    partition.do((None, envelope.catalog(Catalog())))
    assert partition.waits() == 2
    partition.do(partition.user(9, "ann", 3, holds=True))
    assert partition.waits() == 0
    (account,) = partition.stage._held.cache.load([KEY]).values()
    assert account.members is not None
    assert account.members.users["ann"][:2] == [3, "1"]


def test_what_waits_arms_the_account_and_leaves_the_rest_of_its_bytes_alone() -> None:
    partition = Partition(FLAPS)
    partition.do(partition.user(5, "ann", 1, holds=True, joins=True), until(6))
    place = PROFILE + KEY
    before = partition.store.get(place) or b""
    for at_ms in (20, 10):
        work = partition.do(partition.user(at_ms, "ann", at_ms, holds=False))
        found = codec.decode(work.writes[place] or b"")
        assert (found.w, found.armed_due) == (partition.offset - 1, T0 + at_ms)
        assert list(partition.store.timers_until(1 << 60, 9)) == [(T0 + at_ms, KEY)]
        found.w, found.armed_due = codec.w_of(before), 0
        assert codec.encode(found, 0x00FF00FF) == before
    assert flips(partition.do(until(30))) == [("00.010", False)]


def test_what_waits_for_an_account_that_is_new_is_all_of_it() -> None:
    partition = Partition(FLAPS)
    members = partition.user(9, "ann", 1, holds=True, joins=True), partition.user(7, "bob", 1, holds=True, joins=True)
    assert PROFILE + KEY in partition.do(*members).writes
    assert [due_ms for due_ms, _ in partition.store.timers_until(1 << 60, 9)] == [T0 + 7]


def test_an_account_that_nobody_has_joined_yet_is_not_evaluated() -> None:
    partition = Partition(FLAPS)
    partition.do(partition.user(5, "ann", 1, holds=False, joins=True))
    assert flips(partition.do((KEY, envelope.refresh(T0)))) == [], "ALL of nobody holds"
    assert flips(partition.do(until(9))) == []


def test_one_more_that_waits_does_not_write_the_account_again() -> None:
    partition = Partition(FLAPS)
    assert b"p|acme" in partition.do(partition.user(5, "ann", 1, holds=True, joins=True)).writes
    assert b"p|acme" not in partition.do(partition.user(6, "ann", 2, holds=False)).writes
