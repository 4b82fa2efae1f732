"""How one vendor keeps lists: what a member is there, and the requests that make a list and change it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar

from app.activation.destination import Attempt, Conversation
from app.activation.outcome import Outcome, Response
from app.activation.payload import Payload
from app.activation.request import Request
from app.activation.settings import Rule

S = TypeVar("S")
T = TypeVar("T")
HOUR_S = 3_600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ListSettings:
    """What every type of list has; its settings are a subclass."""

    lists: Annotated[
        Mapping[str, str] | None,
        Rule("Audience key → id of a list that is there already. Other lists are made, and their ids kept."),
    ] = None
    additive_only: Annotated[bool, Rule("Only ever add; whoever leaves the audience stays on the list.")] = False


@dataclass(frozen=True, slots=True)
class Member:
    """One entry of a list, in the vendor's terms."""

    key: str
    """Who it is: two payloads with the same key are about the same entry."""
    cells: tuple[str, ...]
    """What requests say of it, normalised and hashed; the vendor's file knows the order."""
    group: str = ""
    """Only members of one group share a request."""


@dataclass(frozen=True, slots=True)
class ListName:
    """A list that is to be made."""

    audience: str
    """The audience's key."""
    name: str
    """The key, or what the connection's mapping made of it."""


@dataclass(frozen=True, slots=True)
class Session:
    """Requests of one update that belong together, all to be added or all to be removed."""

    id: int
    """Positive, of 53 bits; another one for each."""
    number: int
    """Of the request, from 1 on; a request that is sent again keeps it."""
    last: bool
    total: int
    """About how many members all of its requests have."""


@dataclass(frozen=True, slots=True)
class Upload:
    """Members of one group to be put on a list, or taken off."""

    list: str
    """The vendor's id."""
    add: bool
    members: tuple[Member, ...]
    session: Session | None = None
    """None: there is this one request, or the vendor does not want to know."""


Made = Generator[Request, Response, str | Outcome]
"""Ends with the new list's id, or with why there is none."""


@dataclass(frozen=True, slots=True)
class Report:
    """What has become of a request that the vendor had accepted. It names no member."""

    done: bool = True
    """False: it is still at it."""
    refused: int = 0
    """Members that it did not take, or did not let go."""
    nobody: bool = False
    """It came to nothing as a whole."""
    why: str = ""
    """In the vendor's words, for the log; nothing personal."""


Reported = Generator[Request, Response, Report | Outcome]
"""Ends with the report, or with why there is none."""
Shown = Generator[Request, Response, frozenset[str] | Outcome]
"""Ends with the keys of all members, or with why they are not known."""


@dataclass(frozen=True, slots=True)
class ListVendor(Generic[S]):
    """One type's lists.

    `change` ends as a destination's `converse` does: a Partial has an item for each member, a Rejected of
    the whole by the first reply says that nothing was done, and `Reason.LIST_GONE` that the vendor no longer has the
    list.
    """

    member: Callable[[Payload, S], Member | None]
    """Who a payload is about; None: nobody that the vendor could know."""
    change: Callable[[Upload, S, Attempt], Conversation]
    make: Callable[[ListName, Sequence[Member], S, Attempt], Made] | None = None
    """Given the first members where `makes_full`, else none. None: lists have to be there, and to be named in
    `lists`."""
    makes_full: bool = False
    """The vendor makes no empty list. Who is given to `make` is sent again with `change`."""
    shown: Callable[[str, S, Attempt], Shown] | None = None
    """Asks for all members of a list. None: the vendor does not tell."""
    report: Callable[[str, S, Attempt], Reported] | None = None
    """Asks what became of a request whose `change` ended as Delivered with that job. None: what is accepted is done."""
    reports_s: tuple[float, ...] = ()
    """Seconds from the answer to the first time of asking, from that to the second, and so on; then it is given up."""
    sessions: bool = False
    """Whether the vendor wants to know which requests belong together."""
    add_max: int = 1_000
    """Members of one request."""
    remove_max: int = 1_000
    max_for: Callable[[S], int] | None = None
    """The same for both, where a setting decides it."""
    interval_s: float = HOUR_S
    """Between two updates, where a connection does not say."""
    interval_min_s: float = HOUR_S
    """A connection that says less is refused."""

    def bound(self, settings: S, finish: Callable[[Request], Request]) -> Lists:
        """With settings in place. `finish` is what becomes of each request."""
        assert isinstance(settings, ListSettings), "a list's settings are ListSettings"
        make, shown, report = self.make, self.shown, self.report
        return Lists(
            member=lambda payload: self.member(payload, settings),
            change=lambda upload, attempt: finished(self.change(upload, settings, attempt), finish),
            make=(
                (lambda name, members, attempt: finished(make(name, members, settings, attempt), finish))
                if make is not None
                else None
            ),
            shown=(lambda id_, attempt: finished(shown(id_, settings, attempt), finish)) if shown is not None else None,
            makes_full=self.makes_full,
            report=(
                (lambda job, attempt: finished(report(job, settings, attempt), finish)) if report is not None else None
            ),
            reports_s=self.reports_s,
            sessions=self.sessions,
            given=settings.lists or {},
            additive_only=settings.additive_only,
            add_max=self.max_for(settings) if self.max_for is not None else self.add_max,
            remove_max=self.max_for(settings) if self.max_for is not None else self.remove_max,
            interval_s=self.interval_s,
            interval_min_s=self.interval_min_s,
        )


@dataclass(frozen=True, slots=True)
class Lists:
    """The same with settings in place: all that the lane of a list destination has to know."""

    member: Callable[[Payload], Member | None]
    change: Callable[[Upload, Attempt], Conversation]
    make: Callable[[ListName, Sequence[Member], Attempt], Made] | None
    makes_full: bool
    shown: Callable[[str, Attempt], Shown] | None
    report: Callable[[str, Attempt], Reported] | None
    reports_s: tuple[float, ...]
    sessions: bool
    given: Mapping[str, str]
    """Audience key → the vendor's id of a list that was there before."""
    additive_only: bool
    add_max: int
    remove_max: int
    interval_s: float
    interval_min_s: float


def finished(
    talk: Generator[Request, Response, T], finish: Callable[[Request], Request]
) -> Generator[Request, Response, T]:
    """The same conversation with other requests."""
    try:
        request = next(talk)
        while True:
            response = yield finish(request)
            request = talk.send(response)
    except StopIteration as end:
        ended: T = end.value
        return ended
