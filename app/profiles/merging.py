"""What a profile remembers of merges: of those it is part of now, and of one that is under way."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Parked:
    """An event that came while the profile waits."""

    offset: int
    """In `profiles.in`."""
    repeat: bool
    """Whether its message had been applied before it came."""
    value: bytes
    """The record's."""


@dataclass(slots=True)
class Merging:
    """Empty for nearly every profile.

    A message that is on its way to a profile which is merged meanwhile may reach the survivor by two ways. So the
    survivor waits for what the other has counted, ids of messages included, before it counts anything itself.
    """

    redirect: str = ""
    """The profile that this one is part of now; everything else of this one has gone there."""
    absorbed: list[str] = field(default_factory=list)
    """The profiles that are part of this one. A profile is absorbed once in its life."""
    waiting: list[str] = field(default_factory=list)
    """Those whose state is on its way."""
    parked: list[Parked] = field(default_factory=list)
    """Events since then, in the order of their coming."""
    pieces: dict[str, list[bytes]] = field(default_factory=dict)
    """By the profile whose state they are: those that have come of a state in several."""
    paused_due: int = 0
    """When the profile's timer is due, which is not armed while it waits; 0 for never."""

    def add(self, loser: str, theirs: Merging | None) -> None:
        """A profile has become part of this one, and with it what was part of that, or is still on its way to it."""
        self.absorbed.append(loser)
        if theirs is not None:
            self.absorbed += [each for each in theirs.absorbed if each not in self.absorbed]
            self.waiting += [each for each in theirs.waiting if each not in self.waiting]
        self.waiting = [each for each in self.waiting if each not in self.absorbed]
