"""The records of `accounts.in`: what users say to their accounts."""

from __future__ import annotations

import orjson

from app.compute.accounts import AccountApplication, Called
from app.events.dates import instant
from app.profiles.belonging import unpack
from app.profiles.members import Members
from app.profiles.state import Profile
from app.stages.envelope import Call, Continue, Member
from app.stages.folding import Folding


class Accounts:
    """The records of users, and of portions, in one batch of `accounts.in`."""

    def __init__(self, folding: Folding) -> None:
        self._folding = folding

    def member(self, key: bytes, account: Profile, offset: int, body: Member) -> None:
        """A step of a user is applied, unless it has been."""
        members = account.members = account.members or Members()
        if not members.heard(body.user, body.version):
            self._folding.work.facts.repeats += 1
            return
        application = self._folding.account(key, account, offset)
        is_asking = members.fresh is not None
        if body.timed and body.at > account.clock:
            application.wait(body.at, body.user, body.conditions)
        else:
            application.pass_time(body.at)
            touched, brought, call = _touched(application, members, body), unpack(body.cells), _called(body.call)
            if body.recollects:
                application.recollect(brought, is_answer=members.answers(body.user, body.recollects))
            else:
                application.step(body.user, touched, brought, call)
        if (body.leaves and application.plan.cells) or (is_asking and (body.leaves or body.replaces)):
            # Cells cannot be taken apart: what this user has done is in them, and what any other has.
            self._folding.telling.ask(application, members)
            application.settle()
        self._folding.done(key, account, offset, application)
        if body.joins:
            self._folding.telling.welcome(application, members, body.user)

    def proceed(self, key: bytes, account: Profile, offset: int, body: Continue) -> None:
        """The next portion of users is told, unless it has been."""
        members = account.members
        if members is not None and body.number == members.portion:
            self._folding.telling.portion(key.decode(), account, members)
            self._folding.changed(key, account, offset)


def _touched(application: AccountApplication, members: Members, body: Member) -> list[int]:
    """Put down what a user says of itself; the definitions that read it."""
    are_others = False
    for gone in (*body.replaces, *([body.user] if body.leaves else ())):
        are_others = members.remove(gone) or are_others
    if body.joins:
        are_others = members.join(body.user, body.version) or are_others
    changed = members.said(body.user, body.conditions)
    return application.readers_of(application.plan.by_condition.keys() if are_others else {*changed})


def _called(call: Call | None) -> Called | None:
    if call is None:
        return None
    message = orjson.loads(memoryview(call.message))
    claimed = instant(message.get("timestamp"))
    return Called(message, claimed if claimed is not None and claimed <= call.at else call.at, call.arrival)
