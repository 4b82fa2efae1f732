"""How far one partition of a destination's topic has come, and which of its profiles wait for what."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from app.activation.destination import Place
from app.activation.payload import Payload
from app.transport.notes import Run, is_in


@dataclass(slots=True, eq=False)
class Item:
    """One payload on its way."""

    progress: Progress
    offset: int
    value: bytes
    payload: Payload
    place: Place
    attempts: int = 0
    """Requests that failed; refusals for the destination's sake (401, 403, 410) are not counted."""
    first_s: float | None = None
    """When it was first tried, on the lane's clock without pauses."""
    group_max: int | None = None
    """With how many it may share a request, after a larger batch was refused."""
    in_backlog: bool = False
    """Whether it lies among those that go when nothing else is there to go."""


@dataclass(slots=True, eq=False)
class Progress:
    """One partition, from assignment to revocation."""

    partition: int
    next_offset: int
    """The one after the last record taken."""
    settled_before: list[Run] = field(default_factory=list)
    """What an earlier owner has settled, from where this one goes on."""
    revoked: bool = False
    """What comes in for its items from now on is of no use any more."""
    held: dict[str, deque[Item]] = field(default_factory=dict)
    """Profiles with a payload in flight, parked or being buried → the payloads that wait behind it, in order."""
    behind: int = 0
    """Payloads in all the queues of `held`."""
    backlog: dict[str, list[Item]] = field(default_factory=dict)
    """Profiles → their payloads in the backlog, in order."""
    _told: tuple[object, ...] = ()
    """The change and call that the record taken last was about."""
    _told_ids: dict[str, str] = field(default_factory=dict)
    """Whom that call has been about so far → the payload's id."""
    _open: deque[int] = field(default_factory=deque)
    """Offsets taken and not yet let go of, ascending; its first is never settled."""
    _ats: deque[str] = field(default_factory=deque)
    """Of each open offset, the instant of its change; empty for what is no payload."""
    _settled: set[int] = field(default_factory=set)
    """Settled ones among them."""

    def taken(self, offset: int) -> None:
        """The record is on the lane; offsets ascend, with gaps where the topic was compacted."""
        self._open.append(offset)
        self._ats.append("")
        self.next_offset = offset + 1

    def was_settled(self, offset: int) -> bool:
        """Whether an earlier owner has settled the record."""
        return bool(self.settled_before) and is_in(offset, self.settled_before)

    def runs(self) -> Iterator[Run]:
        """What is settled behind the first that is not, ascending: by this owner; then, of what it has not read yet, by
        earlier ones."""
        first = last = -1
        for offset in self._open if self._settled else ():
            if offset in self._settled:
                first, last = (offset if first < 0 else first), offset
            elif first >= 0:
                yield first, last
                first = -1
        if first >= 0:
            yield first, last
        for first, last in self.settled_before:
            if last >= self.next_offset:
                yield max(first, self.next_offset), last

    def stamp(self, at: str) -> None:
        """The record taken last is a payload of this instant."""
        self._ats[-1] = at

    def repeats(self, payload: Payload, key: str) -> bool:
        """Whether the payload, taken last, tells the vendor what one just before it does: those of a change come
        one after the other, one for each of the profile's addresses."""
        about = (payload.profile, payload.sequence, payload.at, payload.computation, payload.call.get("type"))
        if about != self._told:
            self._told = about
            self._told_ids = {}
        # The same payload once more is somebody's wish: a dead letter that is tried again.
        return self._told_ids.setdefault(key, payload.id) != payload.id

    def settle(self, offset: int) -> None:
        """Nothing more will be done about the record."""
        self._settled.add(offset)
        while self._open and self._open[0] in self._settled:
            self._settled.remove(self._open.popleft())
            self._ats.popleft()

    @property
    def committable(self) -> int:
        """The offset below which everything is settled."""
        return self._open[0] if self._open else self.next_offset

    @property
    def oldest_at(self) -> str:
        """The instant of the first payload that is not settled, ISO 8601; empty where nothing waits."""
        return self._ats[0] if self._ats else ""

    @property
    def unsettled(self) -> int:
        """Records taken of which something is still to be done."""
        return len(self._open) - len(self._settled)
