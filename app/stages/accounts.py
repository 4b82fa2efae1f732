"""The records of `accounts.in`: what users say to their accounts, in the order of time.

Users are in many partitions, so what they say comes in any order. It waits (`app.stages.waiting`) until the account's
timer says that all of them have come to an instant; then what waits up to there is applied, in between what time does
to the account itself. At one instant time is first, as one step of all users and the account; then comes what was done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import attrgetter

import orjson

from app.compute.accounts import AccountApplication, Called
from app.compute.evaluate import earliest
from app.events.dates import instant
from app.profiles.belonging import unpack
from app.profiles.codec import CorruptProfile
from app.profiles.members import Members
from app.profiles.state import Profile
from app.stages.brought import Pieces
from app.stages.envelope import Brought, Call, Continue, Member, decode
from app.stages.folding import Folding, Poison
from app.stages.waiting import Waiter, Waiting

APPLIED_MAX = 1_000
"""How many records that wait are applied with one timer, or few more: behind an outage there may be a day's."""


class Accounts:
    """The records of users, the timers, and the portions, in one batch of `accounts.in`.

    Args:
        poisoned: Offset → why a record that waits cannot be applied.
    """

    def __init__(self, folding: Folding, poisoned: Mapping[int, str]) -> None:
        self._folding = folding
        self._poisoned = poisoned
        self._waiting = Waiting(folding)
        self._pieces = Pieces(folding)

    def member(self, account: Profile, body: Member, waiter: Waiter) -> None:
        """A step of a user waits for its instant; where no definition is of accounts, its order matters to nobody."""
        if not self._folding.held.has_accounts:
            self.timer(waiter.key, account, waiter.offset, waiter.at_ms)
            self._instant(account, waiter.offset, waiter.at_ms, [waiter])
            return
        if not body.pieces:
            unpack(body.cells)  # what cannot be read must not wait
        self._waiting.put(waiter)
        if not account.armed_due or waiter.at_ms < account.armed_due:
            account.armed_due = waiter.at_ms
            self._folding.rearmed(waiter.key, account, waiter.offset)

    def brought(self, key: bytes, body: Brought) -> None:
        """A piece of what a user brings along, before the record that it goes with."""
        self._pieces.put(key, body)

    def again(self, body: Member, waiter: Waiter) -> None:
        """A step comes again, to an account that has been changed since: it waits there, or has been applied."""
        if not self._waiting.holds(waiter):
            self._pieces.drop(waiter.key, body)

    def timer(self, key: bytes, account: Profile, offset: int, until_ms: int) -> None:
        """All users have come to an instant: apply what waits up to there, and let time pass."""
        if not account.armed_due or account.armed_due > until_ms:
            return
        self._folding.work.facts.timers += 1
        self._folding.work.facts.due_ms.append(account.armed_due)
        self._folding.done(key, account, offset, self._reach(key, account, offset, until_ms))

    def refresh(self, key: bytes, account: Profile, offset: int, until_ms: int) -> None:
        """The account is evaluated by the definitions in force, unless it has been."""
        if account.w < 0 or account.plan == self._folding.held.plan.version:
            return
        application = self._reach(key, account, offset, until_ms)
        if account.members is not None:  # else it has yet to be made
            self._folding.work.facts.refreshed += 1
            application.refresh()
        self._folding.done(key, account, offset, application)

    def forget(self, key: bytes, offset: int, until_ms: int) -> None:
        """A timer comes again that was applied, by an account that was restored without the end of that batch."""
        for waiter in self._waiting.of(key, 0):
            if waiter.at_ms > until_ms:
                return
            if waiter.offset < offset:
                self._waiting.take(waiter)
                self._pieces.drop(key, _member(waiter))

    def proceed(self, key: bytes, account: Profile, offset: int, body: Continue) -> None:
        """The next portion of users is told, unless it has been."""
        members = account.members
        if members is not None and body.number == members.portion:
            self._folding.telling.portion(key.decode(), account, members)
            self._folding.changed(key, account, offset)

    def _reach(self, key: bytes, account: Profile, offset: int, until_ms: int) -> AccountApplication:
        """Apply what waits up to an instant, or to an earlier one if that is much; then time passes up to there."""
        applied, next_ms = 0, 0
        waits = self._waiting.of(key, account.armed_due) if account.armed_due else ()
        for at_ms, found in groupby(waits, key=attrgetter("at_ms")):
            if at_ms > until_ms or applied >= APPLIED_MAX:
                until_ms, next_ms = min(until_ms, at_ms - 1), at_ms
                break
            waiters = list(found)
            for waiter in waiters:
                self._waiting.take(waiter)
            self._instant(account, offset, at_ms, waiters)
            applied += len(waiters)
        application = self._folding.account(key, account, offset)
        application.pass_time(until_ms)
        account.armed_due = earliest(account.armed_due, next_ms)
        return application

    def _instant(self, account: Profile, offset: int, at_ms: int, waiters: Sequence[Waiter]) -> None:
        """What users have said of one instant."""
        members = account.members = account.members or Members()
        timed: list[tuple[str, Mapping[str, bool]]] = []
        steps: list[tuple[Waiter, Member]] = []
        for waiter in waiters:
            body = _member(waiter)
            if waiter.offset in self._poisoned:
                self._folding.dead(waiter, "failed", self._poisoned[waiter.offset])
                self._pieces.drop(waiter.key, body)
                continue
            if not body.timed or at_ms <= account.clock:
                steps.append((waiter, body))
            elif self._is_new(members, body):
                timed.append((body.user, body.conditions))
        if timed:
            application = self._folding.account(waiters[0].key, account, offset)
            application.turn(at_ms, timed)
            self._folding.done(waiters[0].key, account, offset, application)
        for waiter, body in steps:
            if self._is_new(members, body):
                try:
                    self._step(waiter.key, account, members, offset, body)
                except CorruptProfile:
                    raise
                except Exception as error:
                    raise Poison(waiter.offset, f"{type(error).__name__}: {error}") from error
            self._pieces.drop(waiter.key, body)

    def _is_new(self, members: Members, body: Member) -> bool:
        is_new = members.heard(body.user, body.version)
        self._folding.work.facts.repeats += not is_new
        return is_new

    def _step(self, key: bytes, account: Profile, members: Members, offset: int, body: Member) -> None:
        application = self._folding.account(key, account, offset)
        is_asking = members.fresh is not None
        application.pass_time(body.at)
        touched, brought, call = _touched(application, members, body), self._pieces.cells(key, body), _called(body.call)
        if body.recollects or body.parted:
            if body.parted:
                application.step(body.user, touched, (), call, body.arrival)
            number = body.recollects or members.asked
            application.recollect(brought, is_answer=members.answers(body.user, number))
        else:
            application.step(body.user, touched, brought, call, body.arrival)
        is_gone = body.leaves or body.parts
        if is_gone:
            application.forget()
        is_less = is_gone or body.recounted
        if (is_less and application.plan.cells) or (is_asking and (is_less or body.replaces)):
            # Cells cannot be taken apart: what this user has done is in them, and what any other has.
            self._folding.telling.ask(application, members)
            application.settle()
        self._folding.done(key, account, offset, application)
        if body.joins:
            self._folding.telling.welcome(application, members, body.user)


def _member(waiter: Waiter) -> Member:
    body = decode(waiter.value)
    assert type(body) is Member, "nothing else waits"
    return body


def _touched(application: AccountApplication, members: Members, body: Member) -> list[int]:
    """Put down what a user says of itself; the definitions that read it."""
    are_others = False
    for gone in body.replaces:
        are_others = members.replace(gone) or are_others
    if body.leaves:
        are_others = members.leave(body.user) or are_others
    if body.joins:
        are_others = members.join(body.user, body.version) or are_others
    if body.expects:
        are_others = members.join(body.expects, 0) or are_others
    changed = members.said(body.user, body.conditions)
    return application.readers_of(application.plan.by_condition.keys() if are_others else {*changed})


def _called(call: Call | None) -> Called | None:
    if call is None:
        return None
    message = orjson.loads(memoryview(call.message))
    claimed = instant(message.get("timestamp"))
    return Called(message, claimed if claimed is not None and claimed <= call.at else call.at, call.arrival)
