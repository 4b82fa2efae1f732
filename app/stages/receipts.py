"""A regulation's receipt: the parts that are there so far, and how far it is by them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from app.stages import regulations
from app.stages.regulations import Decided, Erased, Failed, Part, Requested, Settled


class State(StrEnum):
    """How far a regulation is."""

    INITIALIZED = "INITIALIZED"
    """Asked for, and not decided yet."""
    RUNNING = "RUNNING"
    """In force; something is still to be erased, or to be told to a vendor."""
    PARTIAL_SUCCESS = "PARTIAL_SUCCESS"
    """All that is ours is erased; a vendor has refused."""
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    """A profile could not be erased; the reason is in the receipt."""

    @property
    def is_final(self) -> bool:
        return self not in (State.INITIALIZED, State.RUNNING)


@dataclass(slots=True)
class Receipt:
    """What is known of one regulation."""

    id: str
    requested: Requested | None = None
    decided: Decided | None = None
    profiles: dict[str, Erased | Failed] = field(default_factory=dict)
    settled: dict[str, Settled] = field(default_factory=dict)
    """By payload."""

    def take(self, part: Part) -> None:
        """Add a part; one that is there already is replaced."""
        match part:
            case Requested():
                self.requested = part
            case Decided():
                self.decided = part
            case Erased() | Failed():
                self.profiles[part.profile] = part
            case Settled():
                self.settled[part.payload] = part

    @property
    def state(self) -> State:
        if self.decided is None:
            return State.INITIALIZED
        if any(isinstance(each, Failed) for each in self.profiles.values()):
            return State.FAILED
        if any(profile not in self.profiles for profile in self.decided.profiles):
            return State.RUNNING
        heard = Counter(each.destination for each in self.settled.values())
        if any(heard[name] < count for name, count in self.asked.items()):
            return State.RUNNING
        refused = any(each.outcome == "refused" for each in self.settled.values())
        return State.PARTIAL_SUCCESS if refused else State.FINISHED

    @property
    def erased(self) -> list[Erased]:
        """Of each profile that has been erased."""
        return [each for each in self.profiles.values() if isinstance(each, Erased)]

    @property
    def asked(self) -> dict[str, int]:
        """Destination → the deletes that its sender has to settle."""
        found: Counter[str] = Counter()
        for each in self.erased:
            found.update(each.asked)
        return dict(found)


def receipts(values: Iterable[bytes | None]) -> dict[str, Receipt]:
    """All receipts by their ids, in the order of their first parts. Records that are no parts are passed over."""
    found: dict[str, Receipt] = {}
    for value in values:
        if value is None:
            continue
        try:
            part = regulations.decode(value)
        except ValueError:
            continue
        found.setdefault(part.id, Receipt(part.id)).take(part)
    return found
