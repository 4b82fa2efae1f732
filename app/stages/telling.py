"""What accounts tell their users: what they have become, in portions.

An account with many users would hold up its partition if it told all of them at once. It tells the first ones, notes
how far it has come, and leaves itself a record to go on by.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from app.compute.apply import Application
from app.profiles.members import Members
from app.profiles.state import Profile
from app.stages.envelope import Continue, Fact, Recollect, encode
from app.stages.records import Work
from app.topics import JSON_HEADERS, Topics, partition_of

PORTION_MAX = 500
"""How many users are told with one record."""


class Telling:
    """The records of one batch from accounts to users, and to the accounts themselves.

    Args:
        partition: Of `accounts.in`.
        partitions: Of `profiles.in`.
    """

    def __init__(self, topics: Topics, partition: int, partitions: int, work: Work) -> None:
        self._topics = topics
        self._partition = partition
        self._partitions = partitions
        self._work = work

    def tell(self, application: Application) -> None:
        """A record has been applied to an account: its users are to hear of what has changed by it."""
        members, told = application.profile.members, application.plan.told
        values = _values(application) if application.is_replanned else {}
        values |= {change.key: change.value for change in application.changes if change.key in told}
        if members is not None and values:
            self._enqueue(application, members, lambda: members.tell(values))

    def ask(self, application: Application, members: Members) -> None:
        """Of an account a user is gone: the others say once more what they brought along."""
        self._enqueue(application, members, members.ask)

    def _enqueue(self, application: Application, members: Members, add: Callable[[], None]) -> None:
        is_idle = not members.telling
        add()
        if is_idle:
            self.portion(application.profile_id, application.profile, members)

    def portion(self, id_: str, account: Profile, members: Members) -> None:
        """Tell the next portion of an account's users."""
        for user, values in members.next_portion(PORTION_MAX):
            if values is None:
                self._to_user(user, Recollect(account.clock, id_, members.asked))
            else:
                self._fact(id_, account, members, user, values)
        if members.telling:
            record = (id_.encode(), encode(Continue(account.clock, members.portion)), JSON_HEADERS)
            self._work.emit(self._topics.accounts_in, self._partition, record)

    def welcome(self, application: Application, members: Members, user: str) -> None:
        """Who joins hears what the account is."""
        values = _values(application)
        if values:
            self._fact(application.profile_id, application.profile, members, user, values)

    def _fact(self, id_: str, account: Profile, members: Members, user: str, values: Mapping[str, Any]) -> None:
        members.sent += 1
        self._to_user(user, Fact(account.clock, id_, members.sent, {**values}))

    def _to_user(self, user: str, body: Fact | Recollect) -> None:
        key = user.encode()
        self._work.emit(
            self._topics.profiles_in, partition_of(key, self._partitions), (key, encode(body), JSON_HEADERS)
        )


def _values(application: Application) -> dict[str, Any]:
    """All that users are told of an account, in the order of its definitions."""
    emitted, plan = application.profile.emitted, application.plan
    return {each.key: emitted[each.key] for each in plan.definitions if each.key in emitted and each.key in plan.told}
