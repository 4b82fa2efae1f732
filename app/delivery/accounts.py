"""The vendor accounts of a process: whoever uses the same one shares its rate and its slots."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from app.activation.destination import Configured
from app.clock import Clock
from app.delivery.limiter import Limiter
from app.delivery.slots import Slots
from app.delivery.timetable import Timetable
from app.delivery.turns import Turns


class Pace(Protocol):
    """What holds this worker's part of a rate."""

    @property
    def pace_per_s(self) -> float: ...
    def set_share(self, held: Collection[int], places: int) -> None: ...
    def set_part(self, part: float) -> None: ...
    async def acquire(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Account:
    """One account. Where its destinations are given different limits, the lowest rate holds for all.

    The lowest number of requests at once, too; but not a list's: that is how many lists at once are of use.
    """

    partitions: Mapping[str, int]
    """Destination → partitions of its topic, in an order that is the same in every worker."""
    rate_per_s: float
    """Of all workers together."""
    pace: Pace
    slots: Slots
    _turns: Turns = field(default_factory=Turns)

    async def turn(self, urgent: Callable[[], bool]) -> None:
        """Wait until the rate allows one more request.

        Args:
            urgent: Whether something live waits for it: that goes before backlogs and lists.
        """
        async with self._turns.next(urgent=urgent()):
            await self.pace.acquire()

    def set_share(self, held: Mapping[str, Collection[int]]) -> None:
        """Which partitions of its destinations this worker has."""
        places: set[int] = set()
        first = 0
        for name, count in self.partitions.items():
            places |= {first + partition for partition in held[name]}
            first += count
        self.pace.set_share(places, first)
        self.slots.set_share(len(places) / first)


def accounts(
    destinations: Mapping[str, Configured], partitions: Callable[[str], int], clock: Clock
) -> dict[str, Account]:
    """Destination → its account; several may have the same.

    Args:
        partitions: Destination → partitions of its topic.
    """
    names: dict[str, list[str]] = {}
    for name in sorted(destinations):
        names.setdefault(destinations[name].account, []).append(name)
    found: dict[str, Account] = {}
    for together in names.values():
        rate_per_s = min(destinations[name].limits.requests_per_s for name in together)
        counts = {name: partitions(name) for name in together}
        pace = pace_of(rate_per_s, sum(counts.values()), clock)
        senders = [name for name in together if destinations[name].sends] or together
        in_flight_max = min(destinations[name].limits.in_flight_max for name in senders)
        account = Account(counts, rate_per_s, pace, Slots(in_flight_max, paced=pace.set_part))
        found |= dict.fromkeys(together, account)
    return found


def pace_of(rate_per_s: float, places: int, clock: Clock) -> Pace:
    """Shares of less than one request a second would not hold together within a second."""
    return Timetable(rate_per_s, clock=clock) if rate_per_s < places else Limiter(rate_per_s, clock=clock)
