"""What users say to an account waits and is applied in the order of time, wherever batches end."""

from __future__ import annotations

from random import Random
from typing import Any

import orjson
import pytest

from app.compute.accounts import AccountApplication
from app.definitions.model import Catalog, Definition
from app.profiles.store import WAITING
from app.stages import accounts, envelope, restoring
from app.stages.compute import ComputeStage
from app.stages.envelope import Member
from app.stages.overlay import Overlay
from app.stages.records import Work
from app.topics import Topics
from tests.simulation.log import Record
from tests.simulation.store import SimStore

TOPICS = Topics()
T0 = 1_767_225_600_000
FLAPS = Definition("all", "audience", "ALL (event('V').count() >= 1)", "ACCOUNTS")
KEY = b"acme"


class Partition:
    """One partition of `accounts.in`, batch by batch."""

    def __init__(self, *definitions: Definition) -> None:
        self.store = SimStore()
        self.changelog: list[tuple[bytes, bytes | None]] = []
        self.offset = 0
        self.condition = ""
        self.start()
        self.do((None, envelope.catalog(Catalog(definitions))))
        held = self.stage._held.plan.by_condition
        self.condition = next(iter(held), "")

    def start(self) -> None:
        self.overlay = Overlay(self.store)
        self.stage = ComputeStage(TOPICS, 0, 1, self.overlay, epoch="00ff00ff", collection="accounts")

    def records(self, *values: tuple[bytes | None, bytes]) -> list[Record]:
        made = [Record(self.offset + at, key, value, T0) for at, (key, value) in enumerate(values)]
        self.offset += len(values)
        return made

    def do(self, *values: tuple[bytes | None, bytes]) -> Work:
        return self.commit(self.stage.process(self.records(*values)))

    def commit(self, work: Work) -> Work:
        self.changelog += work.changelog
        if work.changelog:
            self.store.write(work.writes, len(self.changelog) - 1)
            self.overlay.pop()
        return work

    def user(self, at_ms: int, user: str, version: int, *, holds: bool, **fields: Any) -> tuple[bytes, bytes]:
        body = Member(T0 + at_ms, user, version, conditions={self.condition: holds}, **fields)
        return KEY, envelope.encode(body)

    def waits(self) -> int:
        return len(list(self.store.keys(WAITING)))


def until(at_ms: int) -> tuple[bytes, bytes]:
    return KEY, envelope.timer(T0 + at_ms)


def flips(work: Work) -> list[tuple[str, bool]]:
    """(at, value)."""
    bodies = [orjson.loads(value or b"") for _, value, _ in work.outputs.get((TOPICS.changes, 0), [])]
    return [(body["at"][17:23], body["value"]) for body in bodies]


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
        if random.random() < 0.4:  # killed while the changelog was written, and the disk is lost
            partition.changelog += work.changelog[: random.randint(0, len(work.changelog))]
            partition.store = SimStore()
            restoring.apply(partition.store, partition.changelog, len(partition.changelog) - 1)
            partition.start()
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


def test_an_account_that_nobody_has_joined_yet_is_not_evaluated() -> None:
    partition = Partition(FLAPS)
    partition.do(partition.user(5, "ann", 1, holds=False, joins=True))
    assert flips(partition.do((KEY, envelope.refresh(T0)))) == [], "ALL of nobody holds"
    assert flips(partition.do(until(9))) == []


def test_one_more_that_waits_does_not_write_the_account_again() -> None:
    partition = Partition(FLAPS)
    assert b"p|acme" in partition.do(partition.user(5, "ann", 1, holds=True, joins=True)).writes
    assert b"p|acme" not in partition.do(partition.user(6, "ann", 2, holds=False)).writes
