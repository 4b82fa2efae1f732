"""The due index of accounts → timer records in `accounts.in`, behind what time does to users."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from app.kafka.admin import Admin
from app.observability import logs
from app.stages.account_timers import AccountGate
from app.stream.firing import Fired, Firing, Serving
from app.stream.passed import Passed

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
    """

    def __init__(
        self, topic: str, admin: Admin, firing: Firing, passed: Passed, *,
        serving: Callable[[], Mapping[int, Serving]],
    ) -> None:  # fmt: skip
        self._topic = topic
        self._admin = admin
        self._firing = firing
        self._passed = passed
        self._serving = serving
        self._pumped: dict[int, _Pumped] = {}

    async def run(self) -> None:
        """For ever. A broker that does not answer makes timers late, no more."""
        while True:
            await self._passed.moved(TICK_S)
            try:
                await self.tick()
            except Exception as error:
                log.warning("timers of accounts could not be fired and are tried again", error=repr(error))

    async def tick(self) -> None:
        """Ask how far the users are, then fire what is due by then. Free where no definition is of accounts."""
        serving = self._serving()
        for gone in [partition for partition in self._pumped if partition not in serving]:
            del self._pumped[gone]
        for partition in serving:
            self._pumped.setdefault(partition, _Pumped())
        if not any(served.has_accounts for served in serving.values()):
            return
        await self._ask([partition for partition in serving if not self._pumped[partition].gate.waiting])
        for partition, served in serving.items():
            pumped = self._pumped[partition]
            until_ms = pumped.gate.until_ms(served.lane.done_next or 0)
            await self._firing.fire(partition, served, pumped.fired, until_ms)

    async def _ask(self, partitions: list[int]) -> None:
        if not partitions:
            return
        passed_ms = await self._passed.all()
        # After that: what users were told to pass on by then is in front of these ends.
        ends = await self._admin.end_offsets([(self._topic, p) for p in partitions])
        for p in partitions:
            self._pumped[p].gate.found(passed_ms, ends[self._topic, p])
