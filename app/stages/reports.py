"""What users say to the accounts that they belong to: calls, conditions that have turned, and what they bring along."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import TypeAlias

from app.compute.accounts import collect, tag_of
from app.compute.apply import Application
from app.definitions.plan import CONDITION, Plan
from app.events.model import Message, id_text
from app.profiles.belonging import UNTAGGED, Belonging, pack
from app.profiles.state import Profile
from app.stages.envelope import Brought, Call, Event, Member, Recollect, encode
from app.stages.records import Work
from app.topics import JSON_HEADERS, Topics, partition_of

PIECE_BYTES = 2 << 20
"""Of what is brought along, before base64: a record may have 8 MiB, and a call may be in it, too."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A message that a user has sent, and that is no repeat."""

    event: Event
    message: Message
    at_ms: int
    """The event's own time."""

    def is_for_accounts(self, plan: Plan) -> bool:
        """Whether accounts may have to hear of it, now or when its user joins them."""
        return self.event.type == "group" or self.event.name in plan.collective


@dataclass(frozen=True, slots=True)
class Absorbed:
    """A profile has become part of a user.

    Attributes:
        loser: Its id.
        replaced: The accounts that it belonged to.
        joined: Those of them that the user did not belong to.
        brought: By account, packed: the cells of what it has not seen.
        recounted: Whether some of what either had counted was the other's, too: accounts may have seen it twice.
        parted: Whether it is of a split, and the user whom the identifier makes: accounts have seen all of it.
    """

    loser: str
    replaced: frozenset[str]
    joined: frozenset[str]
    brought: Mapping[str, bytes]
    recounted: bool = False
    parted: bool = False


@dataclass(frozen=True, slots=True)
class Parted:
    """An identifier has left a user.

    Attributes:
        into: The profile that it makes.
        belonged: The accounts that the user belonged to.
        joins: Those of them that the other belongs to.
    """

    into: str
    belonged: tuple[str, ...]
    joins: frozenset[str]


Moved: TypeAlias = Absorbed | Parted


@dataclass(slots=True)
class _Step:
    """What a step means to accounts: to each, or to those named."""

    conditions: dict[str, bool]
    joined: set[str] = field(default_factory=set)
    """To these all conditions are told."""
    call: Call | None = None
    called: frozenset[str] = frozenset()
    absorbed: Absorbed | None = None
    parted: Parted | None = None


def taken_in(user: str, profile: Profile, taken: Profile, into: str, plan: Plan) -> Absorbed:
    """What it means to accounts that a user takes in what a split has taken out, before it does: it is the one whom
    the identifier makes, or that is part of it already."""
    if user != into:
        return absorbed(profile, taken, into, plan)
    theirs, kinds = taken.belonging or Belonging(), plan.collective_kinds
    brought = {each: pack(theirs.brought_along(each, kinds, profile.clock)) for each in theirs.accounts}
    return Absorbed(into, frozenset(), frozenset(theirs.accounts), brought, parted=True)


def absorbed(winner: Profile, loser: Profile, loser_id: str, plan: Plan, *, recounted: bool = False) -> Absorbed:
    """What a merge means to accounts; before it, when the winner's clock is at its instant."""
    ours, theirs = winner.belonging or Belonging(), loser.belonging or Belonging()
    kinds, now_ms = plan.collective_kinds, winner.clock
    joined = theirs.accounts.keys() - ours.accounts.keys()
    if recounted:
        return Absorbed(loser_id, frozenset(theirs.accounts), frozenset(joined), {}, recounted=True)
    brought = {each: pack(ours.brought_along(each, kinds, now_ms)) for each in joined}
    for each in ours.accounts.keys() - theirs.accounts.keys():
        brought[each] = pack(theirs.brought_along(each, kinds, now_ms))
    return Absorbed(loser_id, frozenset(theirs.accounts), frozenset(joined), brought)


class Reports:
    """The records of one batch from users to accounts.

    Args:
        partitions: Of `accounts.in`.
    """

    def __init__(self, topics: Topics, partitions: int, work: Work) -> None:
        self._topic = topics.accounts_in
        self._partitions = partitions
        self._work = work

    def send(self, application: Application, heard: Heard | None = None, moved: Moved | None = None) -> None:
        """Tell a user's accounts of a record that has been applied to it."""
        profile, user = application.profile, application.profile_id
        step = _step(application, heard, moved)
        belonging = profile.belonging
        if belonging is None:
            return
        accounts = step.parted.belonged if step.parted is not None else tuple(belonging.accounts)
        for at_ms, turned in groupby((each for each in application.turned if each.timed), key=lambda each: each.at_ms):
            conditions = {each.condition: each.holds for each in turned}
            for account in [each for each in accounts if each not in step.joined]:
                self._emit(belonging, account, Member(at_ms, user, 1, timed=True, conditions=conditions))
        for account in accounts:
            member = _said(application, belonging, account, step)
            if member != Member(member.at, user, member.version):
                member.arrival = application.scene.arrival if application.plan.judged else 0
                self._emit(belonging, account, member)

    def recollect(self, key: bytes, profile: Profile, plan: Plan, asked: Recollect) -> bool:
        """Say once more what a user brought along to an account; whether it belongs to it."""
        belonging = profile.belonging
        if belonging is None or asked.account not in belonging.accounts:
            return False
        cells = pack(belonging.brought_along(asked.account, plan.collective_kinds, profile.clock))
        self._emit(
            belonging, asked.account, Member(profile.clock, key.decode(), 1, recollects=asked.number, cells=cells)
        )
        return True

    def leave(self, key: bytes, profile: Profile) -> None:
        """A user is to be forgotten by all of its accounts, and forgets them."""
        belonging = profile.belonging
        for account in belonging.accounts if belonging is not None else ():
            assert belonging is not None
            self._emit(belonging, account, Member(profile.clock, key.decode(), 1, leaves=True))
        profile.belonging = None

    def _emit(self, belonging: Belonging, account: str, member: Member) -> None:
        belonging.sent += 1
        member.version = belonging.sent
        key = account.encode()
        partition = partition_of(key, self._partitions)
        for value in (*map(encode, _cut(member)), encode(member)):
            self._work.emit(self._topic, partition, (key, value, JSON_HEADERS))


def _cut(member: Member) -> list[Brought]:
    """The pieces that go before a member's record, if what is brought along is too long for it."""
    cells = member.cells
    if len(cells) <= PIECE_BYTES:
        return []
    pieces = [cells[at : at + PIECE_BYTES] for at in range(0, len(cells), PIECE_BYTES)]
    member.cells, member.pieces = b"", len(pieces)
    return [Brought(member.user, member.version, number, data) for number, data in enumerate(pieces)]


def _step(application: Application, heard: Heard | None, moved: Moved | None) -> _Step:
    profile, plan = application.profile, application.plan
    step = _Step({each.condition: each.holds for each in application.turned if not each.timed})
    if application.is_replanned:
        step.conditions = _all(application)
    if type(moved) is Parted:
        step.parted = moved
    elif type(moved) is Absorbed:
        step.absorbed = moved
        step.joined.update(moved.joined)
    if heard is None:
        return step
    event, message, name = heard.event, heard.message, heard.event.name
    if event.type == "group":
        group = id_text(message.get("groupId"))
        if group:
            profile.belonging = profile.belonging or Belonging()
            if profile.belonging.join(group):
                step.joined.add(group)
            step.called = frozenset((group,))
    elif name is not None and name in plan.collective and collect(application, message, heard.at_ms, name):
        tag, belonging = tag_of(message), profile.belonging
        accounts = belonging.accounts if belonging is not None else ()
        step.called = frozenset(each for each in accounts if tag in (UNTAGGED, each))
    if step.called:
        step.call = Call(event.at, application.scene.arrival, event.message)
    return step


def _said(application: Application, belonging: Belonging, account: str, step: _Step) -> Member:
    """What a step means to one account; of no number yet."""
    joins, merge, parted = account in step.joined, step.absorbed, step.parted
    said = Member(application.profile.clock, application.profile_id, 1, joins=joins)
    if parted is not None:
        said.parts, said.leaves = True, account not in belonging.accounts
        said.expects = parted.into if account in parted.joins else ""
    if merge is not None:
        said.parted = merge.parted
        said.recounted = merge.recounted
        said.replaces = [merge.loser] if account in merge.replaced else []
        said.cells = merge.brought.get(account, b"")
    elif joins:
        kinds = application.plan.collective_kinds
        said.cells = pack(belonging.brought_along(account, kinds, application.profile.clock))
    said.conditions = _all(application) if joins else step.conditions
    if account in step.called:
        said.call = step.call
    return said


def _all(application: Application) -> dict[str, bool]:
    """All conditions, and whether they hold of the user."""
    emitted = application.profile.emitted
    return {id_: emitted.get(CONDITION + id_, False) for id_ in application.plan.conditions}
