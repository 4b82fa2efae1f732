"""The due index of accounts → timer records in `accounts.in`, behind what users do and what time does to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from app.clock import Clock
from app.kafka.admin import Admin
from app.observability import logs
from app.stages.account_timers import AccountGate
from app.stream.firing import Fired, Firing, Serving
from app.stream.passed import Passed
from app.stream.ticking import for_ever

log = logs.get("timers")

TICK_S = 0.1
"""How often due timers are looked for at the least; else straight behind those of users."""


@dataclass(slots=True)
class _Pumped:
    gate: AccountGate = field(default_factory=AccountGate)
    fired: Fired = field(default_factory=Fired)


class AccountPump:
    """Fires the timers of every partition of accounts that this worker serves.

    Args:
        topic: `accounts.in`.
        passed: How far the partitions of users are.
        serving: The partitions of `accounts.in` that are restored, by number.
        behind: Told of each of them how many seconds its accounts are behind the present.
    """

    def __init__(
        self, topic: str, admin: Admin, clock: Clock, firing: Firing, passed: Passed, *,
        serving: Callable[[], Mapping[int, Serving]], behind: Callable[[int, float], None],
    ) -> None:  # fmt: skip
        self._topic = topic
        self._admin = admin
        self._clock = clock
        self._firing = firing
        self._passed = passed
        self._serving = serving
        self._behind = behind
        self._started_ms = clock.now_ms()
        self._pumped: dict[int, _Pumped] = {}

    async def run(self) -> None:
        """For ever. A broker that does not answer makes timers late, no more."""
        failed = "timers of accounts could not be fired and are tried again"
        await for_ever(lambda: self._passed.moved(TICK_S), self.tick, log, failed)

    async def tick(self) -> None:
        """Ask how far the users are, then fire what is due by then. Who has no definition of accounts does not ask."""
        serving = self._serving()
        for gone in [partition for partition in self._pumped if partition not in serving]:
            del self._pumped[gone]
        for partition in serving:
            self._pumped.setdefault(partition, _Pumped())
        await self._ask([p for p, each in serving.items() if each.has_accounts and not self._pumped[p].gate.waiting])
        for partition, served in serving.items():
            pumped = self._pumped[partition]
            if served.has_accounts:
                until_ms = pumped.gate.until_ms(served.lane.done_next or 0)
                await self._firing.fire(partition, served, pumped.fired, until_ms, at_once=True)
                # Before it is known how far users are, the wait since the start is all that is.
                self._behind(partition, (self._clock.now_ms() - (until_ms or self._started_ms)) / 1_000)
            else:
                # What waits here has been waiting since there were definitions; now the order matters to nobody.
                await self._firing.timers(partition, served, pumped.fired)
                self._behind(partition, 0.0)

    async def _ask(self, partitions: list[int]) -> None:
        if not partitions:
            return
        passed_ms = await self._passed.all()
        # After that: what users were told to pass on by then is in front of these ends.
        ends = await self._admin.end_offsets([(self._topic, p) for p in partitions])
        for p in partitions:
            self._pumped[p].gate.found(passed_ms, ends[self._topic, p])
