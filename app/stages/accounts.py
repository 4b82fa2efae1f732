"""The records of `accounts.in`: what users say to their accounts."""

from __future__ import annotations

import orjson

from app.compute.accounts import Called
from app.definitions.plan import Plan
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
        # Of the instant itself, what time does to the account and to its user is one step.
        application.pass_time(body.at - body.timed)
        touched = _touched(self._folding.held.plan, members, body)
        if body.timed:
            application.pass_time_with(body.at, touched)
        else:
            application.step(touched, unpack(body.cells), _called(body.call))
        self._folding.done(key, account, offset, application)
        if body.joins:
            self._folding.telling.welcome(application, members, body.user)

    def proceed(self, key: bytes, account: Profile, offset: int, body: Continue) -> None:
        """The next portion of users is told, unless it has been."""
        members = account.members
        if members is not None and body.number == members.portion:
            self._folding.telling.portion(key.decode(), account, members)
            self._folding.changed(key, account, offset)


def _touched(plan: Plan, members: Members, body: Member) -> list[int]:
    """Put down what a user says of itself; the definitions that read it."""
    are_others = any([members.replace(each) for each in body.replaces])
    if body.joins and members.join(body.user, body.version):
        are_others = True
    changed = members.set(body.user, body.conditions)
    return [index for id_, readers in plan.by_condition.items() if are_others or id_ in changed for index in readers]


def _called(call: Call | None) -> Called | None:
    if call is None:
        return None
    message = orjson.loads(memoryview(call.message))
    claimed = instant(message.get("timestamp"))
    return Called(message, claimed if claimed is not None and claimed <= call.at else call.at, call.arrival)
