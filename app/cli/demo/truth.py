"""What the shop's stream must cause: the demo's own book-keeping of who is who, and of what that person is told.

It knows neither the language nor the engine. It plays the messages in order of sending, as if each arrived the moment
it was sent; for each profile it stops between them at every instant at which one of the short windows loses an event.
At each stop it writes down what has become different, and to whom it is addressed: to the user id as soon as there is
one, else to the anonymous id.

A profile is one device's, until a message names a user id: then it is that user's. Where the user has one already, from
another device, the two become one in a step of its own, before the message. The shop's plan sees to it that nothing of
either is about to run out at that moment. Whoever is addressed in a new way (a user id, an e-mail address) is told all
that is so, once more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from app.cli.demo.person import Answer, Person
from app.cli.demo.sample import AUDIENCES, SAMPLES
from app.cli.demo.shop import Sent

_OPEN_TO_ANONYMOUS = {sample.key for sample in SAMPLES if sample.include_anonymous_users}


@dataclass(frozen=True, slots=True)
class Flip:
    """One value that somebody must be told."""

    at_ms: int
    """Ms since the demo's start, were there no delays at all."""
    value: Answer
    """True for entered, False for exited, or the trait's new value."""
    by_time: bool
    """No message did it."""
    is_change: bool = True
    """False where the value is as it was, and whoever is told goes by an identifier that is new."""


@dataclass(frozen=True, slots=True)
class Truth:
    """Everything that must be told."""

    told: Mapping[str, Mapping[str, Sequence[Flip]]]
    """Who (`user_id:…`, `anonymous_id:…`) → definition's key → what, in order; whoever is told nothing is missing."""
    before: Mapping[str, Sequence[str]]
    """Who → those as whom the same person was addressed before; all that is told to them now is told to this one."""
    profiles_count: int
    """Profiles that anything changed for, those that became part of another among them."""
    known_count: int
    """Of these, the ones that were anonymous first and got a user id."""
    merged_count: int
    """Profiles that became part of another."""

    def flips(self) -> Iterable[Flip]:
        """All of them, in no order of note."""
        return (flip for told in self.told.values() for flips in told.values() for flip in flips)


@dataclass(slots=True)
class _Profile:
    number: int
    """In the order of creation."""
    anonymous: str
    """The first anonymous id."""
    user: str | None = None
    email: str | None = None
    clock_ms: int = -1
    person: Person = field(default_factory=Person)
    last: dict[str, Answer] = field(default_factory=dict)
    """Definition's key → the value told last."""

    @property
    def who(self) -> str:
        return f"anonymous_id:{self.anonymous}" if self.user is None else f"user_id:{self.user}"

    def learn(self, message: Mapping[str, object]) -> bool:
        """What identifies in a message; whether the profile is addressed in another way from now on."""
        before = self.user, self.email
        user, traits = message.get("userId"), message.get("traits")
        self.user = self.user or (str(user) if user is not None else None)
        if self.email is None and traits is not None:
            self.email = str(cast("Mapping[str, object]", traits)["email"])
        return before != (self.user, self.email)


class _Play:
    def __init__(self) -> None:
        self.told: dict[str, dict[str, list[Flip]]] = defaultdict(lambda: defaultdict(list))
        self.before: dict[str, list[str]] = defaultdict(list)
        self.created_count = self.known_count = self.merged_count = 0
        self.changed: set[int] = set()
        self._owners: dict[str, _Profile] = {}
        """Identifier → the living profile that has it."""

    def take(self, sent: Sent) -> None:
        profile = self._of(sent)
        self.pass_time(profile, sent.at_ms)
        who, is_new = profile.who, not profile.person.seen
        is_addressed_anew = profile.learn(sent.message)
        if profile.who != who and not is_new:
            self.known_count += 1
            self.before[profile.who].append(who)
        profile.person.take(sent)
        changed = self._look(profile, sent.at_ms, by_time=False)
        if is_addressed_anew:
            self._tell_again(profile, sent.at_ms, changed)

    def pass_time(self, profile: _Profile, until_ms: int | None = None) -> None:
        """Every end of a window up to and including an instant, or every one there is."""
        for end_ms in sorted(set(profile.person.ends_ms())):
            if end_ms > profile.clock_ms and (until_ms is None or end_ms <= until_ms):
                self._look(profile, end_ms, by_time=True)
        profile.clock_ms = profile.clock_ms if until_ms is None else until_ms

    def living(self) -> list[_Profile]:
        return list({profile.number: profile for profile in self._owners.values()}.values())

    def _of(self, sent: Sent) -> _Profile:
        """Whose a message is: the oldest profile that has one of its ids, the others having become part of it."""
        user = sent.message.get("userId")
        ids = [sent.who] if user is None else [f"user_id:{user}", sent.who]
        found = {owner.number: owner for each in ids if (owner := self._owners.get(each)) is not None}
        if found:
            profile, *losers = (owner for _, owner in sorted(found.items()))
        else:
            self.created_count += 1
            profile, losers = _Profile(self.created_count, str(sent.message["anonymousId"])), []
        for loser in losers:
            self.merged_count += 1
            self.before[profile.who] += [loser.who, *self.before.pop(loser.who, ())]
            self.pass_time(profile, sent.at_ms)
            profile.person.absorb(loser.person)
            self._look(profile, sent.at_ms, by_time=False)
            ids += [each for each, owner in self._owners.items() if owner is loser]
        self._owners.update(dict.fromkeys(ids, profile))
        return profile

    def _look(self, profile: _Profile, now_ms: int, *, by_time: bool) -> set[str]:
        changed = set()
        for key, value in profile.person.answers(now_ms).items():
            if key in AUDIENCES and profile.user is None and key not in _OPEN_TO_ANONYMOUS:
                continue
            # Nobody is a member, and no count has a value, before the first change: False and 0 are no news then.
            if value != profile.last.get(key, 0):
                profile.last[key] = value
                self.told[profile.who][key].append(Flip(now_ms, value, by_time))
                self.changed.add(profile.number)
                changed.add(key)
        return changed

    def _tell_again(self, profile: _Profile, now_ms: int, changed: set[str]) -> None:
        """All but what was said anyway; that somebody is in no audience need not be said to those who heard nothing."""
        for key, value in profile.last.items():
            if key not in changed and value is not False:
                self.told[profile.who][key].append(Flip(now_ms, value, by_time=False, is_change=False))


def truth_of(sent: Iterable[Sent]) -> Truth:
    """All that the messages, given in order of sending, must cause, up to when all short windows are empty."""
    play = _Play()
    for each in sent:
        play.take(each)
    for profile in play.living():
        play.pass_time(profile)
    told = {who: dict(flips) for who, flips in play.told.items()}
    return Truth(told, dict(play.before), len(play.changed), play.known_count, play.merged_count)
