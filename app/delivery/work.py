"""What goes into a lane and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from app.activation.outcome import Reason
from app.activation.payload import Payload
from app.delivery.breaker import BreakerSettings
from app.delivery.dead_letter import Evidence
from app.delivery.gate import LaneState
from app.delivery.progress import Item, Progress
from app.delivery.retry import RetrySettings


@dataclass(frozen=True, slots=True)
class LaneSettings:
    """A lane's limits and patience."""

    queue_items_max: int = 2_000
    """Payloads read and not yet tried, from which on the lane reads no more; one batch may pass it."""
    backlog_items_max: int = 8_000
    """Payloads of a backfill or a resync, read and not yet tried, from which on the lane reads no more: so far it sees
    past them to the live ones behind. Twice `AHEAD_MAX` is there at most, and a little."""
    parked_items_max: int = 10_000
    """Payloads that wait for a retry or behind one, from which on the lane reads no more."""
    probe_every_s: float = 300.0
    """The longest wait between two probes of a paused destination."""
    brake_window: int = 100
    brake_share_max: float = 0.5
    """The lane stops when more of its last `brake_window` payloads were dead letters."""
    retry: RetrySettings = field(default_factory=RetrySettings)
    breaker: BreakerSettings = field(default_factory=BreakerSettings)


class Record(NamedTuple):
    """One record of the destination's topic, as it came."""

    offset: int
    key: bytes | None
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Batch:
    """Payloads of different profiles that share one request."""

    items: tuple[Item, ...]
    probe: bool

    @property
    def payloads(self) -> list[Payload]:
        return [item.payload for item in self.items]

    @property
    def wanted(self) -> bool:
        """False when all of its partitions are another's by now."""
        return not all(item.progress.revoked for item in self.items)


@dataclass(frozen=True, slots=True)
class Dead:
    """A payload to be written to the dead letters; it is settled when the broker has acked that, see `buried`."""

    progress: Progress
    offset: int
    key: bytes | None
    value: bytes | None
    item: Item | None
    """None where the record could not be read."""
    reason: Reason
    message: str
    attempts: int
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Settled:
    """A fact to count: what became of a payload, or of a try."""

    outcome: Literal["delivered", "retry", "dead", "filtered"]
    reason: Reason | None
    payload: Payload | None
    attempts: int


@dataclass(frozen=True, slots=True)
class StateChanged:
    """A fact to tell an operator."""

    state: LaneState
    reason: Reason | None


Fact = Settled | StateChanged
