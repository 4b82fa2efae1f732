"""The vendor accounts of a process: whoever uses the same one shares its rate and its slots."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from app.activation.destination import Configured
from app.clock import Clock
from app.delivery.limiter import Limiter
from app.delivery.slots import Slots


@dataclass(frozen=True, slots=True)
class Account:
    """One account. Where its destinations are given different limits, the lowest of each kind holds for all."""

    destinations: tuple[str, ...]
    rate_per_s: float
    """Of all workers together."""
    limiter: Limiter
    slots: Slots
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def turn(self) -> None:
        """Wait until the rate allows one more request; its destinations take turns."""
        async with self._turn:
            await self.limiter.acquire()

    def set_share(self, held: int, partitions: int) -> None:
        """How many of its destinations' partitions this worker holds."""
        self.limiter.set_share(held, partitions)
        self.slots.set_share(held / partitions)


def accounts(destinations: Mapping[str, Configured], clock: Clock) -> dict[str, Account]:
    """Destination → its account; several may have the same."""
    names: dict[str, list[str]] = {}
    for name, configured in destinations.items():
        names.setdefault(configured.account, []).append(name)
    found: dict[str, Account] = {}
    for together in names.values():
        limits = [destinations[name].limits for name in together]
        rate_per_s = min(each.requests_per_s for each in limits)
        limiter = Limiter(rate_per_s, clock=clock)
        slots = Slots(min(each.in_flight_max for each in limits), paced=limiter.set_part)
        account = Account(tuple(together), rate_per_s, limiter, slots)
        found |= dict.fromkeys(together, account)
    return found
