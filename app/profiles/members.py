"""The users of an account: whether each satisfies the conditions of quantifiers, and how many do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

UNKNOWN, FAILS, SATISFIES = "?01"
_KNOWN, _SATISFYING = 0, 1
_GONE = -1


@dataclass(slots=True)
class Members:
    sent: int = 0
    """How many records it has sent to users: each has its number."""
    users: dict[str, list[Any]] = field(default_factory=dict)
    """By the profile's id, in order of joining: [number of the last record that it has sent, a letter for each
    condition, number of the last question that it has answered]. None for the letters of who does not belong to it: a
    user that has left it and may come back; and, with -1 for the question, a profile that is part of another now and
    never does, though what it has sent may still arrive. Nobody is ever taken out, so that a place in this order stays
    one."""
    count: int = 0
    """How many users there are."""
    conditions: list[str] = field(default_factory=list)
    """Ids, in the order of the letters."""
    totals: list[list[int]] = field(default_factory=list)
    """In the same order: of how many users it is known, how many satisfy it."""
    telling: list[list[Any]] = field(default_factory=list)
    """What its users are being told: [values, place of the next one to tell, place behind the last]. None for the
    values: they are asked for what they brought along."""
    portion: int = 0
    """How many portions of users have been told so far: each has its number."""
    asked: int = 0
    """How often users have been asked for what they brought along."""
    fresh: dict[str, Any] | None = None
    """Cells of those who have answered, while others have not; None while there is no question."""

    unanswered: int = 0
    """How many users have not answered the last question yet."""

    def to_list(self) -> list[Any]:
        return [
            self.sent, self.users, self.count, self.conditions, self.totals, self.telling, self.portion, self.asked,
            self.fresh, self.unanswered,
        ]  # fmt: skip

    # what the language asks

    def satisfying(self, condition: str) -> int:
        """How many users satisfy a condition."""
        return self._total(condition, _SATISFYING)

    def is_known(self, condition: str) -> bool:
        """Whether it is known of all users."""
        return self._total(condition, _KNOWN) == self.count

    def _total(self, condition: str, which: int) -> int:
        try:
            return self.totals[self.conditions.index(condition)][which]
        except ValueError:
            return 0

    # what users say

    def heard(self, user: str, version: int) -> bool:
        """A record of a user has come; whether it is new, and no repeat."""
        entry = self.users.get(user)
        if entry is None:
            return True
        if version <= entry[0]:
            return False
        entry[0] = version
        return True

    def join(self, user: str, version: int) -> bool:
        """A user belongs to the account from here on; whether that is new. One that is gone stays so."""
        entry = self.users.setdefault(user, [0, None, 0])
        if entry[1] is not None or entry[2] == _GONE:
            return False
        entry[:] = version, UNKNOWN * len(self.conditions), self.asked
        self.count += 1
        return True

    def replace(self, user: str) -> bool:
        """A profile has become part of another; whether it had belonged to the account."""
        had_belonged = self.leave(user)
        self.users[user][2] = _GONE
        return had_belonged

    def leave(self, user: str) -> bool:
        """A user belongs to the account no more; whether it did."""
        entry = self.users.setdefault(user, [0, None, 0])
        letters, entry[1] = entry[1], None
        if letters is None:
            return False
        self.count -= 1
        for totals, letter in zip(self.totals, letters, strict=False):
            totals[_KNOWN] -= letter != UNKNOWN
            totals[_SATISFYING] -= letter == SATISFIES
        return True

    def said(self, user: str, conditions: Mapping[str, bool]) -> list[str]:
        """Whether a user satisfies conditions; the ids of those of which that is new."""
        entry = self.users.get(user)
        if entry is None or entry[1] is None:
            return []
        changed = []
        for condition, holds in conditions.items():
            place = self._place(condition)
            letters = entry[1].ljust(place + 1, UNKNOWN)
            before, letter = letters[place], SATISFIES if holds else FAILS
            if before != letter:
                entry[1] = letters[:place] + letter + letters[place + 1 :]
                totals = self.totals[place]
                totals[_KNOWN] += before == UNKNOWN
                totals[_SATISFYING] += holds - (before == SATISFIES)
                changed.append(condition)
        return changed

    def _place(self, condition: str) -> int:
        if condition not in self.conditions:
            self.conditions.append(condition)
            self.totals.append([0, 0])
        return self.conditions.index(condition)

    # what users brought along

    def ask(self) -> None:
        """Ask all users for what they brought along. Whoever joins from here on has answered."""
        self.asked += 1
        self.fresh, self.unanswered = {}, self.count
        self.telling.append([None, 0, len(self.users)])

    def answers(self, user: str, number: int) -> bool:
        """A user answers; whether it is the question that is asked, and no second answer to it."""
        entry = self.users.get(user)
        if self.fresh is None or number != self.asked or entry is None or entry[1] is None or entry[2] == number:
            return False
        self.unanswered -= 1
        entry[2] = number
        return True

    def has_answered(self, user: str) -> bool:
        """Whether a user's part is in the fresh cells, and what else it does has to be."""
        entry = self.users.get(user)
        return self.fresh is not None and entry is not None and entry[1] is not None and entry[2] == self.asked

    # what users are told

    def tell(self, values: Mapping[str, Any]) -> None:
        """Have all users told of new values, behind what they are being told.

        What nobody has been told yet goes with it: who is behind hears only of the last of several.
        """
        if len(self.telling) > 1 and self.telling[-1][0] is not None:
            self.telling[-1] = [{**self.telling[-1][0], **values}, 0, len(self.users)]
        else:
            self.telling.append([dict(values), 0, len(self.users)])

    def next_portion(self, at_most: int) -> Iterable[tuple[str, dict[str, Any] | None]]:
        """The next users to tell, and of what, or to ask: no more of them at once."""
        left = at_most
        while left and self.telling:
            values, first, end = self.telling[0]
            until = min(first + left, end)
            for user, (_, letters, _) in islice(self.users.items(), first, until):
                if letters is not None:
                    yield user, values
            left -= until - first
            self.telling[0][1] = until
            if until == end:
                del self.telling[0]
        self.portion += 1
